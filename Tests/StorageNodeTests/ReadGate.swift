// ReadGate.swift - a gate in front of reading parts of samples: once it is closed, whoever reads waits until it is opened.

import StorageFiles
import StorageRuntime
import TestSupport

final class ReadGate: Sendable {
    private let lock = Lock()
    private let changed = Condition()
    private nonisolated(unsafe) var isClosed = false  // guarded by `lock`, as the next one
    private nonisolated(unsafe) var waiting = 0

    /// The real file system behind this gate.
    var files: any FileSystem {
        InterceptedReads(
            on: RealFileSystem(), of: { $0.contains("/data/small/") || $0.contains("/data/big/") },
            beforeRead: { self.pass() })
    }

    func close() { lock.withLock { isClosed = true } }

    func open() {
        lock.withLock { isClosed = false }
        changed.broadcast()
    }

    /// How many stand at the gate.
    var waitingCount: Int { lock.withLock { waiting } }

    private func pass() {
        lock.lock()
        defer { lock.unlock() }
        waiting += 1
        while isClosed { changed.wait(lock) }
        waiting -= 1
    }
}
