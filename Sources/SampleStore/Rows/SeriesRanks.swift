// SeriesRanks.swift - small numbers for the series of a batch, and their order by TSID.
//
//   places   low half of the metric id | number     open addressing, half full at most; the number is that of arrival
//   tsids    TSID of number 0 | 1 | ...
//   order    numbers, ascending by TSID
//   counts   for each number: rows of the batch, then where its next row goes
//
// The table outlives a batch, since the next batch brings mostly the same series: then nothing has to be sorted. New
// series are sorted among themselves and merged into the order. When the table holds many series that the last batch did
// not have, it is emptied.
//
// Places: ids of one node are dense, so eight neighbours stay together, in one cache line, and groups of eight are
// scattered by multiplication. Half an id is enough while all ids lie within 2^32 of the first one: they are counted up from the
// nanosecond of the process start. Once others have come (after a restart) the whole id is compared, too, in `tsids`.
//
// Threads: one owner.

import CIntrinsics
import StorageBytes

/// The series that a converter knows.
struct SeriesRanks: ~Copyable {
    private struct Place {
        var idLow: UInt32
        var number: UInt32

        static let empty = Place(idLow: 0, number: nobody)
    }

    private static let nobody = UInt32.max

    private var places: UnsafeMutablePointer<Place>
    private var placesLog2 = 6
    private(set) var tsids: UnsafeMutablePointer<TSID>
    private(set) var order: UnsafeMutablePointer<UInt32>
    private(set) var counts: UnsafeMutablePointer<UInt32>
    private var capacity = 32
    /// Series known.
    private(set) var count = 0
    /// Series that are in ``order``.
    private var ordered = 0
    /// Where the range of ids begins in which the low half tells them apart, and whether all ids are in it.
    private var idBase: UInt64 = 0
    private var isDense = true

    init() {
        places = SeriesRanks.emptyPlaces(64)
        tsids = .allocate(capacity: 32)
        order = .allocate(capacity: 32)
        counts = .allocate(capacity: 32)
    }

    deinit {
        places.deallocate()
        tsids.deallocate()
        order.deallocate()
        counts.deallocate()
    }

    /// Bytes of memory.
    var memoryBytes: Int {
        (1 << placesLog2) * MemoryLayout<Place>.stride + capacity * (MemoryLayout<TSID>.stride + 8)
    }

    private static func emptyPlaces(_ count: Int) -> UnsafeMutablePointer<Place> {
        let places = UnsafeMutablePointer<Place>.allocate(capacity: count)
        places.initialize(repeating: .empty, count: count)
        return places
    }

    /// Forgets all series, keeping the memory.
    mutating func removeAll() {
        places.update(repeating: .empty, count: 1 << placesLog2)
        count = 0
        ordered = 0
        isDense = true
    }

    @inline(__always) private func home(_ metricID: UInt64) -> Int {
        let group = ((metricID &>> 3) &* 0x9E37_79B9_7F4A_7C15) &>> UInt64(truncatingIfNeeded: 67 &- placesLog2)
        return Int(truncatingIfNeeded: group &<< 3 | metricID & 7)
    }

    /// Asks for the memory that ``number(of:)`` will look at.
    @inline(__always) func prefetch(_ metricID: UInt64) { ci_prefetch(places + home(metricID)) }

    /// The number of a series; a new one gets the next number and a count of zero.
    @inline(__always) mutating func number(of tsid: TSID) -> Int {
        let mask = (1 &<< placesLog2) &- 1
        var place = home(tsid.metricID)
        let low = UInt32(truncatingIfNeeded: tsid.metricID)
        let isEnough = isDense && isNearBase(tsid.metricID)
        while places[place].number != SeriesRanks.nobody {
            if places[place].idLow == low {
                let number = Int(places[place].number)
                if isEnough || tsids[number].metricID == tsid.metricID { return number }
            }
            place = (place &+ 1) & mask
        }
        return insert(tsid, place)
    }

    @inline(__always) private func isNearBase(_ metricID: UInt64) -> Bool { (metricID &- idBase) &>> 32 == 0 }

