// RowDecoder.swift - the rows of a packet (docs/format/cluster-rpc.md, 4.2).
//
//   varuint nameLength | raw name | u64 timestamp, milliseconds, two's complement | u64 bits of the value
//
// Names are lent from the packet's chunks. A row that crosses a border of chunks is put together in a piece of its own,
// which lives until the next batch. A name above WireLimits.rowNameBytesMax cannot be stored by anybody: its row is passed
// over and counted.
//
// Contract: rows of a batch point into the packet and the pieces; both live until the next call of `next` and the end of
// the decoder. Threads: one owner at a time.

import StorageBytes

/// Decodes the rows of one packet, batch by batch.
public struct RowDecoder: ~Copyable, @unchecked Sendable {
    @usableFromInline let packet: Packet
    @usableFromInline var cursor: ByteCursor  // in the current chunk
    private var nextChunk = 0
    private var bytesBehind: Int  // in the chunks from `nextChunk` on
    private var pieces: [UnsafeMutableRawPointer] = []
    private var pieceBytes = 0
    /// Rows passed over because their names are too long to be stored.
    public private(set) var tooLongRows = 0

    /// Bytes of pieces at which a batch ends early.
    static let pieceBytesMax = 2 << 20

    /// A decoder at the first row.
    public init(_ packet: Packet) {
        self.packet = packet
        cursor = ByteCursor(UnsafeRawBufferPointer(start: nil, count: 0))
        bytesBehind = packet.count
    }

    deinit { for piece in pieces { piece.deallocate() } }

    /// Bytes not decoded yet.
    public var remaining: Int { cursor.remaining + bytesBehind }

    /// Decodes the next rows into `rows`, which has room for `rowsMax` of them.
    ///
    /// - Parameter make: Makes a row of its name, its timestamp in Unix milliseconds and its value.
    /// - Returns: How many; 0 behind the last one.
    /// - Throws: For broken framing; the rows decoded by this call are not to be used then.
    /// - Complexity: O(rows); names are not looked at.
    @inlinable public mutating func next<Row>(
        into rows: UnsafeMutablePointer<Row>, rowsMax: Int,
        make: (UnsafeRawBufferPointer, Int64, Double) -> Row
    ) throws(DecodeError) -> Int {
        forgetPieces()
        var count = 0
        while count < rowsMax {
            var here = cursor
            if here.remaining > 0, let row = RowDecoder.row(&here) {
                cursor = here
                (rows + count).initialize(to: make(row.name, row.timestamp, row.value))
                count &+= 1
                continue
            }
            guard let row = try crossBorder() else {
                if remaining == 0 || hasManyPieces { return count }
                continue
            }
            (rows + count).initialize(to: make(row.name, row.timestamp, row.value))
            count &+= 1
        }
        return count
    }

    @usableFromInline typealias DecodedRow = (name: UnsafeRawBufferPointer, timestamp: Int64, value: Double)

    /// A row that lies whole in the bytes of the cursor; nil when it does not.
    @inlinable @inline(__always) static func row(_ cursor: inout ByteCursor) -> DecodedRow? {
        guard let length = try? cursor.readVarint(), length <= UInt64(WireLimits.rowNameBytesMax),
            cursor.remaining >= Int(length) &+ 16
        else { return nil }
        let start = cursor.position
        let count = Int(length)
        let timestamp = Int64(bitPattern: BigEndian.load64(start + count))
        let value = Double(bitPattern: BigEndian.load64(start + count + 8))
        cursor.move(to: start + count + 16)
        return (UnsafeRawBufferPointer(start: start, count: count), timestamp, value)
    }

    /// Whether the batch should end for the memory of its pieces.
    @usableFromInline var hasManyPieces: Bool { pieceBytes >= RowDecoder.pieceBytesMax }

    @usableFromInline mutating func forgetPieces() {
        for piece in pieces { piece.deallocate() }
        pieces.removeAll(keepingCapacity: true)
        pieceBytes = 0
    }

    /// Goes on where the current chunk has no whole row: into the next chunk, or through a piece.
    ///
    /// - Returns: A row out of a piece; nil when nothing was decoded: at the end, at a new chunk, behind a row that was
    ///   passed over, and when there are many pieces already.
    @usableFromInline mutating func crossBorder() throws(DecodeError) -> DecodedRow? {
        if cursor.remaining == 0 {
            if bytesBehind > 0 { enterChunk() }
            return nil
        }
        if hasManyPieces { return nil }
        var head = RawBuffer(capacity: Varint.lengthMax)
        peek(min(Varint.lengthMax, remaining), into: &head)
        var headCursor = ByteCursor(head.bytes)
        let length = try headCursor.readVarint()
        let prefix = head.count - headCursor.remaining
        guard length <= UInt64(remaining), remaining - prefix - Int(length) >= 16 else { throw .truncated }
        let total = prefix + Int(length) + 16
        if length > UInt64(WireLimits.rowNameBytesMax) {
            tooLongRows += 1
            skip(total)
            return nil
        }
        let memory = UnsafeMutableRawPointer.allocate(byteCount: total + RawBuffer.slack, alignment: 64)
        pieces.append(memory)
        pieceBytes += total
        take(total, to: memory)
        var whole = ByteCursor(UnsafeRawBufferPointer(start: memory, count: total))
        guard let row = RowDecoder.row(&whole) else { throw .truncated }
        return row
    }

    private mutating func enterChunk() {
        let chunk = packet.chunks[nextChunk]
        nextChunk += 1
        bytesBehind -= chunk.count
        cursor = ByteCursor(UnsafeRawBufferPointer(chunk))
    }

    /// Copies the next `count` bytes without moving on; as many are there.
    private func peek(_ count: Int, into target: inout RawBuffer) {
        target.append(UnsafeRawBufferPointer(rebasing: cursor.rest.prefix(count)))
        var chunk = nextChunk
        while target.count < count {
            let bytes = packet.chunks[chunk].prefix(count - target.count)
            target.append(UnsafeRawBufferPointer(UnsafeMutableRawBufferPointer(rebasing: bytes)))
            chunk += 1
        }
    }

    /// Copies the next `count` bytes and moves on; as many are there.
    private mutating func take(_ count: Int, to target: UnsafeMutableRawPointer) {
        var written = 0
        while written < count {
            if cursor.remaining == 0 { enterChunk() }
            let step = min(count - written, cursor.remaining)
            (target + written).copyMemory(from: cursor.position, byteCount: step)
            cursor.move(to: cursor.position + step)
            written += step
        }
    }

    private mutating func skip(_ count: Int) {
        var left = count
        while left > 0 {
            if cursor.remaining == 0 { enterChunk() }
            let step = min(left, cursor.remaining)
            cursor.move(to: cursor.position + step)
            left -= step
        }
    }
}
