import StorageRuntime
import Testing

@Suite struct LockTests {
    @Test func aLockExcludes() {
        final class Pair: @unchecked Sendable {
            var left = 0
            var right = 0
        }
        let pair = Pair()
        let lock = Lock()
        let threads = (0..<4).map { _ in
            Thread.start("locked") {
                for _ in 0..<5000 {
                    lock.withLock {
                        pair.left += 1
                        pair.right += 1
                    }
                }
            }
        }
        for thread in threads { thread.join() }
        #expect(pair.left == 20_000)
        #expect(pair.right == 20_000)
    }

    @Test func tryLockTellsWhetherItIsTaken() {
        let lock = Lock()
        #expect(lock.tryLock())
        let other = Protected<Bool?>(nil)
        Thread.start("other") { other.withLock { $0 = lock.tryLock() } }.join()
        #expect(other.withLock { $0 } == false)
        lock.unlock()
        #expect(lock.tryLock())
        lock.unlock()
    }

    @Test func anErrorGivesTheLockBack() {
        struct Failure: Error {}
        let lock = Lock()
        let value = Protected(1)
        #expect(throws: Failure.self) { try lock.withLock { throw Failure() } }
        #expect(throws: Failure.self) {
            try value.withLock { value in
                value = 2
                throw Failure()
            }
        }
        #expect(lock.tryLock())
        lock.unlock()
        #expect(value.withLock { $0 } == 2)
    }

    @Test func aQueueGoesThroughAConditionInOrder() {
        let lock = Lock()
        let changed = Condition()
        let queue = Protected<[Int]>([])
        let received = Protected<[Int]>([])
        let consumer = Thread.start("consumer") {
            while true {
                lock.lock()
                while queue.withLock({ $0.isEmpty }) { changed.wait(lock) }
                let item = queue.withLock { $0.removeFirst() }
                lock.unlock()
                if item < 0 { return }
                received.withLock { $0.append(item) }
            }
        }
        for item in Array(0..<1000) + [-1] {
            lock.withLock { queue.withLock { $0.append(item) } }
            changed.signal()
        }
        consumer.join()
        #expect(received.withLock { $0 } == Array(0..<1000))
    }

    @Test func aTimedWaitEnds() {
        let lock = Lock()
        let condition = Condition()
        lock.lock()
        #expect(!condition.wait(lock, nanoseconds: 1000))
        lock.unlock()
        #expect(lock.tryLock())  // it was given back by the waiter
        lock.unlock()
    }

    @Test func broadcastWakesAll() {
        let lock = Lock()
        let condition = Condition()
        let state = Protected((waiting: 0, isOpen: false))
        let threads = (0..<4).map { _ in
            Thread.start("waiter") {
                lock.lock()
                state.withLock { $0.waiting += 1 }
                condition.broadcast()
                while !state.withLock({ $0.isOpen }) { condition.wait(lock) }
                lock.unlock()
            }
        }
        lock.lock()
        while state.withLock({ $0.waiting }) < 4 { condition.wait(lock) }
        state.withLock { $0.isOpen = true }
        lock.unlock()
        condition.broadcast()
        for thread in threads { thread.join() }
    }
}
