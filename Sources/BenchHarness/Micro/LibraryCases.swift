// LibraryCases.swift - micro memcpy and zstd: what the memory and the compressor can do by themselves.

import Glibc
import StorageBytes

/// Copies 64 MiB; an operation is a KiB.
final class MemcpyCase: MicroCase {
    let name = "memcpy, 64 MiB"
    let unit = "KiB"
    let group = "memcpy"
    let operations: Int
    private let source: UnsafeMutableRawPointer
    private let target: UnsafeMutableRawPointer
    private let byteCount: Int

    private init(byteCount: Int) {
        self.byteCount = byteCount
        operations = byteCount / 1024
        source = .allocate(byteCount: byteCount, alignment: 4096)
        target = .allocate(byteCount: byteCount, alignment: 4096)
        for offset in stride(from: 0, to: byteCount, by: 8) {
            source.storeBytes(of: UInt64(offset) &* 0x9E37_79B9_7F4A_7C15, toByteOffset: offset, as: UInt64.self)
        }
    }

    deinit {
        source.deallocate()
        target.deallocate()
    }

    static func cases(_ options: MicroOptions) throws(HarnessError) -> [any MicroCase] {
        [MemcpyCase(byteCount: options.scaled(64 << 10) << 10)]
    }

    func prepare() { memset(target, 0, byteCount) }
    func run() { memcpy(target, source, byteCount) }
    func digest() -> UInt64 { Hash.xxh64(UnsafeRawBufferPointer(start: target, count: byteCount)) }
}

/// Compresses sorted items in blocks of 64 KiB, or decompresses them; an operation is a block.
final class ZstdCase: MicroCase {
    let name: String
    let unit = "block"
    let group: String
    private let shared: Blocks
    private let level: Int
    private let compresses: Bool
    private var output = RawBuffer(capacity: 1 << 20)
    private var frames = RawBuffer(capacity: 1 << 20)
    private var ends: [Int] = []

    /// The bytes of sorted items.
    final class Blocks {
        static let blockBytes = 65_536
        var bytes = RawBuffer(capacity: 1 << 20)
        var count: Int { (bytes.count + Blocks.blockBytes - 1) / Blocks.blockBytes }

        init(_ items: SharedItems) {
            items.sortAll()
            for index in 0..<items.count { bytes.append(items[index]) }
        }

        subscript(index: Int) -> UnsafeRawBufferPointer {
            let start = index * Blocks.blockBytes
            return UnsafeRawBufferPointer(
                start: bytes.base + start, count: min(Blocks.blockBytes, bytes.count - start))
        }
    }

    private init(_ shared: Blocks, level: Int, compresses: Bool) {
        self.shared = shared
        self.level = level
        self.compresses = compresses
        group = compresses ? "compress \(level)" : "decompress"
        name = compresses ? "compress, level \(level)" : "decompress, level \(level)"
    }

    static func cases(_ options: MicroOptions) throws(HarnessError) -> [any MicroCase] {
        let blocks = Blocks(SharedItems(options.scaled(50_000), seed: options.seed))
        return [-5, -1, 1].flatMap { (level: Int) -> [any MicroCase] in
            [
                ZstdCase(blocks, level: level, compresses: true),
                ZstdCase(blocks, level: level, compresses: false),
            ]
        }
    }

    var operations: Int { shared.count }
    var counts: [(name: String, value: UInt64)] {
        compresses ? [("bytes_in", UInt64(shared.bytes.count)), ("bytes_out", UInt64(output.count))] : []
    }

    func prepare() {
        output.removeAll()
        guard !compresses, ends.isEmpty else { return }
        for index in 0..<shared.count {
            Zstd.compress(shared[index], level: level, into: &frames)
            ends.append(frames.count)
        }
    }

    func run() throws(HarnessError) {
        if compresses {
            for index in 0..<shared.count { Zstd.compress(shared[index], level: level, into: &output) }
            return
        }
        var start = 0
        for end in ends {
            let frame = UnsafeRawBufferPointer(start: frames.base + start, count: end - start)
            do { try Zstd.decompress(frame, into: &output, limitBytes: Blocks.blockBytes) } catch {
                throw HarnessError(.checkFailed, "a frame that was just made does not decompress: \(error)")
            }
            start = end
        }
    }

    func digest() -> UInt64 { Hash.xxh64(output.bytes) }
}
