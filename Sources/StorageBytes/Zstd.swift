// Zstd.swift - ZSTD blobs (docs/format/encoding-primitives.md, 7).
//
// A blob is one frame with its content size in the header, without checksum or dictionary; the empty payload is the
// empty blob. Contexts are kept per thread: making one costs more than compressing a block.
//
// Level 0 is ours: the fast strategy with a hash table of 512 entries, which stays in the first level cache, matches of at least
// 7 bytes, and literals as they are. On sorted names and tag rows it takes 27-40 % less time than level -1, for 3-7 % more
// bytes, since what repeats there repeats close by.
//
// Reading is strict: the announced size is checked against a limit before memory is reserved, and against what really
// came out. Levels never influence decoding.

import CZstd
import Glibc
import Synchronization

/// One-shot compression. All functions may be called from any thread.
public enum Zstd {
    /// Calls and bytes since the start of the process (`vm_zstd_block_*`).
    public struct Counters: Sendable {
        /// Calls of ``compress(_:level:into:)`` and ``decompress(_:into:limitBytes:)``.
        public var compressCalls: UInt64 = 0, decompressCalls: UInt64 = 0
        /// Bytes given to compress, and bytes that came out.
        public var originalBytes: UInt64 = 0, compressedBytes: UInt64 = 0
    }

    private static let compressCalls = Atomic<UInt64>(0)
    private static let decompressCalls = Atomic<UInt64>(0)
    private static let originalBytes = Atomic<UInt64>(0)
    private static let compressedBytes = Atomic<UInt64>(0)

    /// Version of the library that the process runs with: `1.5.4`. Other versions compress to other sizes.
    public static var libraryVersion: String { String(cString: ZSTD_versionString()) }

    /// Calls and bytes since the start of the process.
    public static var counters: Counters {
        Counters(
            compressCalls: compressCalls.load(ordering: .relaxed),
            decompressCalls: decompressCalls.load(ordering: .relaxed),
            originalBytes: originalBytes.load(ordering: .relaxed),
            compressedBytes: compressedBytes.load(ordering: .relaxed))
    }

    /// The level for what will be compressed again soon; in libzstd 0 stands for its default, which we call by its number.
    public static let lightLevel = 0

    /// Appends the blob of `payload` to `target` and returns the blob's length. An empty payload adds nothing.
    ///
    /// - Parameter level: One of libzstd's levels, -7...22, or ``lightLevel``.
    @discardableResult
    public static func compress(_ payload: UnsafeRawBufferPointer, level: Int, into target: inout RawBuffer) -> Int {
        guard payload.count > 0 else { return 0 }
        let bound = ZSTD_compressBound(payload.count)
        target.reserve(bound)
        let contexts = ThreadContexts.current
        let written =
            level == lightLevel
            ? ZSTD_compress2(contexts.light, target.end, bound, payload.baseAddress, payload.count)
            : ZSTD_compressCCtx(
                contexts.compression, target.end, bound, payload.baseAddress, payload.count, Int32(level))
        // The only errors left are a target that is too small, which the bound rules out, and no memory.
        if ZSTD_isError(written) != 0 { fatalError("zstd: " + String(cString: ZSTD_getErrorName(written))) }
        target.commit(written)
        compressCalls.wrappingAdd(1, ordering: .relaxed)
        originalBytes.wrappingAdd(UInt64(payload.count), ordering: .relaxed)
        compressedBytes.wrappingAdd(UInt64(written), ordering: .relaxed)
        return written
    }

    /// Appends the payload of `blob` to `target` and returns its length.
    ///
    /// - Parameter limitBytes: The longest payload that is accepted; memory beyond it is never reserved.
    /// - Throws: `.badFrame` for anything but one whole frame, `.outOfRange` beyond the limit. `target` keeps what it
    ///   held before.
    @discardableResult
    public static func decompress(
        _ blob: UnsafeRawBufferPointer, into target: inout RawBuffer, limitBytes: Int
    ) throws(DecodeError) -> Int {
        guard blob.count > 0 else { return 0 }
        decompressCalls.wrappingAdd(1, ordering: .relaxed)
        let announced = ZSTD_getFrameContentSize(blob.baseAddress, blob.count)
        if announced == ZSTD_CONTENTSIZE_ERROR_VALUE { throw .badFrame }
        if announced == ZSTD_CONTENTSIZE_UNKNOWN_VALUE {
            return try decompressStream(blob, into: &target, limitBytes: limitBytes)
        }
        guard announced <= UInt64(limitBytes) else { throw .outOfRange }
        let size = Int(announced)
        target.reserve(size)
        let written = ZSTD_decompressDCtx(
            ThreadContexts.current.decompression, target.end, size, blob.baseAddress, blob.count)
        guard ZSTD_isError(written) == 0, written == size else { throw .badFrame }
        target.commit(size)
        return size
    }

