// CacheProbes.swift - the decoder of cache files as a function of bytes, for fuzzing (as Mergeset/DecoderProbes.swift).
//
// Threads: any.

import StorageBytes
import StorageFiles
import StorageRuntime

/// Entry points for fuzzing. Not for use in programs.
public enum CacheProbes {
    /// What the fuzzed files are valid for: the bytes of "v".
    public static let validity = [UInt8]("v".utf8)
    static let bytesMax = 1 << 20

    /// A file of a TSID cache. Since nothing gets past a checksum, an input that is not accepted is tried again with all
    /// checksums put right. Returns the entries of the file, nil when it is refused.
    public static func cacheFile(_ input: UnsafeRawBufferPointer) -> Int? {
        if let count = load([UInt8](input)) { return count }
        return load(repaired(input))
    }

    private static func load(_ bytes: [UInt8]) -> Int? {
        let size = bytes.count
        let (cache, outcome) = TSIDCache.load(
            MemoryFile(bytes), validity: validity, bytesMax: bytesMax,
            newKey: {
                var stream = SplitMix64(seed: 1)
                return FingerprintKey { stream.next() }
            })
        let metrics = cache.metrics
        guard case .loaded(let count) = outcome else {
            require(metrics.entries == 0, "entries of a file that was refused")
            return nil
        }
        require(count * 40 < size, "more entries than the file has room for")
        require(metrics.entries <= UInt64(count) && metrics.bytes <= UInt64(bytesMax), "too many entries")
        var met = 0
        for shard in cache.shards.indices {
            var next: Int? = 0
            while let bucket = next {
                next = cache.entries(ofShard: shard, from: bucket, countMax: 100) { fingerprint, value in
                    met += 1
                }
            }
        }
        require(met == metrics.entries, "entries that are not counted")
        return count
    }

    /// The input with each checksum that a reader would look at replaced by the right one.
    private static func repaired(_ input: UnsafeRawBufferPointer) -> [UInt8] {
        var bytes = [UInt8](input)
        var place = 12 + FingerprintKey.storedBytesCount
        guard let validityCount = number(bytes, &place) else { return bytes }
        place += validityCount
        guard sign(&bytes, &place) else { return bytes }
        while let count = number(bytes, &place) {
            place += count == 0 ? 8 : 40 * count
            guard sign(&bytes, &place), count > 0 else { break }
        }
        return bytes
    }

    private static func number(_ bytes: [UInt8], _ place: inout Int) -> Int? {
        guard place + 4 <= bytes.count else { return nil }
        defer { place += 4 }
        return bytes.withUnsafeBytes { Int(BigEndian.load32($0.baseAddress.unsafelyUnwrapped + place)) }
    }

    /// Puts the hash of what is before `place` there.
    private static func sign(_ bytes: inout [UInt8], _ place: inout Int) -> Bool {
        guard place + 8 <= bytes.count else { return false }
        let checksum = bytes[..<place].withUnsafeBytes { Hash.xxh64($0) }
        withUnsafeBytes(of: checksum.bigEndian) { bytes.replaceSubrange(place..<place + 8, with: $0) }
        place += 8
        return true
    }

    private final class MemoryFile: ReadableFile {
        let path = "/tsid"
        let bytes: [UInt8]
        var sizeBytes: Int { bytes.count }

        init(_ bytes: [UInt8]) { self.bytes = bytes }

        func read(at offset: Int, into target: UnsafeMutableRawBufferPointer) throws(StorageError) {
            CacheProbes.require(offset >= 0 && target.count <= bytes.count - offset, "a read outside of the file")
            bytes[offset..<offset + target.count].withUnsafeBytes { target.copyMemory(from: $0) }
        }
    }

    private static func require(_ condition: Bool, _ message: @autoclosure () -> String) {
        if !condition { fatalError(message()) }
    }
}
