// Shard.swift - one of the places where added items are collected. Its lock is held while a batch is written, and for
// nothing else: a full run leaves by pointer and is sorted outside.

import StorageBytes
import StorageRuntime

/// A run builder on the heap, so that it can change hands by pointer.
final class RunBuilderBox: @unchecked Sendable {
    let pointer: UnsafeMutablePointer<RunBuilder>

    init(_ arena: consuming RawBuffer) {
        pointer = .allocate(capacity: 1)
        pointer.initialize(to: RunBuilder(arena: arena))
    }

    deinit {
        pointer.deinitialize(count: 1)
        pointer.deallocate()
    }
}

/// The open run of a shard, and its lock.
final class Shard: @unchecked Sendable {
    let lock = Lock()
    /// Guarded by ``lock``.
    var builder: RunBuilderBox

    init(_ builder: RunBuilderBox) { self.builder = builder }
}

/// Empty builders with the memory of their lists and tables. Any thread.
final class BuilderPool: Sendable {
    private let boxes = Protected<[RunBuilderBox]>([])
    let arenas: ArenaPool

    init(arenas: ArenaPool) { self.arenas = arenas }

    func take() -> RunBuilderBox { boxes.withLock { $0.popLast() } ?? RunBuilderBox(arenas.take()) }

    func put(_ box: RunBuilderBox) { boxes.withLock { $0.append(box) } }
}
