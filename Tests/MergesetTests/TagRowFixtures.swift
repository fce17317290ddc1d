// TagRowFixtures.swift - rows of tags for tests, made of plain arrays, and what they say.

import StorageRuntime
import TestSupport

enum TagRowFixtures {
    /// A number as rows hold it.
    static func bigEndian(_ value: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: value >> (56 - 8 * $0)) }
    }

    /// Tags with their ids, for one tenant, in order.
    static func tags(_ count: Int, _ random: inout SplitMix64, ids: UInt64 = 500) -> [[UInt8]] {
        var tags: Set<[UInt8]> = []
        for _ in 0..<count {
            var tag = Array("key\(random.below(3))".utf8) + [1]
            tag += Array("value-\(random.below(1 << 20))".utf8) + [1]
            for _ in 0..<(1 + random.below(3)) { tag += bigEndian(1_000_000 + random.next() % ids) }
            tags.insert(tag)
        }
        return tags.sorted(by: isSmaller)
    }

    /// Rows of these tags without a day, and for each of these days.
    static func rows(_ tags: [[UInt8]], tenant: UInt64, days: [UInt64]) -> [[UInt8]] {
        var rows = tags.map { [1] + bigEndian(tenant) + $0 }
        for day in days { rows += tags.map { [6] + bigEndian(tenant) + bigEndian(day) + $0 } }
        return rows
    }

    /// Single-id rows of what is in `items`, without duplicates; other items as they are. Bytes 0, 1 and 2 are escaped in keys and values.
    static func normalised(_ items: [[UInt8]]) -> [[UInt8]] {
        var rows: Set<[UInt8]> = []
        var others: [[UInt8]] = []
        for item in items {
            guard let kind = item.first, kind == 1 || kind == 6 else {
                others.append(item)
                continue
            }
            // Two terminators end the prefix.
            var end = kind == 1 ? 9 : 17
            for _ in 0..<2 {
                while item[end] != 1 { end += 1 }
                end += 1
            }
            for start in stride(from: end, to: item.count, by: 8) {
                rows.insert(Array(item[..<end]) + item[start..<(start + 8)])
            }
        }
        return (Array(rows) + others).sorted(by: isSmaller)
    }
}
