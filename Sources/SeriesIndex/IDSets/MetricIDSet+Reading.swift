// MetricIDSet+Reading.swift - the fast lookup for loops, and the ids in order.
//
// A Reader is a few plain words copied from the set: no reference counting, no check of exclusive access, no bounds. It
// remembers the chunk it looked at last, since neighbouring rows usually have neighbouring ids. Reading it is safe as long
// as the set that it was made of is alive and unchanged, which `withReader` sees to.

extension MetricIDSet {
    /// Lookups in a set that somebody else keeps alive. One thread at a time; copies are independent.
    @frozen public struct Reader {
        @usableFromInline let entries: UnsafePointer<IDEntry>
        @usableFromInline let mask: Int
        @usableFromInline let shift: UInt64
        @usableFromInline let multiplier: UInt64
        /// Number of the chunk looked at last; no chunk has number `.max`.
        @usableFromInline var number: UInt64 = .max
        /// That chunk, and its bits when it is a bitmap.
        @usableFromInline var chunk = IDChunk(word: 0)
        @usableFromInline var bits: UnsafePointer<UInt64>?

        @usableFromInline init(_ table: IDTable) {
            entries = UnsafePointer(table.entries)
            mask = table.mask
            shift = table.shift
            multiplier = table.multiplier
        }

        /// Tells whether an id is in the set.
        @inlinable @inline(__always)
        public mutating func contains(_ id: UInt64) -> Bool {
            if id &>> 16 != number { find(id &>> 16) }
            if let bits { return bits[Int(truncatingIfNeeded: id &>> 6 & 1023)] &>> (id & 63) & 1 != 0 }
            return chunk.word != 0 && chunk.containsInList(UInt16(truncatingIfNeeded: id))
        }

        @inlinable mutating func find(_ wanted: UInt64) {
            number = wanted
            var index = Int(truncatingIfNeeded: (wanted &* multiplier) &>> shift)
            while entries[index].chunk.word != 0, entries[index].number != wanted { index = (index &+ 1) & mask }
            chunk = entries[index].chunk
            bits = chunk.isBitmap ? UnsafePointer(chunk.bits) : nil
        }
    }

    /// Calls `body` with a reader of this set. The reader must not leave the call.
    @inlinable @inline(__always)
    public func withReader<Result: ~Copyable, Failure: Error>(
        _ body: (inout Reader) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let table = table
        var reader = Reader(table)
        defer { withExtendedLifetime(table) {} }
        return try body(&reader)
    }

    /// A reader for a caller that reads several sets side by side. The caller keeps this set, or a copy of it, alive
    /// and unchanged as long as the reader is used.
    public func makeUnsafeReader() -> Reader { Reader(table) }

    /// Calls `body` with each id in ascending order.
    public func forEach<Failure: Error>(_ body: (UInt64) throws(Failure) -> Void) throws(Failure) {
        for entry in table.sorted() {
            let base = entry.number &<< 16
            try entry.chunk.forEach { (value) throws(Failure) in try body(base | UInt64(value)) }
        }
    }
}

extension MetricIDSet: Sequence {
    /// The ids of a set in ascending order. Holds the set; changes that are made to it later do not show.
    public struct Iterator: IteratorProtocol {
        private let table: IDTable
        private let entries: [IDEntry]
        private var nextEntry = 0
        private var base: UInt64 = 0
        private var chunk = IDChunk.empty
        private var count = 0
        /// Index of the next id of a list, or of the word that `bits` are the rest of.
        private var position = 0
        private var bits: UInt64 = 0

        init(_ table: IDTable) {
            self.table = table
            entries = table.sorted()
        }

        public mutating func next() -> UInt64? {
            while true {
                if chunk.isBitmap {
                    while bits == 0, position < IDChunk.bitmapWords - 1 {
                        position &+= 1
                        bits = chunk.bits[position]
                    }
                    if bits != 0 {
                        let value = UInt64(truncatingIfNeeded: position &* 64 &+ bits.trailingZeroBitCount)
                        bits &= bits &- 1
                        return base | value
                    }
                } else if position < count {
                    position &+= 1
                    return base | UInt64(chunk.value(position &- 1))
                }
                guard nextEntry < entries.count else {
                    chunk = .empty
                    count = 0
                    return nil
                }
                chunk = entries[nextEntry].chunk
                base = entries[nextEntry].number &<< 16
                count = chunk.count
                position = 0
                bits = chunk.isBitmap ? chunk.bits[0] : 0
                nextEntry += 1
            }
        }
    }

    public func makeIterator() -> Iterator { Iterator(table) }

    public var underestimatedCount: Int { count }
}
