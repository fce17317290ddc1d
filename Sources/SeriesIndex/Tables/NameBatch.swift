// NameBatch.swift - the rows of a block whose series were not in the TSID cache, ordered by canonical name.
//
//   arena    | row 4 | last row 4 | date 8 | 00 | NAME | 02 | pad | ...      one entry a raw name
//   refs     (offset, length) of NAME                                        sorted; equal names are neighbours
//   next     the row behind a row in the list of its entry                   rows with the same raw name, in order
//   names    distinct names: first ref, number of refs, and what became of it
//
// `00 NAME 02` is the prefix of the name's row in the index: lookups need no copy of it.
//
// Threads: one owner at a time; kept from block to block.

import Mergeset
import StorageBytes
import StorageRuntime

/// What became of a name.
public enum NameOutcome: Sendable {
    /// Not resolved yet.
    case open
    /// Registered a moment ago, not flushed yet.
    case pending
    /// Found in the current table.
    case found
    /// Found in the previous table and registered in the current one.
    case carriedOver
    /// Created.
    case created
    /// Not created, because the caller did not want it.
    case refused
    /// Neither found nor created; ``NameBatch/firstError`` tells why.
    case failed
}

/// Rows waiting for their TSIDs.
public struct NameBatch: ~Copyable, @unchecked Sendable {
    /// A distinct canonical name.
    struct Name {
        var firstRef: Int
        var refCount: Int
        var fingerprint: Fingerprint
        var tsid: TSID
        var outcome: NameOutcome
    }

    private static let headBytes = 16
    static let noRow = UInt32.max

    private var arena = RawBuffer(capacity: 1 << 16)
    private var refs: UnsafeMutablePointer<ItemRef>
    private var scratch: UnsafeMutablePointer<ItemRef>
    private var refCount = 0
    private var refRoom = 1024
    private var next: UnsafeMutablePointer<UInt32>
    private var nextRoom = 8000
    private var names: UnsafeMutablePointer<Name>
    private var nameRoom = 1024
    /// Distinct names; 0 until ``sort(_:)``.
    public private(set) var nameCount = 0
    /// Rows.
    public private(set) var rowCount = 0
    /// Why the first of the failed names failed.
    public internal(set) var firstError: StorageError?

    /// An empty batch.
    public init() {
        refs = .allocate(capacity: refRoom)
        scratch = .allocate(capacity: refRoom)
        next = .allocate(capacity: nextRoom)
        names = .allocate(capacity: nameRoom)
    }

    deinit {
        refs.deallocate()
        scratch.deallocate()
        next.deallocate()
        names.deallocate()
    }

    /// Forgets all rows; room is made for rows `0..<rows`.
    public mutating func removeAll(rows: Int) {
        arena.removeAll()
        refCount = 0
        nameCount = 0
        rowCount = 0
        firstError = nil
        if rows > nextRoom {
            next.deallocate()
            nextRoom = rows
            next = .allocate(capacity: nextRoom)
        }
    }

    /// Adds a row.
    ///
    /// - Parameters:
    ///   - name: Its canonical name with the tenant, at most ``SeriesRows/nameBytesMax`` bytes.
    ///   - row: Its number, below what ``removeAll(rows:)`` was told, and not added before.
    ///   - date: The day of its timestamp.
    public mutating func append(_ name: UnsafeRawBufferPointer, row: Int, date: UInt64) {
        if refCount == refRoom { growRefs() }
        arena.reserve(NameBatch.headBytes + name.count + 2 + 8)
        let head = arena.end
        head.storeBytes(of: UInt32(truncatingIfNeeded: row), as: UInt32.self)
        head.storeBytes(of: UInt32(truncatingIfNeeded: row), toByteOffset: 4, as: UInt32.self)
        head.storeBytes(of: date, toByteOffset: 8, as: UInt64.self)
        let key = head + NameBatch.headBytes
        key.storeBytes(of: RowKind.nameToTSID, as: UInt8.self)
        if let start = name.baseAddress { (key + 1).copyMemory(from: start, byteCount: name.count) }
        (key + 1 + name.count).storeBytes(of: TagEscape.separator, as: UInt8.self)
        let offset = arena.count + NameBatch.headBytes + 1
        refs[refCount] = ItemRef(
            key: 0, offset: UInt32(truncatingIfNeeded: offset), length: UInt32(truncatingIfNeeded: name.count))
        refCount &+= 1
        // Heads stay aligned.
        arena.commit((NameBatch.headBytes + name.count + 2 + 7) & ~7)
        next[row] = NameBatch.noRow
        rowCount &+= 1
    }

