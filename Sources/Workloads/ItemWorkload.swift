// ItemWorkload.swift - corpora of items for the table alone: no series, just byte strings in an order.
//
//   bytes    | item 0 | item 1 | ...          order in which they are added
//   ranges   (offset, length) x count
//
//   random          independent random bytes
//   sorted          ascending: an 8-byte counter, then random bytes
//   duplicates-90   each item is drawn from count / 10 distinct ones: nine of ten are there already
//   shared-prefix   one prefix of 12 (short) or 360 (long) bytes in front of random bytes
//   index-shaped    the tag rows that new Kubernetes-shaped series give to the index, global then per day, in arrival
//                   order (docs/format/series-index.md, 4.1): about 76 bytes on average, long shared prefixes, the tags
//                   of a series interleaved. The length does not apply.
//
// Threads: a corpus is immutable once filled.

import StorageBytes
import StorageRuntime

/// A table-level workload.
public struct ItemWorkload: Sendable, Equatable {
    /// How the items are made.
    public enum Kind: String, Sendable, CaseIterable {
        /// Independent random bytes.
        case random
        /// Ascending order.
        case sorted
        /// Nine of ten items are duplicates.
        case duplicates = "duplicates-90"
        /// One prefix common to all.
        case sharedPrefix = "shared-prefix"
        /// As the index adds them.
        case indexShaped = "index-shaped"
    }

    /// How long the items are.
    public enum Length: String, Sendable, CaseIterable {
        /// 18 to 25 bytes, evenly.
        case short
        /// 400 bytes.
        case long
    }

    /// How the items are made.
    public let kind: Kind
    /// How long they are.
    public let length: Length

    /// A workload.
    public init(_ kind: Kind, _ length: Length = .short) {
        self.kind = kind
        self.length = length
    }

    /// The workload called `name`: a kind, optionally followed by `:short` or `:long`.
    public static func named(_ name: String) throws(StorageError) -> ItemWorkload {
        let parts = name.split(separator: ":", omittingEmptySubsequences: false)
        if parts.count <= 2, let kind = Kind(rawValue: String(parts[0])),
            let length = parts.count == 1 ? .short : Length(rawValue: String(parts[1]))
        {
            return ItemWorkload(kind, length)
        }
        let kinds = Kind.allCases.map(\.rawValue).joined(separator: ", ")
        throw StorageError(
            .invalidArgument, "unknown item workload '\(name)'; expected one of \(kinds), with :short or :long")
    }

    /// Name that ``named(_:)`` takes.
    public var name: String { kind == .indexShaped ? kind.rawValue : "\(kind.rawValue):\(length.rawValue)" }

    /// Makes `count` items. The same workload, count and seed give the same bytes.
    public func corpus(_ count: Int, seed: UInt64 = 42) -> ItemCorpus {
        var corpus = ItemCorpus(capacity: count)
        var stream = SplitMix64(seed: Seeds.derive(seed, name))
        switch kind {
        case .random: for _ in 0..<count { corpus.append(randomItem(&stream, prefix: [])) }
        case .sorted:
            for index in 0..<count {
                let prefix = withUnsafeBytes(of: UInt64(index).bigEndian) { Array($0) }
                corpus.append(randomItem(&stream, prefix: prefix))
            }
        case .duplicates:
            let distinct = max(1, count / 10)
            for _ in 0..<distinct where corpus.count < count { corpus.append(randomItem(&stream, prefix: [])) }
            while corpus.count < count { corpus.appendCopy(of: stream.below(distinct)) }
            corpus.shuffle(&stream)
        case .sharedPrefix:
            var prefix = [UInt8](repeating: 0, count: length == .short ? 12 : 360)
            for index in prefix.indices { prefix[index] = UInt8(truncatingIfNeeded: stream.next()) }
            for _ in 0..<count { corpus.append(randomItem(&stream, prefix: prefix)) }
        case .indexShaped:
            var rows = IndexShapedItems(seed: stream.next())
            while corpus.count < count { rows.appendSeries(to: &corpus, countMax: count) }
        }
        return corpus
    }

    private func randomItem(_ stream: inout SplitMix64, prefix: [UInt8]) -> [UInt8] {
        let bytes = length == .short ? 18 + stream.below(8) : 400
        var item = prefix
        item.reserveCapacity(bytes)
        while item.count < bytes {
            let bits = stream.next()
            for shift in 0..<min(8, bytes - item.count) {
                item.append(UInt8(truncatingIfNeeded: bits >> UInt64(8 * shift)))
            }
        }
        return item
    }
}

/// Items in the order in which a table gets them.
public struct ItemCorpus: ~Copyable, @unchecked Sendable {
    /// Where an item is.
    public struct Range: Sendable, Equatable {
        /// First byte in ``ItemCorpus/bytes``.
        public var offset: Int
        /// Bytes.
        public var length: Int
    }

    /// The items' bytes. Items may share bytes (duplicates do).
    public private(set) var bytes: RawBuffer
    /// Where each item is; ``count`` of them, valid as long as the corpus.
    public let ranges: UnsafeMutablePointer<Range>
    /// Items.
    public private(set) var count = 0
    /// Bytes of all items together, shared bytes counted as often as they are used.
    public private(set) var totalBytes = 0
    private let capacity: Int

    init(capacity: Int) {
        precondition(capacity >= 0, "a corpus of \(capacity) items")
        self.capacity = capacity
        bytes = RawBuffer(capacity: capacity * 24)
        ranges = .allocate(capacity: max(1, capacity))
    }

    deinit { ranges.deallocate() }

    /// An item, `0..<count`. Valid as long as the corpus.
    public func item(_ index: Int) -> UnsafeRawBufferPointer {
        precondition(index >= 0 && index < count, "item \(index) of \(count)")
        return UnsafeRawBufferPointer(start: bytes.base + ranges[index].offset, count: ranges[index].length)
    }

    mutating func append(_ item: [UInt8]) {
        precondition(count < capacity, "a corpus of more than \(capacity) items")
        ranges[count] = Range(offset: bytes.count, length: item.count)
        bytes.append(item)
        count += 1
        totalBytes += item.count
    }

    mutating func appendCopy(of index: Int) {
        precondition(count < capacity && index < count, "copy of item \(index) of \(count)")
        ranges[count] = ranges[index]
        totalBytes += ranges[index].length
        count += 1
    }

    mutating func shuffle(_ stream: inout SplitMix64) {
        for index in stride(from: count - 1, to: 0, by: -1) {
            let other = stream.below(index + 1)
            let range = ranges[index]
            ranges[index] = ranges[other]
            ranges[other] = range
        }
    }
}
