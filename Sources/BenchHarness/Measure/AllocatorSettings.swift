// AllocatorSettings.swift - what the program tells jemalloc; part of the provenance of every figure.

import CAllocator
import CJemalloc

/// The allocator's settings.
public enum AllocatorSettings {
    /// In jemalloc's notation: those compiled in, before anything in the environment.
    public static var compiledIn: String { String(cString: allocator_settings()) }

    /// Whether jemalloc has taken huge pages into use, as it reports itself: "always", "default" or "never".
    public static var hugePages: String {
        var value: UnsafePointer<CChar>?
        var size = MemoryLayout<UnsafePointer<CChar>?>.size
        guard mallctl("opt.thp", &value, &size, nil, 0) == 0, let value else { return "unknown" }
        return String(cString: value)
    }
}
