// Packet.swift - a packet of rows in memory, and the machine that gathers one (docs/format/cluster-rpc.md, 4.1).
//
//   wire     u64 size | payload: size bytes          the size field is not kept
//   memory   | chunk 16 KiB | 64 KiB | 256 KiB | 256 KiB | ...     the last one may be smaller (ChunkPool)
//
// A payload lies in chunks, so that memory follows the bytes that have really come: whoever announces 100 MiB and sends
// nothing holds nothing. The decoder of the stream writes into the chunk itself. Rows are read from there (RowDecoder);
// only a row that crosses the border of two chunks is copied.
//
// Contract: a packet owns its chunks, each with 32 bytes of slack behind, and gives them back to the pool when it goes, or
// when its owner says so. The reader has it alone until it is complete; after that it is read-only.
//
// Threads: a reader has one owner; a complete packet may be passed on.

import StorageBytes

/// The payload of a packet.
public final class Packet: @unchecked Sendable {
    /// Bytes of the payload.
    public let count: Int
    private(set) var chunks: [UnsafeMutableRawBufferPointer] = []
    /// Sizes of the chunks in the pool; none for those of `init(copying:)`.
    private var sizes: [ChunkPool.Size] = []
    private let pool: ChunkPool?
    /// Payload bytes in the chunks so far.
    fileprivate(set) var filled = 0
    /// Bytes of memory of all chunks.
    public private(set) var memoryBytes = 0

    fileprivate init(count: Int, _ pool: ChunkPool?) {
        self.count = count
        self.pool = pool
    }

    /// A complete packet of given bytes, in chunks of a given size: for tests and fuzz targets.
    public convenience init(copying payload: UnsafeRawBufferPointer, chunkBytes: Int? = nil) {
        self.init(count: payload.count, nil)
        var rest = payload[...]
        while rest.count > 0 {
            let piece = rest.prefix(chunkBytes ?? 100_000)
            let memory = UnsafeMutableRawPointer.allocate(byteCount: piece.count + RawBuffer.slack, alignment: 64)
            memory.copyMemory(from: UnsafeRawBufferPointer(rebasing: piece).baseAddress!, byteCount: piece.count)
            chunks.append(UnsafeMutableRawBufferPointer(start: memory, count: piece.count))
            memoryBytes += piece.count + RawBuffer.slack
            filled += piece.count
            rest = rest.dropFirst(piece.count)
        }
    }

    deinit { giveBack() }

    /// Gives the chunks back, whoever still refers to the packet: nobody may read it any more.
    public func giveBack() {
        for (index, chunk) in chunks.enumerated() {
            if let pool { pool.give(chunk.baseAddress.unsafelyUnwrapped, sizes[index]) } else { chunk.deallocate() }
        }
        chunks = []
        sizes = []
    }

    /// The chunk that comes next: small ones first, so that memory follows the bytes.
    fileprivate var nextChunk: ChunkPool.Size {
        let step: ChunkPool.Size = chunks.count == 0 ? .small : chunks.count == 1 ? .middle : .large
        let fitting = ChunkPool.Size.fitting(count - filled)
        return fitting.rawValue < step.rawValue ? fitting : step
    }

    fileprivate func addChunk(_ size: ChunkPool.Size, _ pool: ChunkPool) {
        chunks.append(
            UnsafeMutableRawBufferPointer(start: pool.take(size), count: min(size.capacity, count - filled)))
        sizes.append(size)
        memoryBytes += size.bytes
    }

    /// The payload in one piece, copied.
    public func payload() -> [UInt8] { chunks.flatMap { Array($0) } }
}

/// Gathers packets from a stream.
public struct PacketReader: ~Copyable {
    /// Why ``advance(_:from:workBytesMax:)`` has returned.
    public enum Progress {
        /// The input is used up.
        case needsInput
        /// Nothing goes on before ``grantMemory(_:)`` with so many bytes, which the packet or the stream will take.
        case needsMemory(Int)
        /// As much was decoded as was allowed in one call; there may be more in the same input.
        case hasWorked
        /// A packet is complete. The next call begins the next one.
        case packet(Packet)
    }

    private var stream: StreamDecoder
    private var sizeField: UInt64 = 0
    private var sizeCount = 0
    private var packet: Packet?
    private var place = 0  // bytes filled of the last chunk
    private var isChunkGranted = false
    private let pool: ChunkPool

    /// A reader at the first byte behind the handshake; its packets lie in chunks of `pool`.
    public init(_ stream: consuming StreamDecoder, pool: ChunkPool = ChunkPool()) {
        self.stream = stream
        self.pool = pool
    }

