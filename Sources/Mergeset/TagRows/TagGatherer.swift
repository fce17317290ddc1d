// TagGatherer.swift - tag rows that are born merged.
//
// A new series makes a row "this tag -> this id" for its metric group, for each tag, and for each pair of group and tag
// (the composite tags); a day's registration makes them again with the date. Most tags repeat over many series. Instead
// of making these rows, the gatherer keeps one list of ids per distinct tag and writes the finished rows, many ids each,
// when the run is sealed. The rows obey docs/format/mergeset-table.md, 13: at most 126 ids, ascending, no duplicates.
//
//   tags        interned: tenant (8) | TAG bytes  ->  entry number, found by hash     TAG = esc(key) 01 esc(value) 01
//   groups      entries whose TAG has the empty key; they also hold their composite prefix, esc(FE uvarint(len) group)
//   composites  (group entry, tag entry) -> list: a pair of integers, no bytes at all until the rows are written
//
// One gatherer serves registrations of one kind: global, of one day, or both at once (the lists are the same then).
//
// Why composites need no string sort: the prefixes of two groups are never prefixes of each other (the length comes
// first, escaping is prefix-free), and TAG(C(G,k),v) = prefix(G) || TAG(k,v). So their order is that of the pair
// (rank of the group's prefix, rank of the tag): integers.
//
// Consecutive series mostly share their tags with the one before (the series of one target come together), so the
// entries of the series before are tried first: a comparison of hot bytes instead of a hash and a lookup.
//
// Threads: one owner (the shard whose lock is held).

import CIntrinsics
import StorageBytes

/// Which rows of the inverted index a registration adds.
public enum TagRegistration: Sendable, Equatable {
    /// Namespace 1.
    case global
    /// Namespace 6 for a date (days since 1970).
    case day(UInt64)
    /// Both.
    case globalAndDay(UInt64)

    var isGlobal: Bool {
        if case .day = self { false } else { true }
    }
    var date: UInt64? {
        switch self {
        case .global: nil
        case .day(let date), .globalAndDay(let date): date
        }
    }
}

/// The tags of one series, as ranges of bytes that the caller keeps alive.
public struct SeriesTags {
    /// One tag: the bytes esc(key) 01 esc(value) 01, as an offset from ``base`` and a length.
    public struct Span {
        /// Offset from ``SeriesTags/base``.
        public var offset: UInt32
        /// Bytes, terminators included.
        public var length: UInt32

        /// A span.
        public init(offset: UInt32, length: UInt32) {
            self.offset = offset
            self.length = length
        }
    }

    /// Account and project, as one big-endian number.
    public var tenant: UInt64
    /// What the spans count from; ``RawBuffer/slack`` bytes behind the last span are readable.
    public var base: UnsafeRawPointer
    /// The metric group: esc(group) 01.
    public var group: Span
    /// The tags in canonical order.
    public var tags: UnsafeBufferPointer<Span>
    /// The composite prefix of the group: the escaped bytes of FE, uvarint(length of the group), group.
    public var compositePrefix: UnsafeRawBufferPointer
    /// The whole TAG of the reversed name, for groups with a dot; empty otherwise.
    public var reverseNameTag: UnsafeRawBufferPointer

    /// The tags of one series.
    public init(
        tenant: UInt64, base: UnsafeRawPointer, group: Span, tags: UnsafeBufferPointer<Span>,
        compositePrefix: UnsafeRawBufferPointer, reverseNameTag: UnsafeRawBufferPointer
    ) {
        self.tenant = tenant
        self.base = base
        self.group = group
        self.tags = tags
        self.compositePrefix = compositePrefix
        self.reverseNameTag = reverseNameTag
    }

    /// Bytes of one row besides TAG: kind, tenant, one id; the date comes on top.
    static let rowFixedBytes = 1 + 8 + 8

    /// Rows that a single registration kind makes, and the bytes of all their TAGs.
    var rowCountAndTagBytes: (rows: Int, bytes: Int) {
        var tagBytes = 0
        for tag in tags { tagBytes &+= Int(tag.length) }
        let n = tags.count
        let reverse = reverseNameTag.count
        let rows = 1 &+ 2 &* n &+ (reverse > 0 ? 1 : 0)
        return (rows, 1 &+ Int(group.length) &+ 2 &* tagBytes &+ n &* compositePrefix.count &+ reverse)
    }
}