    /// Adds a row with the raw name of the row added last.
    public mutating func appendAgain(row: Int) {
        precondition(refCount > 0, "no row before")
        let head = head(refCount &- 1)
        let last = head.load(fromByteOffset: 4, as: UInt32.self)
        next[Int(last)] = UInt32(truncatingIfNeeded: row)
        head.storeBytes(of: UInt32(truncatingIfNeeded: row), toByteOffset: 4, as: UInt32.self)
        next[row] = NameBatch.noRow
        rowCount &+= 1
    }

    /// Brings the rows into the order of their canonical names, rows of one name in the order in which they came.
    public mutating func sort(_ key: FingerprintKey) {
        ItemSort.sort(
            UnsafeMutableBufferPointer(start: refs, count: refCount), base: arena.base,
            scratch: UnsafeMutableBufferPointer(start: scratch, count: refCount))
        var index = 0
        while index < refCount {
            var end = index &+ 1
            while end < refCount, isSameName(index, end) { end &+= 1 }
            if end &- index > 1 {
                var group = UnsafeMutableBufferPointer(start: refs + index, count: end &- index)
                group.sort { $0.offset < $1.offset }
            }
            if nameCount == nameRoom { growNames() }
            let bytes = bytes(index)
            names[nameCount] = Name(
                firstRef: index, refCount: end &- index, fingerprint: key.fingerprint(bytes),
                tsid: TSID(
                    tenant: Tenant(bits: BigEndian.load64(bytes.baseAddress.unsafelyUnwrapped)), metricGroupID: 0,
                    jobID: 0, instanceID: 0, metricID: 0), outcome: .open)
            nameCount &+= 1
            index = end
        }
    }

    // MARK: names

    /// Canonical name `index` in ascending order, `0..<nameCount`. ``RawBuffer/slack`` bytes behind it are readable.
    public func name(_ index: Int) -> UnsafeRawBufferPointer { bytes(names[index].firstRef) }

    /// `00 NAME 02`: the prefix of the name's row.
    func key(_ index: Int) -> UnsafeRawBufferPointer {
        let name = name(index)
        return UnsafeRawBufferPointer(start: name.baseAddress.unsafelyUnwrapped - 1, count: name.count &+ 2)
    }

    /// The day of the first row of a name.
    public func date(_ index: Int) -> UInt64 { head(names[index].firstRef).load(fromByteOffset: 8, as: UInt64.self) }

    /// What became of a name.
    public func outcome(_ index: Int) -> NameOutcome { names[index].outcome }

    /// The TSID of a name that was found or created; of one that was refused, the id that it would have got.
    public func tsid(_ index: Int) -> TSID { names[index].tsid }

    func fingerprint(_ index: Int) -> Fingerprint { names[index].fingerprint }

    mutating func set(_ index: Int, _ outcome: NameOutcome) { names[index].outcome = outcome }

    mutating func set(_ index: Int, _ tsid: TSID, _ outcome: NameOutcome) {
        names[index].tsid = tsid
        names[index].outcome = outcome
    }

    mutating func fail(_ index: Int, _ error: StorageError) {
        names[index].outcome = .failed
        if firstError == nil { firstError = error }
    }

    /// Calls `body` with each row of a name; the second argument tells whether the row came by ``append(_:row:date:)``:
    /// the row before may still have the same raw name, when rows of other names came between them.
    @inline(__always)
    public func forEachRow(_ index: Int, _ body: (_ row: Int, _ startsForm: Bool) -> Void) {
        for ref in names[index].firstRef..<(names[index].firstRef &+ names[index].refCount) {
            var row = head(ref).load(as: UInt32.self)
            var isFirst = true
            while row != NameBatch.noRow {
                body(Int(row), isFirst)
                isFirst = false
                row = next[Int(row)]
            }
        }
    }

    // MARK: memory

    private func bytes(_ ref: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: arena.base + Int(refs[ref].offset), count: Int(refs[ref].length))
    }

    private func head(_ ref: Int) -> UnsafeMutableRawPointer {
        arena.base + (Int(refs[ref].offset) &- 1 &- NameBatch.headBytes)
    }

    private func isSameName(_ a: Int, _ b: Int) -> Bool {
        refs[a].length == refs[b].length && Bytes.compare(bytes(a), bytes(b)) == 0
    }

    private mutating func growRefs() {
        let wider = UnsafeMutablePointer<ItemRef>.allocate(capacity: refRoom * 2)
        wider.update(from: refs, count: refCount)
        refs.deallocate()
        scratch.deallocate()
        refs = wider
        refRoom *= 2
        scratch = .allocate(capacity: refRoom)
    }

    private mutating func growNames() {
        let wider = UnsafeMutablePointer<Name>.allocate(capacity: nameRoom * 2)
        wider.moveInitialize(from: names, count: nameCount)
        names.deallocate()
        names = wider
        nameRoom *= 2
    }
}
