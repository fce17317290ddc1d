// FileCounterBank.swift - the counters of a file system that many threads add to.

import StorageRuntime
import Synchronization

/// The atomic form of ``FileCounters``. Any thread may add; a reading is exact once the threads are at rest.
final class FileCounterBank: Sendable {
    private let writeCalls = Atomic<UInt64>(0), writtenBytes = Atomic<UInt64>(0)
    private let readCalls = Atomic<UInt64>(0), readBytes = Atomic<UInt64>(0)
    private let syncCalls = Atomic<UInt64>(0)
    private let filesCreated = Atomic<UInt64>(0), filesOpened = Atomic<UInt64>(0)
    private let writersClosed = Atomic<UInt64>(0), readersClosed = Atomic<UInt64>(0)
    private let temporaryNumber = Atomic<UInt64>(0)

    /// One call of `write` that appended `count` bytes.
    func addWrite(_ count: Int) {
        writeCalls.wrappingAdd(1, ordering: .relaxed)
        writtenBytes.wrappingAdd(UInt64(count), ordering: .relaxed)
    }

    /// One call of `read` that read `count` bytes.
    func addRead(_ count: Int) {
        readCalls.wrappingAdd(1, ordering: .relaxed)
        readBytes.wrappingAdd(UInt64(count), ordering: .relaxed)
    }

    /// One sync.
    func addSync() { syncCalls.wrappingAdd(1, ordering: .relaxed) }

    /// One file created.
    func addCreate() { filesCreated.wrappingAdd(1, ordering: .relaxed) }

    /// One file opened for reading.
    func addOpen() { filesOpened.wrappingAdd(1, ordering: .relaxed) }

    /// One file closed that was being written.
    func addWriterClose() { writersClosed.wrappingAdd(1, ordering: .relaxed) }

    /// One file closed that was opened for reading.
    func addReaderClose() { readersClosed.wrappingAdd(1, ordering: .relaxed) }

    /// The next number for a temporary name.
    func nextTemporaryNumber() -> UInt64 { temporaryNumber.wrappingAdd(1, ordering: .relaxed).newValue }

    /// What was counted so far.
    var values: FileCounters {
        var values = FileCounters()
        values.writeCalls = writeCalls.load(ordering: .relaxed)
        values.writtenBytes = writtenBytes.load(ordering: .relaxed)
        values.readCalls = readCalls.load(ordering: .relaxed)
        values.readBytes = readBytes.load(ordering: .relaxed)
        values.syncCalls = syncCalls.load(ordering: .relaxed)
        values.filesCreated = filesCreated.load(ordering: .relaxed)
        values.filesOpened = filesOpened.load(ordering: .relaxed)
        values.writersClosed = writersClosed.load(ordering: .relaxed)
        values.readersClosed = readersClosed.load(ordering: .relaxed)
        return values
    }
}
