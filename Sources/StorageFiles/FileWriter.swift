// FileWriter.swift - many small appends become few large writes.
//
//   buffer   | bytes not yet written | room |       one allocation, made with the writer
//
// What does not fit goes out together with the buffer; pieces of at least the buffer's size are written without being
// copied. One thread at a time.

import StorageRuntime

/// Buffered appending to a file that is being written.
public final class FileWriter {
    private let file: any WritableFile
    private var failure: StorageError?
    @usableFromInline let buffer: UnsafeMutableRawBufferPointer
    @usableFromInline var used = 0
    @usableFromInline var writtenBytes = 0

    /// Size of the buffer unless the caller wants another.
    public static let bufferBytesDefault = 128 << 10

    /// A writer at the start of a file just created.
    public init(_ file: any WritableFile, bufferBytes: Int = FileWriter.bufferBytesDefault) {
        precondition(bufferBytes > 0, "a buffer of \(bufferBytes) bytes")
        self.file = file
        buffer = .allocate(byteCount: bufferBytes, alignment: 64)
    }

    /// An abandoned writer leaves the file as it is: what is in the buffer is not written, nothing is synced.
    deinit { buffer.deallocate() }

    /// The path of the file.
    public var path: String { file.path }

    /// Bytes appended so far: the place in the file where the next append begins.
    @inlinable public var offset: Int { writtenBytes &+ used }

    /// Appends bytes. After an error the contents of the file are undefined, and every later flush and close throws that
    /// error again: a file with a hole in it is never reported as complete.
    @inlinable public func append(_ bytes: UnsafeRawBufferPointer) throws(StorageError) {
        let count = bytes.count
        if count <= buffer.count &- used {
            guard let source = bytes.baseAddress else { return }
            (buffer.baseAddress.unsafelyUnwrapped + used).copyMemory(from: source, byteCount: count)
            used &+= count
        } else {
            try appendLarge(bytes)
        }
    }

    @usableFromInline @inline(never) func appendLarge(_ bytes: UnsafeRawBufferPointer) throws(StorageError) {
        try flush()
        if bytes.count >= buffer.count {
            try write(bytes)
        } else {
            buffer.copyMemory(from: bytes)
            used = bytes.count
        }
    }

    /// Hands the buffer to the file. Does not sync.
    public func flush() throws(StorageError) {
        if let failure { throw failure }
        if used == 0 { return }
        try write(UnsafeRawBufferPointer(rebasing: buffer[..<used]))
        used = 0
    }

    private func write(_ bytes: UnsafeRawBufferPointer) throws(StorageError) {
        do throws(StorageError) {
            try file.write(bytes)
        } catch {
            failure = error
            throw error
        }
        writtenBytes += bytes.count
    }

    /// Flushes, syncs and closes the file, in this order (docs/format/mergeset-table.md, 8, "stream writer"). The file
    /// is closed also when an earlier step fails.
    public func close() throws(StorageError) {
        do throws(StorageError) {
            try flush()
            try file.sync()
        } catch {
            try? file.close()
            throw error
        }
        try file.close()
    }
}
