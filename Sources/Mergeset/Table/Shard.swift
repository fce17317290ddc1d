// Shard.swift - one of the places where added items are collected. Its lock is held while a batch is written, and for
// nothing else: a full run leaves by pointer and is sorted outside. A shard that nobody adds to has no builder, and a
// builder that waits in the pool has no arena.

import StorageBytes
import StorageRuntime

/// A run builder on the heap, so that it can change hands by pointer.
final class RunBuilderBox: @unchecked Sendable {
    let pointer: UnsafeMutablePointer<RunBuilder>

    init() {
        pointer = .allocate(capacity: 1)
        pointer.initialize(to: RunBuilder())
    }

    deinit {
        pointer.deinitialize(count: 1)
        pointer.deallocate()
    }
}

/// The open run of a shard, and its lock.
final class Shard: @unchecked Sendable {
    let lock = Lock()
    /// The run that is being filled, if there is one. Guarded by ``lock``.
    var builder: RunBuilderBox?
}

/// Empty builders with the memory of their lists and tables. Any thread.
final class BuilderPool: Sendable {
    private let boxes = Protected<[RunBuilderBox]>([])
    let arenas: ArenaPool

    init(arenas: ArenaPool) { self.arenas = arenas }

    /// An empty builder with an arena.
    func take() -> RunBuilderBox {
        let box = boxes.withLock { $0.popLast() } ?? RunBuilderBox()
        box.pointer.pointee.open(arenas.take())
        return box
    }

    /// Takes back a builder whose run was sealed.
    func put(_ box: RunBuilderBox) { boxes.withLock { $0.append(box) } }

    /// Gives back arenas that the load of late did not need, and what is more than `waitingMax` arenas and builders.
    func trim(waitingMax: Int = .max) {
        arenas.trim(waitingMax: waitingMax)
        // Freed outside of the lock, which adding threads take.
        let surplus = boxes.withLock { boxes in
            let surplus = Array(boxes.suffix(max(0, boxes.count - waitingMax)))
            boxes.removeLast(surplus.count)
            return surplus
        }
        withExtendedLifetime(surplus) {}
    }

    /// Gives back what waits here, and keeps no arenas from now on.
    func retire() {
        boxes.withLock { $0 = [] }
        arenas.retire()
    }
}