/// An interned tag.
struct TagEntry {
    /// Where tenant and TAG lie in the names.
    var offset: UInt32
    var length: UInt32
    /// For groups: where tenant and composite prefix lie; length 0 for other tags.
    var prefixOffset: UInt32
    var prefixLength: UInt32
    var list: PostingList
}

/// A pair of group and tag.
struct CompositeEntry {
    var group: UInt32
    var tag: UInt32
    var list: PostingList
}

/// Lists of ids per distinct tag, for one kind of registration.
struct TagGatherer: ~Copyable {
    let registration: TagRegistration

    // Names of entries: tenant || TAG, and tenant || composite prefix.
    var names = RawBuffer(capacity: 1 << 16)
    var entries: UnsafeMutablePointer<TagEntry>
    private(set) var entryCount = 0
    private var entryCapacity = 1024
    private var tagSlots: SlotTable
    var composites: UnsafeMutablePointer<CompositeEntry>
    private(set) var compositeCount = 0
    private var compositeCapacity = 1024
    private var compositeSlots: SlotTable
    var pool = PostingPool()

    /// Entries of the series before, by position; position 0 is the group.
    private var recent: UnsafeMutablePointer<UInt32>
    private var recentCount = 0
    private var recentCapacity = 64
    private var pending: UnsafeMutablePointer<UInt64>

    // What was appended since the batch began, for taking it back: entry number, top bit set for composites.
    private var journal: UnsafeMutablePointer<UInt32>
    private var journalCount = 0
    private var journalCapacity = 1 << 12
    private var scratch = RawBuffer(capacity: 1024)

    private static let compositeBit: UInt32 = 1 << 31
    /// Bytes that the rows of one namespace will take, at most (each list is charged for its own prefix once a row).
    private(set) var rowBytes = 0

    init(_ registration: TagRegistration) {
        self.registration = registration
        entries = .allocate(capacity: entryCapacity)
        composites = .allocate(capacity: compositeCapacity)
        tagSlots = SlotTable(capacity: 2048)
        compositeSlots = SlotTable(capacity: 2048)
        recent = .allocate(capacity: recentCapacity)
        pending = .allocate(capacity: recentCapacity)
        journal = .allocate(capacity: journalCapacity)
    }

    deinit {
        entries.deallocate()
        composites.deallocate()
        recent.deallocate()
        pending.deallocate()
        journal.deallocate()
    }

    var isEmpty: Bool { entryCount == 0 }

    /// Bytes that the rows of all namespaces will take when they are written, nearly.
    var rowBytesInAll: Int { rowBytes * ((registration.isGlobal ? 1 : 0) + (registration.date == nil ? 0 : 1)) }

    /// Forgets everything and keeps the memory.
    mutating func removeAll() {
        names.removeAll()
        entryCount = 0
        compositeCount = 0
        recentCount = 0
        journalCount = 0
        rowBytes = 0
        pool.removeAll()
        tagSlots.removeAll()
        compositeSlots.removeAll()
    }

    // MARK: batches

    mutating func beginBatch() { journalCount = 0 }

    /// Takes back the ids appended since the batch began. Interned tags stay; those without ids make no rows.
    mutating func rollBack() {
        while journalCount > 0 {
            journalCount -= 1
            let number = journal[journalCount]
            if number & TagGatherer.compositeBit != 0 {
                composites[Int(number & ~TagGatherer.compositeBit)].list.count -= 1
            } else {
                entries[Int(number)].list.count -= 1
            }
        }
    }

    private mutating func reserveJournal(_ extra: Int) {
        guard journalCount + extra > journalCapacity else { return }
        let wider = max(journalCapacity * 2, journalCount + extra)
        let target = UnsafeMutablePointer<UInt32>.allocate(capacity: wider)
        target.update(from: journal, count: journalCount)
        journal.deallocate()
        journal = target
        journalCapacity = wider
    }

    // MARK: adding

