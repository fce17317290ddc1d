// SimulatedFiles.swift - open files and locks of the simulation.
//
// Handles hold the node, not the name: their bytes stay after the name is gone. All work is done by the file system
// under its lock.

import StorageRuntime

final class SimulatedReadableFile: ReadableFile, @unchecked Sendable {
    let path: String
    let sizeBytes: Int
    private let fileSystem: SimulatedFileSystem
    private let node: SimulatedNode

    init(_ path: String, _ fileSystem: SimulatedFileSystem, _ node: SimulatedNode) {
        self.path = path
        self.sizeBytes = node.bytes.count
        self.fileSystem = fileSystem
        self.node = node
    }

    deinit {
        fileSystem.closeHandle(node)
        fileSystem.bank.addReaderClose()
    }

    func read(at offset: Int, into target: UnsafeMutableRawBufferPointer) throws(StorageError) {
        try checkRange(offset, target.count, sizeBytes, path)
        try fileSystem.read(node, path, offset, target)
    }
}

final class SimulatedWritableFile: WritableFile {
    let path: String
    private let fileSystem: SimulatedFileSystem
    private let node: SimulatedNode
    private var isClosed = false

    init(_ path: String, _ fileSystem: SimulatedFileSystem, _ node: SimulatedNode) {
        self.path = path
        self.fileSystem = fileSystem
        self.node = node
    }

    deinit {
        if isClosed { return }
        fileSystem.closeHandle(node)
        fileSystem.bank.addWriterClose()
    }

    private func checkOpen() throws(StorageError) {
        if isClosed { throw StorageError(.closed, "the file has been closed", path: path) }
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws(StorageError) {
        try checkOpen()
        try fileSystem.write(node, path, bytes)
    }

    func sync() throws(StorageError) {
        try checkOpen()
        try fileSystem.syncFile(node, path)
    }

    func close() throws(StorageError) {
        if isClosed { return }
        isClosed = true
        fileSystem.closeHandle(node)
        fileSystem.bank.addWriterClose()
        try fileSystem.recordClose(path)
    }
}

final class SimulatedFileLock: FileLock, @unchecked Sendable {
    private let fileSystem: SimulatedFileSystem
    private let node: SimulatedNode
    private var isReleased = false  // guarded by the lock of the file system

    init(_ fileSystem: SimulatedFileSystem, _ node: SimulatedNode) {
        self.fileSystem = fileSystem
        self.node = node
    }

    deinit { release() }

    func release() {
        fileSystem.state.withLock {
            if !isReleased { node.isLocked = false }
            isReleased = true
        }
    }
}
