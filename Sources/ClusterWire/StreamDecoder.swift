// StreamDecoder.swift - one direction of a connection, as it is received: raw bytes, or zstd frames one behind the other
// (docs/format/cluster-rpc.md, 3). In practice there is one frame that never ends.
//
// The caller says where the decoded bytes go, so a row is written once: by the decompressor, or by the copy out of the
// socket's buffer. The decoder never produces more than was asked for; what it still has inside comes with the next call.
//
// Memory is asked for, not taken. A frame's header says how large its window is; it is read here before zstd sees it. Then
// `memoryWantedBytes` is set and nothing goes on until `grantMemory()`: the caller counts it against a budget. It is
// never more than the largest window accepted and about 0.5 MiB, and stays with the connection.
//
// Contract: owns one zstd context, which holds the history of the direction. Threads: one owner at a time.

import CZstd
import StorageBytes

/// Decodes one direction.
public struct StreamDecoder: ~Copyable, @unchecked Sendable {
    /// Whether the direction is compressed.
    public let isCompressed: Bool
    private var context: OpaquePointer?  // made when its memory is granted
    private let windowBytesMax: Int
    private var header = FrameHeader()
    private var isInFrame = false
    /// Whether there may be bytes that did not fit the target of the last call: they come without further input.
    public private(set) var mayHoldOutput = false

    /// Bytes of memory that the decoder wants before it goes on, in all; 0 when it wants none.
    public private(set) var memoryWantedBytes = 0
    /// Bytes that were granted.
    public private(set) var memoryBytes = 0

    /// Bytes of a context beside its window: its tables, an input block, an output block.
    static let contextBytes = 512 << 10

    /// A decoder at the first byte behind the handshake.
    public init(isCompressed: Bool, windowBytesMax: Int = WireLimits.windowBytesMax) {
        self.windowBytesMax = windowBytesMax
        self.isCompressed = isCompressed
    }

    deinit { if let context { ZSTD_freeDCtx(context) } }

    /// What zstd says that its context takes, in bytes.
    public var contextBytes: Int { context.map { ZSTD_sizeof_DCtx($0) } ?? 0 }

    /// Says that ``memoryWantedBytes`` may be used.
    public mutating func grantMemory() {
        memoryBytes = max(memoryBytes, memoryWantedBytes)
        memoryWantedBytes = 0
    }

    /// Decodes from `input` until `target` is full or the input is used up.
    ///
    /// - Returns: Bytes written to the start of `target`. Fewer than fit mean that more input is needed, or memory.
    /// - Throws: `.badStream`.
    /// - Complexity: linear in the bytes consumed and written.
    public mutating func read(
        _ input: inout ByteCursor, into target: UnsafeMutableRawBufferPointer
    ) throws(WireError) -> Int {
        guard isCompressed else { return copy(&input, target) }
        var written = 0
        while written < target.count {
            if !isInFrame, try !enterFrame(&input) { return written }
            if input.remaining == 0, !mayHoldOutput { return written }
            var source = ZSTD_inBuffer(src: input.position, size: input.remaining, pos: 0)
            var room = ZSTD_outBuffer(dst: target.baseAddress, size: target.count, pos: written)
            let hint = ZSTD_decompressStream(context, &room, &source)
            if ZSTD_isError(hint) != 0 { throw StreamDecoder.broken(hint) }
            input.move(to: input.position + source.pos)
            mayHoldOutput = room.pos == room.size && hint != 0
            if hint == 0 {
                isInFrame = false
                header = FrameHeader()
            } else if room.pos == written, source.pos == 0 {
                return written
            }
            written = room.pos
        }
        return written
    }

    private func copy(_ input: inout ByteCursor, _ target: UnsafeMutableRawBufferPointer) -> Int {
        let count = min(input.remaining, target.count)
        guard count > 0, let start = target.baseAddress else { return 0 }
        start.copyMemory(from: input.position, byteCount: count)
        input.move(to: input.position + count)
        return count
    }