    private mutating func insert(_ tsid: TSID, _ place: Int) -> Int {
        if count == 0 { idBase = tsid.metricID &- (1 &<< 31) }
        if !isNearBase(tsid.metricID) { isDense = false }
        places[place] = Place(idLow: UInt32(truncatingIfNeeded: tsid.metricID), number: UInt32(count))
        if count == capacity { growSeries() }
        (tsids + count).initialize(to: tsid)
        (counts + count).initialize(to: 0)
        count += 1
        if 2 * count > 1 << placesLog2 { growPlaces() }
        return count - 1
    }

    private mutating func growSeries() {
        func grown<Element>(_ old: UnsafeMutablePointer<Element>) -> UnsafeMutablePointer<Element> {
            let larger = UnsafeMutablePointer<Element>.allocate(capacity: 2 * capacity)
            larger.moveInitialize(from: old, count: capacity)
            old.deallocate()
            return larger
        }
        tsids = grown(tsids)
        order = grown(order)
        counts = grown(counts)
        capacity *= 2
    }

    private mutating func growPlaces() {
        places.deallocate()
        placesLog2 += 1
        places = SeriesRanks.emptyPlaces(1 << placesLog2)
        let mask = (1 << placesLog2) - 1
        for number in 0..<count {
            let metricID = tsids[number].metricID
            var place = home(metricID)
            while places[place].number != SeriesRanks.nobody { place = (place &+ 1) & mask }
            places[place] = Place(idLow: UInt32(truncatingIfNeeded: metricID), number: UInt32(number))
        }
    }

    // MARK: order

    /// Brings the series that came since the last call into the order.
    mutating func sortNewSeries() {
        let new = count - ordered
        if new == 0 { return }
        for index in ordered..<count { (order + index).initialize(to: UInt32(index)) }
        if !isAscending(ordered, count) { sort(order + ordered, new) }
        if ordered > 0 { mergeOrder() }
        ordered = count
    }

    private func isAscending(_ first: Int, _ end: Int) -> Bool {
        for index in (first + 1)..<max(end, first + 1) where tsids[index] < tsids[index - 1] { return false }
        return true
    }

    /// Sorts numbers by their TSIDs, whose stored forms are in the order of bytes.
    private mutating func sort(_ numbers: UnsafeMutablePointer<UInt32>, _ count: Int) {
        var arena = RawBuffer(capacity: count * TSID.storedBytes)
        let refs = UnsafeMutableBufferPointer<ItemRef>.allocate(capacity: 2 * count)
        defer { refs.deallocate() }
        for index in 0..<count {
            tsids[Int(numbers[index])].store(at: arena.end)
            refs.initializeElement(
                at: index, to: ItemRef(key: 0, offset: UInt32(arena.count), length: UInt32(TSID.storedBytes)))
            arena.commit(TSID.storedBytes)
        }
        for index in count..<(2 * count) {
            refs.initializeElement(at: index, to: ItemRef(key: 0, offset: 0, length: 0))
        }
        ItemSort.sort(
            UnsafeMutableBufferPointer(rebasing: refs[..<count]), base: arena.base,
            scratch: UnsafeMutableBufferPointer(rebasing: refs[count...]))
        // The numbers to be sorted were ascending without gaps.
        let first = numbers[0]
        for index in 0..<count { numbers[index] = first + refs[index].offset / UInt32(TSID.storedBytes) }
    }

    /// Merges the new end of the order with what was there, from the back.
    private func mergeOrder() {
        let new = count - ordered
        if tsids[Int(order[ordered - 1])] < tsids[Int(order[ordered])] { return }
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: new) { moved in
            let moved = moved.baseAddress.unsafelyUnwrapped
            moved.initialize(from: order + ordered, count: new)
            var old = ordered
            var rest = new
            var target = count
            while rest > 0 {
                target &-= 1
                if old > 0, tsids[Int(moved[rest &- 1])] < tsids[Int(order[old &- 1])] {
                    old &-= 1
                    order[target] = order[old]
                } else {
                    rest &-= 1
                    order[target] = moved[rest]
                }
            }
        }
    }
}
