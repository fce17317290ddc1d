// TableSupport.swift - what the tests of whole tables share: tiny limits, items, and reading everything back.

import Mergeset
import StorageFiles
import StorageRuntime
import TestSupport

extension TableOptions {
    /// Runs of some kilobytes, a few of which fill the memory: flushes and merges happen all the time.
    static func tiny(shards: Int = 2, run: Int = 2048, memory: Int = 16384) -> TableOptions {
        var options = TableOptions()
        options.shardCount = shards
        options.runBytesMax = run
        options.memoryBytesMax = memory
        options.mergeWorkers = 1
        options.dataBlockCacheBytes = 64 << 10
        options.indexBlockCacheBytes = 16 << 10
        return options
    }
}

extension Table {
    /// All items of a scope through a fresh cursor, in the order of delivery.
    func scan(_ scope: SearchScope = .durable) throws(StorageError) -> [[UInt8]] { try view(scope).scan() }
}

extension TableView {
    /// All items of the view through a fresh cursor, in the order of delivery.
    func scan() throws(StorageError) -> [[UInt8]] {
        var cursor = cursor()
        var items: [[UInt8]] = []
        while try cursor.next() { items.append([UInt8](cursor.item)) }
        return items
    }
}

extension TableCursor {
    /// Seeks the bytes of an array.
    mutating func seek(bytes: [UInt8]) throws(StorageError) {
        try bytes.withUnsafeBufferPointer { key throws(StorageError) in try seek(UnsafeRawBufferPointer(key)) }
    }

    /// The first item with the prefix; nil when there is none.
    mutating func first(withPrefix prefix: [UInt8]) throws(StorageError) -> [UInt8]? {
        let isFound = try prefix.withUnsafeBufferPointer { key throws(StorageError) in
            try firstWithPrefix(UnsafeRawBufferPointer(key))
        }
        return isFound ? [UInt8](item) : nil
    }

    /// Some item with the prefix; nil when there is none.
    mutating func any(withPrefix prefix: [UInt8]) throws(StorageError) -> [UInt8]? {
        let isFound = try prefix.withUnsafeBufferPointer { key throws(StorageError) in
            try anyWithPrefix(UnsafeRawBufferPointer(key))
        }
        return isFound ? [UInt8](item) : nil
    }

    /// Up to `count` further items.
    mutating func take(_ count: Int) throws(StorageError) -> [[UInt8]] {
        var items: [[UInt8]] = []
        while items.count < count, try next() { items.append([UInt8](item)) }
        return items
    }
}

/// Items of many shapes: empty, short with few values (many duplicates), numbered, random, long, and the longest.
struct ItemSource {
    var random: SplitMix64
    private var number: UInt32 = 0

    init(seed: UInt64) { random = SplitMix64(seed: Seeds.derive(seed, "items")) }

    mutating func next() -> [UInt8] {
        number += 1
        switch random.below(100) {
        case 0..<3: return []
        case 3..<30: return [UInt8(random.below(9)), UInt8(random.below(4))]
        case 30..<60: return Array("item-\(1_000_000 + random.below(2000))".utf8)
        case 60..<90: return [UInt8(random.below(8))] + bytes(random.below(60))
        case 90..<96: return [0xFF, 0xFF] + bytes(random.below(3))
        case 96..<99: return Array(repeating: 0x4C, count: 300) + bytes(4)
        default: return bytes(random.below(6) == 0 ? 65536 : 3000 + random.below(9000))
        }
    }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) } }
}

/// The position of the first element that is not smaller than `key`.
func lowerBound(_ sorted: [[UInt8]], _ key: [UInt8]) -> Int {
    var low = 0
    var high = sorted.count
    while low < high {
        let middle = (low + high) / 2
        if isSmaller(sorted[middle], key) { low = middle + 1 } else { high = middle }
    }
    return low
}

/// The first of `items` that is delivered behind everything that starts with `prefix`.
func behind(_ prefix: [UInt8], in items: [[UInt8]]) -> [UInt8]? {
    items[lowerBound(items, prefix)...].first { !$0.starts(with: prefix) }
}
