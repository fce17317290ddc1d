// TagOrder.swift - the order of tags in a canonical name (docs/format/series-index.md, 2.5).
//
// Keys that tend to say where a series comes from ("namespace", "job", "instance", ...) sort first: such a key has a
// three-byte sort position instead of itself. Each of them also matches with its first letter in upper case.
//
// A tag carries the first eight bytes of its sort key as a big-endian number, padded with zeros. Two different numbers
// are ordered as the sort keys; equal ones need the lengths or the rest of the keys.
//
// The positions are found without a branch per candidate: the leading bytes of a key, its first letter made lower case,
// times a constant give one of 64 slots; the constant was searched so that no two keys of the table share a slot. Keys
// of more than eight bytes are also compared by their last eight, which overlap the first ones and so cover the key.
//
// Threads: the table is made once and never changes.

import StorageBytes

/// One key of the table of special keys, or an empty slot (`length` 0).
struct SpecialKey {
    /// First eight bytes, the first letter in lower case, zeros behind a shorter key.
    var head: UInt64 = 0
    /// Last eight bytes of a key of more than eight.
    var tail: UInt64 = 0
    /// The sort position as the leading number of a sort key.
    var position: UInt64 = 0
    var length = 0
    /// The key begins with an upper-case letter and does not match in lower case.
    var onlyUppercase = false
}

/// The special keys.
enum TagOrder {
    /// The literal key `__name__` as a leading number.
    static let literalName: UInt64 = 0x5F5F_6E61_6D65_5F5F
    /// Bytes of a sort position.
    static let positionBytes = 3
    /// 1 in the place of the bit that tells lower from upper case, in the first byte of a leading number.
    static let caseBit: UInt64 = 0x20 << 56
    private static let multiplier: UInt64 = 0x587F_D280_3BAB_6C39
    private static let slotBits: UInt64 = 6

    /// All special keys with their positions.
    static let positions: [(key: String, position: UInt32)] = [
        ("namespace", 0x000000), ("ns", 0x000001), ("datacenter", 0x000008), ("dc", 0x000009),
        ("environment", 0x00000C), ("env", 0x00000D), ("cluster", 0x000010), ("service", 0x000018),
        ("job", 0x000020), ("model", 0x000028), ("type", 0x000030), ("sensor_type", 0x000038),
        ("SensorType", 0x000038), ("db", 0x000040), ("instance", 0x000100), ("host", 0x000108),
        ("server", 0x000110), ("pod", 0x000118), ("node", 0x000120), ("device", 0x000128),
        ("tenant", 0x000130), ("client", 0x000138), ("name", 0x000140), ("measurement", 0x000148),
    ]

    /// The slots, immutable and alive for the life of the process. A workspace keeps the address, so that a look-up does
    /// not ask each time whether the table has been made.
    nonisolated(unsafe) static let table: UnsafePointer<SpecialKey> = makeTable()

    private static func makeTable() -> UnsafePointer<SpecialKey> {
        let slots = UnsafeMutablePointer<SpecialKey>.allocate(capacity: 1 << Int(slotBits))
        slots.initialize(repeating: SpecialKey(), count: 1 << Int(slotBits))
        for (key, position) in positions {
            var entry = SpecialKey()
            Array(key.utf8).withUnsafeBytes { bytes in
                guard let start = bytes.baseAddress else { return }
                entry.head = Bytes.leadingKey(start, bytes.count) | caseBit
                entry.tail = bytes.count > 8 ? BigEndian.load64(start + (bytes.count - 8)) : 0
                entry.length = bytes.count
                entry.onlyUppercase = bytes[0] & 0x20 == 0
            }
            entry.position = UInt64(position) << 40
            let slot = slot(head: entry.head)
            precondition(slots[slot].length == 0, "special keys share a slot: \(key)")
            slots[slot] = entry
        }
        return UnsafePointer(slots)
    }

    @inline(__always) private static func slot(head: UInt64) -> Int {
        Int(truncatingIfNeeded: (head &* multiplier) >> (64 &- slotBits))
    }

    /// The sort position of a key as the leading number of its sort key, or nil when the key stands for itself.
    /// - Parameters:
    ///   - leading: First eight bytes of the key, zeros behind a shorter key.
    ///   - key: `length` readable bytes.
    @inline(__always) static func position(
        leading: UInt64, _ key: UnsafeRawPointer, _ length: Int, in table: UnsafePointer<SpecialKey>
    ) -> UInt64? {
        let head = leading | caseBit
        let entry = table + slot(head: head)
        guard entry.pointee.head == head, entry.pointee.length == length else { return nil }
        if length > 8, BigEndian.load64(key + (length &- 8)) != entry.pointee.tail { return nil }
        if entry.pointee.onlyUppercase, leading & caseBit != 0 { return nil }
        return entry.pointee.position
    }
}
