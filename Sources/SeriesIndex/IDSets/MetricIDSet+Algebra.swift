// MetricIDSet+Algebra.swift - unions, intersections and differences, chunk by chunk.
//
// Two bitmaps are combined 64 ids a step; chunks that both sets share, or that only one of them has, are not looked
// into. The result shares with its operands whatever chunks it can.

extension MetricIDSet: Equatable {
    /// Tells whether two sets have the same ids.
    public static func == (a: MetricIDSet, b: MetricIDSet) -> Bool {
        if a.table === b.table { return true }
        guard a.count == b.count, a.table.chunkCount == b.table.chunkCount else { return false }
        do throws(Stop) {
            try a.table.forEachChunk { (number, chunk) throws(Stop) in
                if !chunk.isEqual(b.table.chunk(number)) { throw Stop() }
            }
            return true
        } catch {
            return false
        }
    }

    /// Tells whether two sets have no id in common.
    public func isDisjoint(with other: MetricIDSet) -> Bool {
        let (few, many) = table.chunkCount <= other.table.chunkCount ? (table, other.table) : (other.table, table)
        do throws(Stop) {
            try few.forEachChunk { (number, chunk) throws(Stop) in
                if !chunk.isDisjoint(many.chunk(number)) { throw Stop() }
            }
            return true
        } catch {
            return false
        }
    }

    /// Adds all ids of another set.
    public mutating func formUnion(_ other: MetricIDSet) {
        if other.isEmpty || table === other.table { return }
        // The one with more chunks takes in the other.
        let added: IDTable
        if table.chunkCount < other.table.chunkCount {
            added = table
            table = other.table
        } else {
            added = other.table
        }
        ownTable()
        let table = table
        added.forEachChunk { (number, chunk) throws(Never) in
            table.update(number) { present in
                if present.isEmpty {
                    chunk.retain()
                    present = chunk
                } else {
                    present.formUnion(chunk)
                }
            }
        }
    }

    /// Drops all ids that are not in another set.
    public mutating func formIntersection(_ other: MetricIDSet) {
        if table === other.table { return }
        let (few, many) = table.chunkCount <= other.table.chunkCount ? (table, other.table) : (other.table, table)
        let result = IDTable()
        few.forEachChunk { (number, chunk) throws(Never) in
            let opposite = many.chunk(number)
            if opposite.isEmpty { return }
            result.update(number) { common in
                chunk.retain()
                common = chunk
                common.formIntersection(opposite)
            }
        }
        table = result.count == 0 ? .empty : result
    }

    /// Drops all ids that are in another set.
    public mutating func subtract(_ other: MetricIDSet) {
        if other.isEmpty || isEmpty { return }
        if table === other.table {
            table = .empty
        } else if other.table.chunkCount <= table.chunkCount {
            ownTable()
            let table = table
            other.table.forEachChunk { (number, chunk) throws(Never) in
                if table.find(number) != nil { table.update(number) { $0.subtract(chunk) } }
            }
        } else {
            let result = IDTable()
            table.forEachChunk { (number, chunk) throws(Never) in
                result.update(number) { rest in
                    chunk.retain()
                    rest = chunk
                    rest.subtract(other.table.chunk(number))
                }
            }
            table = result
        }
    }

    /// The ids that are in one of two sets or in both.
    public func union(_ other: MetricIDSet) -> MetricIDSet {
        var result = self
        result.formUnion(other)
        return result
    }

    /// The ids that are in both of two sets.
    public func intersection(_ other: MetricIDSet) -> MetricIDSet {
        var result = self
        result.formIntersection(other)
        return result
    }

    /// The ids that are not in another set.
    public func subtracting(_ other: MetricIDSet) -> MetricIDSet {
        var result = self
        result.subtract(other)
        return result
    }

    /// Ends a walk over the chunks.
    private struct Stop: Error {}
}