    /// Adds `id` to the group, to each tag, and to each composite tag of a series. O(tags), amortised.
    mutating func add(_ series: SeriesTags, id: UInt64) {
        let tags = series.tags
        let count = tags.count
        reserveRecent(count + 1)
        reserveJournal(2 * count + 2)

        rowBytes &+= 8 &* (2 &* count &+ 2)
        let group = internGroup(series)
        append(id, toEntry: group)
        if series.reverseNameTag.count > 0 {
            append(id, toEntry: intern(series.tenant, series.reverseNameTag.baseAddress!, series.reverseNameTag.count))
        }
        for index in 0..<count {
            let span = tags[index]
            let bytes = series.base + Int(span.offset)
            let length = Int(span.length)
            let position = index &+ 1
            var entry: UInt32
            if position < recentCount, matches(recent[position], series.tenant, bytes, length) {
                entry = recent[position]
            } else {
                entry = intern(series.tenant, bytes, length)
                recent[position] = entry
                if position >= recentCount { recentCount = position &+ 1 }
            }
            append(id, toEntry: entry)
            // The slot of the composite is asked for now and looked at in the next loop.
            let hash = TagGatherer.pairHash(group, entry)
            pending[position] = hash
            compositeSlots.prefetch(hash)
        }
        for position in 1..<max(count &+ 1, 1) {
            let number = findComposite(group, recent[position], pending[position])
            pool.append(id, to: &composites[number].list)
            journal[journalCount] = UInt32(truncatingIfNeeded: number) | TagGatherer.compositeBit
            journalCount &+= 1
        }
    }

    @inline(__always)
    private mutating func append(_ id: UInt64, toEntry entry: UInt32) {
        pool.append(id, to: &entries[Int(entry)].list)
        journal[journalCount] = entry
        journalCount &+= 1
    }

    private mutating func reserveRecent(_ wanted: Int) {
        guard wanted > recentCapacity else { return }
        let wider = max(recentCapacity * 2, wanted)
        let target = UnsafeMutablePointer<UInt32>.allocate(capacity: wider)
        target.update(from: recent, count: recentCount)
        recent.deallocate()
        recent = target
        pending.deallocate()
        pending = .allocate(capacity: wider)
        recentCapacity = wider
    }

    @inline(__always)
    private func matches(_ entry: UInt32, _ tenant: UInt64, _ bytes: UnsafeRawPointer, _ length: Int) -> Bool {
        let known = entries[Int(entry)]
        guard Int(known.length) == length &+ 8 else { return false }
        let name = names.base + Int(known.offset)
        guard BigEndian.load64(name) == tenant else { return false }
        return Bytes.commonPrefix(name + 8, bytes, length) == length
    }

    /// The entry of the group's own tag, whose bytes are 01 esc(group) 01.
    private mutating func internGroup(_ series: SeriesTags) -> UInt32 {
        scratch.removeAll()
        scratch.append(UInt8(1))
        scratch.append(
            UnsafeRawBufferPointer(start: series.base + Int(series.group.offset), count: Int(series.group.length)))
        if recentCount > 0, matches(recent[0], series.tenant, scratch.base, scratch.count) { return recent[0] }
        let entry = intern(series.tenant, scratch.base, scratch.count)
        if entries[Int(entry)].prefixLength == 0 {
            entries[Int(entry)].prefixOffset = UInt32(names.count)
            entries[Int(entry)].prefixLength = UInt32(series.compositePrefix.count + 8)
            names.appendBigEndian(series.tenant)
            names.append(series.compositePrefix)
        }
        recent[0] = entry
        if recentCount == 0 { recentCount = 1 }
        return entry
    }

    private mutating func intern(_ tenant: UInt64, _ bytes: UnsafeRawPointer, _ length: Int) -> UInt32 {
        let hash = Hash.memory(bytes, length, seed: tenant)
        var position = tagSlots.start(hash)
        while let number = tagSlots.candidate(&position, hash) {
            if matches(number, tenant, bytes, length) { return number }
        }
        if entryCount == entryCapacity { growEntries() }
        let number = UInt32(entryCount)
        entries[entryCount] = TagEntry(
            offset: UInt32(names.count), length: UInt32(length + 8), prefixOffset: 0, prefixLength: 0,
            list: PostingList())
        entryCount += 1
        rowBytes &+= 17 &+ length
        names.appendBigEndian(tenant)
        names.append(UnsafeRawBufferPointer(start: bytes, count: length))
        tagSlots.insert(hash, number)
        return number
    }

