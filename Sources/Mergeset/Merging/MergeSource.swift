// MergeSource.swift - one sorted input of a merge: a run in memory or a part on disk, item by item.
//
// A source stands on an item (its head) and knows how many bytes the head shares with the item it delivered before. For
// blocks that number was found by decoding; for runs it is found here, the items having been asked for some steps ahead.
// Items of a run in two pieces are put together in one of two buffers in turn, so that the one before is still there.
// A part's block is decoded only when its second item is wanted: until then the head is the first item from the header,
// and the block can still be passed on as it is stored.
//
// Contract: the head is valid until the next `advance()`; RawBuffer.slack bytes behind it are readable.
// Threads: one owner.

import CIntrinsics
import StorageBytes
import StorageRuntime

/// A sorted input of a merge.
struct MergeSource: ~Copyable {
    /// The head, and the bytes it shares with the item delivered before.
    private(set) var item: UnsafeRawPointer
    private(set) var length: Int
    private(set) var shared: Int
    /// No head any more.
    private(set) var isExhausted: Bool

    private var position = 0
    private var count = 0

    // A run in memory.
    private let run: MemoryRun?
    private let refs: UnsafePointer<ItemRef>
    private let base: UnsafeRawPointer
    /// The joined item at the head, and the one before.
    private var joined = RawBuffer(), joinedBefore = RawBuffer()

    // A part on disk.
    private let stream: UnsafeMutablePointer<PartStream>?
    private(set) var isDecoded = false
    private var first = RawBuffer()

    private static let prefetchDistance = 6

    /// A source that stands on the first item of a run.
    init(_ run: MemoryRun) {
        self.run = run
        refs = run.sortedRefs
        base = run.base
        count = run.count
        isExhausted = false
        shared = 0
        item = base + Int(refs[0].offset)
        length = 0
        stream = nil
        if refs[0].isJoined { join(refs[0]) } else { length = Int(refs[0].length) }
    }

    /// A source that stands on the first item of a part; `twins` as for ``PartStream``.
    init(_ part: FilePart, leavingOut twins: DayTwins? = nil) throws(StorageError) {
        run = nil
        base = UnsafeRawPointer(first.base)
        refs = UnsafeRawPointer(first.base).assumingMemoryBound(to: ItemRef.self)
        item = base
        length = 0
        shared = 0
        isExhausted = true
        stream = .allocate(capacity: 1)
        stream!.initialize(to: PartStream(part, leavingOut: twins))
        try nextBlock(after: nil)
    }

    deinit {
        stream?.deinitialize(count: 1)
        stream?.deallocate()
    }

    /// Whether this is a part on disk that stands at the beginning of a block not decoded yet.
    var isAtStoredBlock: Bool { run == nil && !isDecoded && !isExhausted }

    /// Moves to the next item.
    @inline(__always)
    mutating func advance() throws(StorageError) {
        if run != nil {
            let next = position &+ 1
            if next == count {
                isExhausted = true
                return
            }
            let ahead = next &+ MergeSource.prefetchDistance
            if ahead < count {
                let address = base + Int(refs[ahead].offset)
                ci_prefetch(address)
                ci_prefetch(address + 64)
            }
            let ref = refs[next]
            position = next
            guard !ref.isJoined else { return join(ref) }
            let address = base + Int(ref.offset)
            let count = Int(ref.length)
            shared = Bytes.commonPrefix(item, address, Swift.min(length, count))
            item = address
            length = count
        } else {
            try advanceInPart()
        }
    }

    /// Puts a joined item together and stands on it.
    private mutating func join(_ ref: ItemRef) {
        let count = ref.itemBytes
        swap(&joined, &joinedBefore)
        joined.removeAll()
        joined.reserve(count)
        ref.join(base, at: joined.base)
        let address = UnsafeRawPointer(joined.base)
        shared = Bytes.commonPrefix(item, address, Swift.min(length, count))
        item = address
        length = count
    }

    private mutating func advanceInPart() throws(StorageError) {
        if !isDecoded {
            try stream.unsafelyUnwrapped.pointee.decode()
            isDecoded = true
            count = stream.unsafelyUnwrapped.pointee.items.count
            let head = stream.unsafelyUnwrapped.pointee.items[0]
            item = head.baseAddress.unsafelyUnwrapped
        }
        let next = position &+ 1
        if next == count {
            try nextBlock(after: UnsafeRawBufferPointer(start: item, count: length))
            return
        }
        position = next
        let head = stream.unsafelyUnwrapped.pointee.items[next]
        item = head.baseAddress.unsafelyUnwrapped
        length = head.count
        shared = stream.unsafelyUnwrapped.pointee.items.sharedPrefix(next)
    }

    /// Moves to the first item of the next block. `last` is the item delivered last, nil when it is not known.
    private mutating func nextBlock(after last: UnsafeRawBufferPointer?) throws(StorageError) {
        guard try stream.unsafelyUnwrapped.pointee.nextBlock(after: last) else {
            isExhausted = true
            return
        }
        let head = stream.unsafelyUnwrapped.pointee.firstItem
        shared = last.map { Bytes.commonPrefix($0, head) } ?? 0
        // The header's bytes move when the next index block is read; the head must outlive that.
        first.removeAll()
        first.append(head)
        item = UnsafeRawPointer(first.base)
        length = first.count
        position = 0
        isDecoded = false
        isExhausted = false
    }

    // MARK: passing on whole blocks

    /// The header of the stored block this source stands at.
    var storedHeader: BlockHeader { stream.unsafelyUnwrapped.pointee.header }

    /// Calls `body` with the smallest item known not to be exceeded by any item of the stored block; nil when unknown.
    func withUpperBound<Result>(_ body: (UnsafeRawBufferPointer?) -> Result) -> Result {
        let (next, last) = stream.unsafelyUnwrapped.pointee.upperBound()
        if let last { return last.withUnsafeBytes { body($0) } }
        return body(next)
    }

    /// Passes the stored block on to `writer` and moves behind it.
    mutating func passOn(to writer: inout PartWriter) throws(StorageError) {
        let (_, last) = stream.unsafelyUnwrapped.pointee.upperBound()
        try writer.appendStored(
            stream.unsafelyUnwrapped.pointee.header, commonPrefix: stream.unsafelyUnwrapped.pointee.commonPrefix,
            firstItem: stream.unsafelyUnwrapped.pointee.firstItem,
            items: stream.unsafelyUnwrapped.pointee.itemsData, lens: stream.unsafelyUnwrapped.pointee.lensData,
            last: last)
        try nextBlock(after: nil)
    }

    /// What an error refers to.
    var path: String? { stream?.pointee.part.path }
}
