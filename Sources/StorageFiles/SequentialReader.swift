// SequentialReader.swift - reads a file from its beginning to its end in pieces of any size.
//
//   buffer   | consumed | next piece | read ahead |      filled by calls of 256 KiB; a larger piece takes one call
//
// A reader that forgets tells the file what it has passed, so that a merge, whose sources go away when it has ended, does not
// fill the page cache with them: the pages of what was read become those of what is written.
//
// Pieces are handed out in place. A piece stays valid until the next one is asked for, since only then the buffer is
// filled again. One owner.

import StorageBytes
import StorageRuntime

/// Reads consecutive pieces of a file through a large buffer.
public struct SequentialReader: ~Copyable {
    private let file: any ReadableFile
    private var buffer: RawBuffer
    private var bufferOffset = 0
    private var position = 0

    private let isForgetting: Bool

    private static let stepBytes = 256 << 10

    /// A reader at the beginning of `file`.
    ///
    /// - Parameter isForgetting: Whether the operating system may drop what has been read.
    public init(_ file: any ReadableFile, isForgetting: Bool = false) {
        self.file = file
        // A merge has a reader for each file of each source; most files of small parts are smaller than a step.
        buffer = RawBuffer(capacity: min(SequentialReader.stepBytes, file.sizeBytes))
        self.isForgetting = isForgetting
    }

    /// Where the next piece starts.
    public var offset: Int { position }

    /// The path of the file.
    public var path: String { file.path }

    /// The next `count` bytes; valid until the next call. `.corrupted` when the file ends before.
    public mutating func next(_ count: Int) throws(StorageError) -> UnsafeRawBufferPointer {
        if position + count > bufferOffset + buffer.count { try fill(count) }
        let start = position - bufferOffset
        position += count
        return UnsafeRawBufferPointer(start: buffer.base + start, count: count)
    }

    private mutating func fill(_ count: Int) throws(StorageError) {
        guard count <= file.sizeBytes - position else {
            throw StorageError(
                .corrupted, "\(count) bytes are announced here, the file has \(file.sizeBytes)", path: file.path,
                offset: position)
        }
        let size = min(max(count, SequentialReader.stepBytes), file.sizeBytes - position)
        if isForgetting, position > bufferOffset { file.forget(at: bufferOffset, count: position - bufferOffset) }
        buffer.removeAll()
        buffer.reserve(size)
        try file.read(at: position, into: UnsafeMutableRawBufferPointer(start: buffer.end, count: size))
        buffer.commit(size)
        bufferOffset = position
    }
}
