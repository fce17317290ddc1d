// RawBuffer.swift - a growing run of bytes with one owner.
//
//   base                    base + count         base + capacity
//    | bytes written so far  | room               | slack (32 bytes, never counted) |
//
// The slack behind the capacity is there so that copies may run in steps of 16 or 32 bytes past the end of what they
// copy. Reads of up to 32 bytes behind `count` are therefore inside the allocation, too; their values are undefined.
//
// Contract: the buffer owns its memory; pointers into it die with the next call that may grow it and with the buffer.
// Threads: one owner at a time.

/// Bytes in one allocation that grows by doubling.
public struct RawBuffer: ~Copyable, @unchecked Sendable {
    @usableFromInline var storage: UnsafeMutableRawPointer
    @usableFromInline var used: Int
    @usableFromInline var room: Int

    /// First byte.
    @inlinable public var base: UnsafeMutableRawPointer { storage }
    /// Bytes written.
    @inlinable public var count: Int { used }
    /// Bytes that fit without growing.
    @inlinable public var capacity: Int { room }

    /// Bytes of every allocation behind its capacity.
    public static let slack = 32

    /// An empty buffer with room for `capacity` bytes.
    public init(capacity: Int = 0) {
        storage = .allocate(byteCount: capacity + RawBuffer.slack, alignment: 64)
        used = 0
        room = capacity
    }

    /// A buffer with a copy of `bytes`.
    public init(copying bytes: UnsafeRawBufferPointer) {
        self.init(capacity: bytes.count)
        append(bytes)
    }

    deinit { storage.deallocate() }

    /// Ends the buffer; its memory goes back to the system, not only to the allocator (``MemoryPages``). For large buffers that
    /// are one too many.
    public consuming func giveBack() { MemoryPages.drop(storage, room + RawBuffer.slack) }

    /// The bytes written so far. Valid until the buffer grows or dies.
    @inlinable public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    /// The first byte behind what was written.
    @inlinable public var end: UnsafeMutableRawPointer { base + count }

    /// Forgets the contents and keeps the memory.
    @inlinable public mutating func removeAll() { used = 0 }

    /// Cuts the contents to the first `newCount` bytes.
    public mutating func truncate(to newCount: Int) {
        precondition(newCount >= 0 && newCount <= count, "truncate to \(newCount) of \(count) bytes")
        used = newCount
    }

    /// Makes room for `extra` more bytes. Amortised constant time per byte.
    @inlinable public mutating func reserve(_ extra: Int) {
        if count &+ extra > capacity { grow(extra) }
    }

    /// Makes room for `extra` more bytes and no further ones: for memory that is counted. Copies the contents.
    public mutating func reserveExactly(_ extra: Int) {
        if count + extra > capacity { move(toCapacity: count + extra) }
    }

    @usableFromInline @inline(never) mutating func grow(_ extra: Int) {
        move(toCapacity: Swift.max(count + extra, Swift.min(capacity * 2, capacity + (64 << 20)), 64))
    }

    private mutating func move(toCapacity wanted: Int) {
        let target = UnsafeMutableRawPointer.allocate(byteCount: wanted + RawBuffer.slack, alignment: 64)
        target.copyMemory(from: base, byteCount: count)
        storage.deallocate()
        storage = target
        room = wanted
    }

    /// Declares that the caller has written `extra` bytes at ``end``, for which it had reserved room.
    @inlinable public mutating func commit(_ extra: Int) {
        assert(extra >= 0 && count + extra <= capacity)
        used &+= extra
    }

    /// Appends bytes that do not lie in this buffer.
    @inlinable public mutating func append(_ source: UnsafeRawBufferPointer) {
        guard let start = source.baseAddress else { return }
        reserve(source.count)
        end.copyMemory(from: start, byteCount: source.count)
        commit(source.count)
    }

    /// Appends bytes of an array.
    @inlinable public mutating func append(_ source: [UInt8]) { source.withUnsafeBytes { append($0) } }

    /// Appends one byte.
    @inlinable public mutating func append(_ byte: UInt8) {
        reserve(1)
        end.storeBytes(of: byte, as: UInt8.self)
        commit(1)
    }

    /// Appends a fixed-width unsigned integer, big-endian (docs/format/encoding-primitives.md, 2).
    @inlinable public mutating func appendBigEndian<Integer: FixedWidthInteger & UnsignedInteger>(_ value: Integer) {
        reserve(MemoryLayout<Integer>.size)
        end.storeBytes(of: value.bigEndian, as: Integer.self)
        commit(MemoryLayout<Integer>.size)
    }

    /// Appends a variable-length unsigned integer (docs/format/encoding-primitives.md, 4).
    @inlinable public mutating func appendVarint(_ value: UInt64) {
        reserve(Varint.lengthMax)
        commit(Varint.store(value, at: end))
    }

    /// Appends a variable-length signed integer (docs/format/encoding-primitives.md, 5).
    @inlinable public mutating func appendSignedVarint(_ value: Int64) { appendVarint(ZigZag.encode(value)) }

    /// Appends length-prefixed bytes (docs/format/encoding-primitives.md, 6).
    @inlinable public mutating func appendPrefixed(_ source: UnsafeRawBufferPointer) {
        appendVarint(UInt64(source.count))
        append(source)
    }

    /// The contents as an array.
    public func array() -> [UInt8] { [UInt8](bytes) }
}