    /// A frame without content size, as streaming compressors write it.
    private static func decompressStream(
        _ blob: UnsafeRawBufferPointer, into target: inout RawBuffer, limitBytes: Int
    ) throws(DecodeError) -> Int {
        let context = ThreadContexts.current.decompression
        ZSTD_DCtx_reset(context, ZSTD_reset_session_only)
        let start = target.count
        var input = ZSTD_inBuffer(src: blob.baseAddress, size: blob.count, pos: 0)
        while true {
            let have = target.count - start
            let step = min(limitBytes - have, max(4096, have))
            target.reserve(step)
            var output = ZSTD_outBuffer(dst: target.end, size: step, pos: 0)
            let hint = ZSTD_decompressStream(context, &output, &input)
            target.commit(output.pos)
            if ZSTD_isError(hint) != 0 {
                target.truncate(to: start)
                throw .badFrame
            }
            if hint == 0 {
                guard input.pos == input.size else {
                    target.truncate(to: start)
                    throw .badFrame
                }
                return target.count - start
            }
            if output.pos == 0 {
                // No progress: the input ended inside the frame, or the output reached the limit.
                target.truncate(to: start)
                if have == limitBytes { throw .outOfRange } else { throw .badFrame }
            }
        }
    }

    // The C macros do not come through the importer.
    private static let ZSTD_CONTENTSIZE_UNKNOWN_VALUE = UInt64.max
    private static let ZSTD_CONTENTSIZE_ERROR_VALUE = UInt64.max - 1
}

/// The contexts of one thread; freed when the thread ends.
private final class ThreadContexts {
    let compression: OpaquePointer
    let decompression: OpaquePointer
    private static let key: pthread_key_t = {
        var key = pthread_key_t()
        let status = pthread_key_create(&key) { raw in
            if let raw { Unmanaged<ThreadContexts>.fromOpaque(raw).release() }
        }
        precondition(status == 0, "pthread_key_create: \(status)")
        return key
    }()

    static var current: ThreadContexts {
        if let raw = pthread_getspecific(key) { return Unmanaged<ThreadContexts>.fromOpaque(raw).takeUnretainedValue() }
        let made = ThreadContexts()
        pthread_setspecific(key, Unmanaged.passRetained(made).toOpaque())
        return made
    }

    init() {
        guard let compression = ZSTD_createCCtx(), let decompression = ZSTD_createDCtx() else {
            fatalError("zstd: no memory for a context")
        }
        self.compression = compression
        self.decompression = decompression
    }

    /// The context of the light level; its parameters stay set from call to call.
    private(set) lazy var light: OpaquePointer = {
        guard let context = ZSTD_createCCtx() else { fatalError("zstd: no memory for a context") }
        let settings: [(ZSTD_cParameter, Int)] = [
            (ZSTD_c_compressionLevel, -1), (ZSTD_c_strategy, Int(ZSTD_fast.rawValue)), (ZSTD_c_windowLog, 17),
            (ZSTD_c_hashLog, 9), (ZSTD_c_minMatch, 7), (ZSTD_c_targetLength, 2),
        ]
        for (parameter, value) in settings {
            let status = ZSTD_CCtx_setParameter(context, parameter, Int32(truncatingIfNeeded: value))
            if ZSTD_isError(status) != 0 { fatalError("zstd: " + String(cString: ZSTD_getErrorName(status))) }
        }
        hasLight = true
        return context
    }()
    private var hasLight = false

    deinit {
        if hasLight { ZSTD_freeCCtx(light) }
        ZSTD_freeCCtx(compression)
        ZSTD_freeDCtx(decompression)
    }
}