    @inline(__always)
    private static func pairHash(_ group: UInt32, _ tag: UInt32) -> UInt64 {
        let product = (UInt64(group) &<< 32 | UInt64(tag)).multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
        return product.high ^ product.low
    }

    @inline(__always)
    private mutating func findComposite(_ group: UInt32, _ tag: UInt32, _ hash: UInt64) -> Int {
        var position = compositeSlots.start(hash)
        while let number = compositeSlots.candidate(&position, hash) {
            let known = composites[Int(number)]
            if known.group == group && known.tag == tag { return Int(number) }
        }
        return addComposite(group, tag, hash)
    }

    @inline(never)
    private mutating func addComposite(_ group: UInt32, _ tag: UInt32, _ hash: UInt64) -> Int {
        if compositeCount == compositeCapacity { growComposites() }
        composites[compositeCount] = CompositeEntry(group: group, tag: tag, list: PostingList())
        compositeCount += 1
        rowBytes &+= 9 &+ Int(entries[Int(group)].prefixLength) &+ Int(entries[Int(tag)].length) &- 8
        compositeSlots.insert(hash, UInt32(compositeCount - 1))
        return compositeCount - 1
    }

    private mutating func growEntries() {
        let target = UnsafeMutablePointer<TagEntry>.allocate(capacity: entryCapacity * 2)
        target.update(from: entries, count: entryCount)
        entries.deallocate()
        entries = target
        entryCapacity *= 2
    }

    private mutating func growComposites() {
        let target = UnsafeMutablePointer<CompositeEntry>.allocate(capacity: compositeCapacity * 2)
        target.update(from: composites, count: compositeCount)
        composites.deallocate()
        composites = target
        compositeCapacity *= 2
    }
}

/// Open addressing from hashes to numbers: 8-byte slots of 32 bits of the hash and the number + 1; zero is free. At most
/// half full. The owner compares what the numbers stand for.
struct SlotTable: ~Copyable {
    private var slots: UnsafeMutablePointer<UInt64>
    private var mask: Int
    private var used = 0

    init(capacity: Int) {
        precondition(capacity > 0 && capacity & (capacity - 1) == 0, "a power of two, not \(capacity)")
        slots = .allocate(capacity: capacity)
        slots.initialize(repeating: 0, count: capacity)
        mask = capacity - 1
    }

    deinit { slots.deallocate() }

    mutating func removeAll() {
        slots.update(repeating: 0, count: mask + 1)
        used = 0
    }

    /// Positions follow from the upper half of the hash, which is also what a slot keeps: so the table can grow.
    @inline(__always)
    func start(_ hash: UInt64) -> Int { Int(truncatingIfNeeded: hash &>> 32) & mask }

    @inline(__always)
    func prefetch(_ hash: UInt64) { ci_prefetch(slots + start(hash)) }

    /// The next number whose hash may be `hash`, from `position` on; nil at a free slot.
    @inline(__always)
    func candidate(_ position: inout Int, _ hash: UInt64) -> UInt32? {
        while true {
            let slot = slots[position]
            if slot == 0 { return nil }
            position = (position &+ 1) & mask
            if slot &>> 32 == hash &>> 32 { return UInt32(truncatingIfNeeded: slot) &- 1 }
        }
    }

    mutating func insert(_ hash: UInt64, _ number: UInt32) {
        used += 1
        if used * 2 > mask { grow() }
        place((hash & 0xFFFF_FFFF_0000_0000) | UInt64(number + 1))
    }

    private func place(_ slot: UInt64) {
        var position = start(slot)
        while slots[position] != 0 { position = (position + 1) & mask }
        slots[position] = slot
    }

    @inline(never)
    private mutating func grow() {
        let old = slots
        let count = mask + 1
        slots = .allocate(capacity: count * 2)
        slots.initialize(repeating: 0, count: count * 2)
        mask = count * 2 - 1
        for index in 0..<count where old[index] != 0 { place(old[index]) }
        old.deallocate()
    }
}