    /// Whether the stream may end here: no packet has begun.
    public var isBetweenPackets: Bool { packet == nil && sizeCount == 0 }
    /// Bytes of the packet that has begun: announced, and there.
    public var begun: (count: Int, filled: Int) { packet.map { ($0.count, $0.filled) } ?? (0, 0) }
    /// Bytes of memory of the packet that has begun.
    public var packetMemoryBytes: Int { packet?.memoryBytes ?? 0 }
    /// Whether the memory asked for last is for the stream's decoder, with which it stays.
    public var isWindowWanted: Bool { stream.memoryWantedBytes > 0 }
    /// Bytes of memory of the stream's decoder.
    public var streamMemoryBytes: Int { stream.memoryBytes }

    /// What is missing when the stream ends now.
    public var missing: WireError {
        guard let packet else {
            return WireError(.unexpectedEnd, "cannot read packet size: unexpected EOF; read only \(sizeCount) bytes")
        }
        return WireError(
            .unexpectedEnd,
            "cannot read packet with size \(packet.count) bytes: unexpected EOF; read only \(packet.filled) bytes")
    }

    /// Says that the bytes of memory asked for by `needsMemory` may be used.
    public mutating func grantMemory(_ bytes: Int) {
        if stream.memoryWantedBytes > 0 { stream.grantMemory() } else { isChunkGranted = true }
    }

    /// Decodes from `input`.
    ///
    /// - Parameter workBytesMax: Bytes that may be decoded in this call, about.
    /// - Throws: `.tooBig` for a size above the limit, `.badStream`.
    public mutating func advance(
        _ input: inout ByteCursor, workBytesMax: Int = 1 << 20
    ) throws(WireError) -> Progress {
        var work = 0
        while true {
            if packet == nil, try !readSize(&input) { return pause() }
            // Everything is there, or it is an empty packet.
            guard let packet, packet.filled < packet.count else { return .packet(finish()) }
            if packet.chunks.last.map({ $0.count == place }) ?? true {
                let size = packet.nextChunk
                if !isChunkGranted {
                    // Nothing is reserved for a sender that has only announced.
                    if input.remaining == 0, !stream.mayHoldOutput { return .needsInput }
                    return .needsMemory(size.bytes)
                }
                packet.addChunk(size, pool)
                isChunkGranted = false
                place = 0
            }
            let chunk = packet.chunks[packet.chunks.count - 1]
            let count = try stream.read(&input, into: UnsafeMutableRawBufferPointer(rebasing: chunk[place...]))
            place += count
            packet.filled += count
            work += count
            if place < chunk.count { return pause() }
            if work >= workBytesMax, packet.filled < packet.count { return .hasWorked }
        }
    }

    private func pause() -> Progress {
        stream.memoryWantedBytes > 0
            ? .needsMemory(stream.memoryWantedBytes - stream.memoryBytes) : .needsInput
    }

    private mutating func readSize(_ input: inout ByteCursor) throws(WireError) -> Bool {
        var bytes: UInt64 = 0
        let missing = 8 - sizeCount
        let count = try withUnsafeMutableBytes(of: &bytes) { (target) throws(WireError) in
            try stream.read(&input, into: UnsafeMutableRawBufferPointer(rebasing: target[..<missing]))
        }
        withUnsafeBytes(of: bytes) { for byte in $0.prefix(count) { sizeField = sizeField << 8 | UInt64(byte) } }
        sizeCount += count
        guard sizeCount == 8 else { return false }
        guard sizeField <= UInt64(WireLimits.packetBytesMax) else {
            throw WireError(
                .tooBig, "too big packet size: \(sizeField); shouldn't exceed \(WireLimits.packetBytesMax)")
        }
        packet = Packet(count: Int(sizeField), pool)
        place = 0
        return true
    }

    private mutating func finish() -> Packet {
        let complete = packet ?? Packet(count: 0, pool)
        packet = nil
        sizeField = 0
        sizeCount = 0
        place = 0
        return complete
    }
}

/// Builds packets on the client's side.
public struct PacketWriter: ~Copyable {
    private var payload = RawBuffer()

    /// A writer with an empty packet.
    public init() {}

    /// Bytes of the payload so far.
    public var count: Int { payload.count }

    /// Appends a row (docs/format/cluster-rpc.md, 4.2).
    @inlinable public mutating func add(name: UnsafeRawBufferPointer, timestampMs: Int64, value: Double) {
        addRow(name, UInt64(bitPattern: timestampMs), value.bitPattern)
    }

    @usableFromInline mutating func addRow(_ name: UnsafeRawBufferPointer, _ timestamp: UInt64, _ value: UInt64) {
        payload.appendPrefixed(name)
        payload.appendBigEndian(timestamp)
        payload.appendBigEndian(value)
    }

    /// Appends the packet to `output`, encoded and flushed, and begins an empty one.
    public mutating func send(through stream: inout StreamEncoder, to output: inout RawBuffer) {
        withUnsafeBytes(of: UInt64(payload.count).bigEndian) { stream.append($0, to: &output) }
        stream.append(payload.bytes, to: &output)
        stream.flush(to: &output)
        payload.removeAll()
    }
}
