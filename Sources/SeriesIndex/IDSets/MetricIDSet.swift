// MetricIDSet.swift - a set of metric ids.
//
// Metric ids come from a counter that starts at the nanosecond of the process start, so a set is usually a few dense
// ranges: one for each time the process was started. The ids are split into chunks by their upper 48 bits (IDChunk.swift)
// that a small hash table finds (IDTable.swift). A dense chunk takes 1 bit an id and answers with one load; an id that is
// alone in its chunk takes a table entry of 16 bytes and no allocation.
//
// A set is a value: copies share everything until one of them changes, and then all chunks but the changed ones. Adding
// a few ids to a copy of a set of 5 M ids copies the table (about 2 KiB) and those chunks (8 KiB each).
//
//   a loop over rows        set.withReader { reader in ... reader.contains(id) ... }     remembers the last chunk
//   a lookup now and then   set.contains(id)
//   many ids at once        set.insert(contentsOf: ids)        fastest when they come in runs of neighbours
//
// Threads: any number may read one set at the same time; a variable that holds a set has one owner while it changes.

/// A set of 64-bit numbers, made for dense ones.
public struct MetricIDSet: Sendable {
    @usableFromInline var table: IDTable

    /// The empty set. Allocates nothing.
    public init() { table = .empty }

    /// The set of the given ids; repeated ones count once.
    public init(_ ids: some Sequence<UInt64>) {
        self.init()
        if ids.withContiguousStorageIfAvailable({ insert(contentsOf: $0) }) == nil {
            for id in ids { insert(id) }
        }
    }

    init(table: IDTable) { self.table = table }

    /// How many ids there are.
    public var count: Int { table.count }

    /// Whether there is no id.
    public var isEmpty: Bool { table.count == 0 }

    /// Bytes of memory that the set holds: tables and chunks, without what the allocator adds. What a copy shares
    /// counts in both. Looks at every chunk.
    public var memoryBytes: Int { table === IDTable.empty ? 0 : table.memoryBytes }

    /// Tells whether an id is in the set. Constant time. In a loop take ``withReader(_:)``.
    public func contains(_ id: UInt64) -> Bool {
        table.chunk(id &>> 16).contains(UInt16(truncatingIfNeeded: id))
    }

    /// The smallest id, or nil. Looks at every chunk number.
    public var min: UInt64? {
        var first: IDEntry?
        table.forEachChunk { (number, chunk) throws(Never) in
            if number <= first?.number ?? .max { first = IDEntry(number: number, chunk: chunk) }
        }
        return first.map { $0.number &<< 16 | UInt64($0.chunk.min) }
    }

    /// The greatest id, or nil. Looks at every chunk number.
    public var max: UInt64? {
        var last: IDEntry?
        table.forEachChunk { (number, chunk) throws(Never) in
            if number >= last?.number ?? 0 { last = IDEntry(number: number, chunk: chunk) }
        }
        return last.map { $0.number &<< 16 | UInt64($0.chunk.max) }
    }

    /// Adds an id; tells whether it is new. Constant time on the average; in a copy the first change of a chunk copies
    /// the chunk.
    @discardableResult
    public mutating func insert(_ id: UInt64) -> Bool {
        ownTable()
        return table.update(id &>> 16) { $0.insert(UInt16(truncatingIfNeeded: id)) }
    }

    /// Adds ids; returns how many are new.
    @discardableResult
    public mutating func insert(contentsOf ids: UnsafeBufferPointer<UInt64>) -> Int {
        guard let start = ids.baseAddress, !ids.isEmpty else { return 0 }
        ownTable()
        let table = table
        var new = 0
        var first = 0
        while first < ids.count {
            let number = start[first] &>> 16
            var end = first &+ 1
            while end < ids.count, start[end] &>> 16 == number { end &+= 1 }
            new &+= table.update(number) { $0.insert(start + first, end &- first) }
            first = end
        }
        return new
    }

    /// Removes an id; tells whether it was there.
    @discardableResult
    public mutating func remove(_ id: UInt64) -> Bool {
        guard contains(id) else { return false }
        ownTable()
        return table.update(id &>> 16) { $0.remove(UInt16(truncatingIfNeeded: id)) }
    }

    /// Makes sure that no other set sees the changes that follow.
    mutating func ownTable() {
        if !isKnownUniquelyReferenced(&table) {
            table = table === IDTable.empty ? IDTable() : IDTable(copying: table)
        }
    }
}

extension MetricIDSet: CustomStringConvertible {
    /// The number of ids and their range.
    public var description: String {
        guard let min, let max else { return "no metric ids" }
        return "\(count) metric ids in \(min)...\(max)"
    }
}
