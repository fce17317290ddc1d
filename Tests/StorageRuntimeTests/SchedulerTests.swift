// SchedulerTests.swift - when background steps run, with and without threads.

import StorageRuntime
import Testing

/// What a task's step should do next, and the steps so far. Safe to use from any thread.
private final class Script: Sendable {
    let steps = Protected<[String]>([])
    func note(_ text: String) { steps.withLock { $0.append(text) } }
    var notes: [String] { steps.withLock { $0 } }
}

@Suite struct DeterministicSchedulerTests {
    private let clock = VirtualClock(unixMilliseconds: 1_000_000)

    @Test func tasksRunAtCheckpointsInTheOrderOfTheirStart() {
        let scheduler = DeterministicScheduler(clock: clock)
        let script = Script()
        for name in ["b", "a", "c"] {
            _ = scheduler.start(name) {
                script.note(name)
                return .whenWoken
            }
        }
        #expect(script.notes == [])
        scheduler.checkpoint()
        scheduler.checkpoint()
        #expect(script.notes == ["b", "a", "c"])
        #expect(!scheduler.hasThreads)
    }

    @Test func wokenTasksRunOnceEach() {
        let scheduler = DeterministicScheduler(clock: clock)
        let script = Script()
        let tasks = ["a", "b"].map { name in
            scheduler.start(name) {
                script.note(name)
                return .whenWoken
            }
        }
        scheduler.checkpoint()
        tasks[1].wake()
        tasks[1].wake()
        scheduler.checkpoint()
        #expect(script.notes == ["a", "b", "b"])
        tasks[1].wake()
        tasks[0].wake()
        scheduler.checkpoint()
        #expect(script.notes == ["a", "b", "b", "a", "b"])
    }

    @Test func timedTasksWaitForTheClock() {
        let scheduler = DeterministicScheduler(clock: clock)
        let script = Script()
        let task = scheduler.start("timer") {
            script.note("step")
            return .after(nanoseconds: 5_000_000)
        }
        scheduler.checkpoint()
        clock.advance(milliseconds: 4)
        scheduler.checkpoint()
        #expect(script.notes.count == 1)
        clock.advance(milliseconds: 1)
        scheduler.checkpoint()
        #expect(script.notes.count == 2)
        task.wake()  // earlier than its time
        scheduler.checkpoint()
        #expect(script.notes.count == 3)
        clock.advance(milliseconds: 100)  // one step, however many periods have passed
        scheduler.checkpoint()
        #expect(script.notes.count == 4)
    }

    @Test func anEndlessWaitIsNotOver() {
        clock.advance(milliseconds: 10)
        let scheduler = DeterministicScheduler(clock: clock)
        let script = Script()
        _ = scheduler.start("never") {
            script.note("step")
            return .after(nanoseconds: .max)
        }
        scheduler.checkpoint()
        clock.advance(milliseconds: 1_000_000)
        scheduler.checkpoint()
        #expect(script.notes.count == 1)
    }

    @Test func againMeansMoreStepsInTheSameCheckpoint() {
        let scheduler = DeterministicScheduler(clock: clock)
        let script = Script()
        _ = scheduler.start("a") {
            script.note("a")
            return script.notes.count { $0 == "a" } < 3 ? .again : .whenWoken
        }
        _ = scheduler.start("b") {
            script.note("b")
            return .whenWoken
        }
        scheduler.checkpoint()
        #expect(script.notes == ["a", "b", "a", "a"])
    }

    @Test func aCheckpointInsideAStepDoesNotEnterItAgain() {
        let scheduler = DeterministicScheduler(clock: clock)
        let script = Script()
        let box = Protected<(any BackgroundTask)?>(nil)
        let task = scheduler.start("a") {
            script.note("a begins")
            if script.notes.count == 1 { box.withLock { $0 }?.wake() }
            scheduler.checkpoint()
            script.note("a ends")
            return .whenWoken
        }
        box.withLock { $0 = task }
        _ = scheduler.start("b") {
            script.note("b")
            return .whenWoken
        }
        scheduler.checkpoint()
        // The wake during the step leads to one more.
        #expect(script.notes == ["a begins", "b", "a ends", "a begins", "a ends"])
        box.withLock { $0 = nil }
    }

    @Test func stoppedTasksDoNotRun() {
        let scheduler = DeterministicScheduler(clock: clock)
        let script = Script()
        let task = scheduler.start("a") {
            script.note("a")
            return .again
        }
        task.stop()
        task.wake()
        scheduler.checkpoint()
        task.stop()
        #expect(script.notes == [])
    }

    @Test func aTaskStartedInAStepRunsInTheSameCheckpoint() {
        let scheduler = DeterministicScheduler(clock: clock)
        let script = Script()
        _ = scheduler.start("outer") {
            script.note("outer")
            _ = scheduler.start("inner") {
                script.note("inner")
                return .whenWoken
            }
            return .whenWoken
        }
        scheduler.checkpoint()
        #expect(script.notes == ["outer", "inner"])
    }
}

@Suite struct LiveSchedulerTests {
    private let scheduler = LiveScheduler(clock: SystemClock())

    /// A count that a thread can wait for.
    private final class Counter: Sendable {
        private let lock = Lock()
        private let condition = Condition()
        private let value = Protected(0)

        func add() {
            lock.withLock { value.withLock { $0 += 1 } }
            condition.broadcast()
        }

        func wait(for count: Int) {
            lock.lock()
            while value.withLock({ $0 }) < count { condition.wait(lock) }
            lock.unlock()
        }

        var count: Int { value.withLock { $0 } }
    }

    @Test func theFirstStepIsDueAtOnceAndWakesLeadToMore() {
        let counter = Counter()
        let task = scheduler.start("steps") {
            counter.add()
            return .whenWoken
        }
        counter.wait(for: 1)
        task.wake()
        counter.wait(for: 2)
        task.stop()
        let count = counter.count
        task.wake()
        #expect(counter.count == count)
        #expect(scheduler.hasThreads)
    }

    @Test func aWakeDuringAStepIsNotLost() {
        let entered = Counter()
        let mayLeave = Counter()
        let task = scheduler.start("steps") {
            entered.add()
            mayLeave.wait(for: 1)
            return .whenWoken
        }
        entered.wait(for: 1)
        task.wake()
        mayLeave.add()
        entered.wait(for: 2)
        task.stop()
    }

    @Test func waitingTasksAreWokenAndStopped() {
        // Waits of days: the test ends because wake and stop cut them short.
        for wait in [NextStep.after(nanoseconds: 1 << 50), .after(nanoseconds: .max), .whenWoken] {
            let counter = Counter()
            let task = scheduler.start("sleeper") {
                counter.add()
                return wait
            }
            counter.wait(for: 1)
            task.wake()
            counter.wait(for: 2)
            task.stop()
            task.stop()
        }
    }

    @Test func timedStepsComeByThemselves() {
        let counter = Counter()
        let task = scheduler.start("timer") {
            counter.add()
            return .after(nanoseconds: 1000)
        }
        counter.wait(for: 5)
        task.stop()
        let again = Counter()
        let busy = scheduler.start("busy") {
            again.add()
            return .again
        }
        again.wait(for: 100)
        busy.stop()
    }

    @Test func stopWaitsForTheStepInProgress() {
        let entered = Counter()
        let left = Counter()
        let task = scheduler.start("slow") {
            entered.add()
            var random = SplitMix64(seed: 1)
            for _ in 0..<100_000 where random.next() == 0 { entered.add() }
            left.add()
            return .again
        }
        entered.wait(for: 1)
        task.stop()
        #expect(entered.count == left.count)
    }
}
