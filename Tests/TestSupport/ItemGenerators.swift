// ItemGenerators.swift - items that golden files describe instead of listing, and the hash over sequences of items.
// The definitions are those of Tests/Golden/mergeset/README.md ("Generators").

/// A splitmix64 stream as bytes, each output little-endian. Written here apart from the engine's generator, so that
/// each checks the other.
public struct SplitMixBytes {
    private var state: UInt64

    /// The stream of a seed.
    public init(seed: UInt64) { state = seed }

    /// The next output.
    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// The first output of the stream of a seed.
    public static func first(seed: UInt64) -> UInt64 {
        var stream = SplitMixBytes(seed: seed)
        return stream.next()
    }

    /// The first `count` bytes of the stream of a seed.
    public static func first(_ count: Int, seed: UInt64) -> [UInt8] {
        var stream = SplitMixBytes(seed: seed)
        var bytes = [UInt8]()
        bytes.reserveCapacity(count + 8)
        while bytes.count < count { withUnsafeBytes(of: stream.next().littleEndian) { bytes.append(contentsOf: $0) } }
        bytes.removeLast(bytes.count - count)
        return bytes
    }
}

/// The items of the golden table `mergeset/tables/arbitrary`.
public enum ArbitraryItems {
    /// How many items there are, duplicates included.
    public static let count = 13024

    /// Item `i`, `0..<count`.
    public static func item(_ i: Int) -> [UInt8] {
        let random = SplitMixBytes.first(seed: UInt64(i))
        if i >= 13000 { return [UInt8](repeating: UInt8(ascii: "P"), count: 30000) + bigEndian(UInt32(i)) }
        switch i % 8 {
        case 0: return [UInt8](text: "item-" + padded(String(i), to: 8))
        case 1: return [UInt8](text: "k/" + padded(String(random, radix: 16), to: 16))
        case 2: return bigEndian(random)
        case 3: return [UInt8](text: "dup-\(i / 64)")
        case 4: return i % 400 == 4 ? [] : [UInt8(random % 256)]
        case 5: return [UInt8](repeating: UInt8(ascii: "L"), count: 300) + bigEndian(UInt32(i))
        case 6: return SplitMixBytes.first(Int(random % 100), seed: UInt64(i))
        default: return [0] + bigEndian(UInt32(truncatingIfNeeded: UInt64(i) * 2_654_435_761))
        }
    }

    /// All items in the order in which they were added.
    public static func all() -> [[UInt8]] { (0..<count).map(item) }

    /// All items sorted.
    public static func sorted() -> [[UInt8]] { all().sorted(by: isSmaller) }

    private static func bigEndian<Integer: FixedWidthInteger>(_ value: Integer) -> [UInt8] {
        withUnsafeBytes(of: value.bigEndian) { [UInt8]($0) }
    }

    private static func padded(_ digits: String, to width: Int) -> String {
        String(repeating: "0", count: width - digits.count) + digits
    }
}

/// The hash over a sequence of items that golden files give: SHA-256 over each item's length (4 bytes, big-endian) and
/// bytes.
public struct ItemsHash {
    private var hash = SHA256()
    /// Items added.
    public private(set) var count = 0

    /// The hash of no items.
    public init() {}

    /// Adds an item.
    public mutating func add(_ item: UnsafeRawBufferPointer) {
        withUnsafeBytes(of: UInt32(item.count).bigEndian) { hash.update($0) }
        hash.update(item)
        count += 1
    }

    /// Adds an item.
    public mutating func add(_ item: [UInt8]) { item.withUnsafeBytes { add($0) } }

    /// The hash of the items added so far, 64 lowercase hex digits.
    public var hex: String { hash.hex }
}

/// The items hash of a list, 64 lowercase hex digits.
public func itemsHash(_ items: some Sequence<[UInt8]>) -> String {
    var hash = ItemsHash()
    for item in items { hash.add(item) }
    return hash.hex
}