    /// Reads the header of the next frame and hands it to zstd, once there is memory for its window.
    private mutating func enterFrame(_ input: inout ByteCursor) throws(WireError) -> Bool {
        guard memoryWantedBytes == 0, let window = try header.read(&input) else { return false }
        guard window <= windowBytesMax else {
            throw WireError(
                .badStream, "cannot decompress data: the window of \(window) bytes exceeds \(windowBytesMax) bytes")
        }
        let wanted = window + StreamDecoder.contextBytes
        if wanted > memoryBytes {
            memoryWantedBytes = wanted
            return false
        }
        let context = context ?? makeContext()
        try header.withBytes { (bytes) throws(WireError) in
            var source = ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
            var room = ZSTD_outBuffer(dst: nil, size: 0, pos: 0)
            while source.pos < source.size {
                let before = source.pos
                let hint = ZSTD_decompressStream(context, &room, &source)
                if ZSTD_isError(hint) != 0 { throw StreamDecoder.broken(hint) }
                if source.pos == before { throw WireError(.badStream, "cannot decompress data: no progress") }
            }
        }
        isInFrame = true
        return true
    }

    private mutating func makeContext() -> OpaquePointer {
        guard let made = ZSTD_createDCtx() else { fatalError("zstd: no memory for a context") }
        let windowLog = Int.bitWidth - 1 - windowBytesMax.leadingZeroBitCount
        ZSTD_DCtx_setParameter(made, ZSTD_d_windowLogMax, Int32(windowLog))
        context = made
        return made
    }

    private static func broken(_ code: Int) -> WireError {
        WireError(.badStream, "cannot decompress data: " + String(cString: ZSTD_getErrorName(code)))
    }
}

/// The header of a frame, gathered byte by byte.
///
///     magic u32 LE | descriptor u8 | window u8, unless single segment | dictionary id 0-4 | content size 0-8
///
/// Of a skippable frame only the magic number is gathered.
private struct FrameHeader {
    private var bytes: (UInt64, UInt64, UInt64) = (0, 0, 0)  // the longest header has 18 bytes
    private var count = 0

    /// Gathers bytes; nil asks for more of them, otherwise it is the size of the window in bytes.
    mutating func read(_ input: inout ByteCursor) throws(WireError) -> Int? {
        while true {
            let needed = try length()
            if count == needed { return windowBytes() }
            guard let byte = try? input.readByte() else { return nil }
            let place = count
            withUnsafeMutableBytes(of: &bytes) { $0[place] = byte }
            count += 1
        }
    }

    func withBytes(_ body: (UnsafeRawBufferPointer) throws(WireError) -> Void) throws(WireError) {
        let count = count
        try withUnsafeBytes(of: bytes) { (all) throws(WireError) in
            try body(UnsafeRawBufferPointer(rebasing: all[..<count]))
        }
    }

    private subscript(_ index: Int) -> UInt8 { withUnsafeBytes(of: bytes) { $0[index] } }

    private var magic: UInt32 { withUnsafeBytes(of: bytes) { UInt32(littleEndian: $0.load(as: UInt32.self)) } }

    private var isSkippable: Bool { magic & 0xFFFF_FFF0 == 0x184D_2A50 }

    /// Bytes of the header, as far as it can be told from what is there.
    private func length() throws(WireError) -> Int {
        guard count >= 4 else { return 4 }
        if isSkippable { return 4 }
        guard magic == 0xFD2F_B528 else {
            throw WireError(.badStream, "cannot decompress data: Unknown frame descriptor")
        }
        guard count >= 5 else { return 5 }
        let descriptor = self[4]
        let window = descriptor & 0x20 != 0 ? 0 : 1
        return 5 + window + dictionaryBytes(descriptor) + contentSizeBytes(descriptor)
    }

    private func dictionaryBytes(_ descriptor: UInt8) -> Int { [0, 1, 2, 4][Int(descriptor & 3)] }

    private func contentSizeBytes(_ descriptor: UInt8) -> Int {
        switch descriptor >> 6 {
        case 0: descriptor & 0x20 != 0 ? 1 : 0
        case 1: 2
        case 2: 4
        default: 8
        }
    }

    private func windowBytes() -> Int {
        if isSkippable { return 0 }
        let descriptor = self[4]
        if descriptor & 0x20 == 0 {
            let base = 1 << (10 + Int(self[5] >> 3))
            return base + base / 8 * Int(self[5] & 7)
        }
        var size: UInt64 = 0
        let length = contentSizeBytes(descriptor)
        let start = 5 + dictionaryBytes(descriptor)
        for index in 0..<length { size |= UInt64(self[start + index]) << UInt64(8 * index) }
        if length == 2 { size += 256 }
        return Int(min(size, UInt64(Int.max)))
    }
}
