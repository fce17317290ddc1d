// StreamEncoder.swift - one direction of a connection, as it is sent: raw bytes, or one zstd frame that never ends
// (docs/format/cluster-rpc.md, 3.2). Everything appended before a flush can be decoded by the receiver.
//
// Contract: owns one zstd context. Threads: one owner at a time.

import CZstd
import StorageBytes

/// Encodes one direction.
public struct StreamEncoder: ~Copyable, @unchecked Sendable {
    private let context: OpaquePointer?

    /// An encoder at the first byte behind the handshake, at level 1 with a window of 512 KiB as the real senders.
    public init(isCompressed: Bool, level: Int = 1, windowLog: Int = 19) {
        guard isCompressed else {
            context = nil
            return
        }
        guard let context = ZSTD_createCCtx() else { fatalError("zstd: no memory for a context") }
        ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, Int32(level))
        ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, Int32(windowLog))
        self.context = context
    }

    deinit { if let context { ZSTD_freeCCtx(context) } }

    /// Appends `bytes` to the stream; what comes out of it is appended to `output`.
    public mutating func append(_ bytes: UnsafeRawBufferPointer, to output: inout RawBuffer) {
        guard context != nil else { return output.append(bytes) }
        run(bytes, ZSTD_e_continue, &output)
    }

    /// Appends everything that the stream still holds to `output`.
    public mutating func flush(to output: inout RawBuffer) {
        if context != nil { run(UnsafeRawBufferPointer(start: nil, count: 0), ZSTD_e_flush, &output) }
    }

    private func run(_ bytes: UnsafeRawBufferPointer, _ mode: ZSTD_EndDirective, _ output: inout RawBuffer) {
        var source = ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
        while true {
            output.reserve(ZSTD_CStreamOutSize())
            var room = ZSTD_outBuffer(dst: output.end, size: output.capacity - output.count, pos: 0)
            let left = ZSTD_compressStream2(context, &room, &source, mode)
            // Only a lack of memory makes compressing fail.
            if ZSTD_isError(left) != 0 { fatalError("zstd: " + String(cString: ZSTD_getErrorName(left))) }
            output.commit(room.pos)
            if mode == ZSTD_e_flush ? left == 0 : source.pos == source.size { return }
        }
    }
}
