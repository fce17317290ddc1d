// Scheduler.swift - who runs the background work, and when.
//
// Background work is a step function that says what it wants next: another step at once, a step after some time, or
// nothing until somebody wakes it. The live scheduler gives each task a thread. The deterministic one has no threads:
// tasks that were woken, or whose time has come on the virtual clock, run in the order in which they were started,
// inside `checkpoint()`, on the thread of the caller.

import CIntrinsics
import Glibc

/// What a background task wants after a step.
public enum NextStep: Sendable {
    /// Another step at once.
    case again
    /// A step after this many nanoseconds, or earlier when woken.
    case after(nanoseconds: UInt64)
    /// A step when woken.
    case whenWoken
}

/// A running background task. Safe to call from any thread.
public protocol BackgroundTask: AnyObject, Sendable {
    /// Asks for a step soon. Wakes that arrive while a step runs lead to one more step.
    func wake()
    /// No further step is started; returns when a step in progress has ended. Must not be called from the task itself.
    func stop()
}

/// Runs background tasks.
public protocol Scheduler: Sendable {
    /// Starts a task; its first step is due at once (live) or at the next checkpoint (deterministic).
    func start(_ name: String, _ step: @escaping @Sendable () -> NextStep) -> any BackgroundTask

    /// A fixed point of the program. Live: nothing. Deterministic: runs the tasks that are due until none is.
    /// The caller holds no lock.
    func checkpoint()

    /// Tells whether background work runs by itself, beside the caller.
    var hasThreads: Bool { get }
}

/// One thread for each task.
public final class LiveScheduler: Scheduler {
    private let clock: any StorageClock

    /// A scheduler that starts threads.
    public init(clock: any StorageClock) { self.clock = clock }

    public var hasThreads: Bool { true }

    public func checkpoint() {}

    public func start(_ name: String, _ step: @escaping @Sendable () -> NextStep) -> any BackgroundTask {
        let task = ThreadTask(step)
        task.thread = Thread.start(name) { task.run() }
        return task
    }
}

private final class ThreadTask: BackgroundTask, @unchecked Sendable {
    private let step: @Sendable () -> NextStep
    private let lock = Lock()
    private let condition = Condition()
    private var isWoken = false
    private var isStopped = false
    private let joining = Lock()
    var thread: Thread?  // set once, before the task is handed out; taken away under `joining`

    init(_ step: @escaping @Sendable () -> NextStep) { self.step = step }

    func wake() {
        lock.withLock { isWoken = true }
        condition.signal()
    }

    func stop() {
        lock.withLock { isStopped = true }
        condition.signal()
        joining.withLock {
            thread?.join()
            thread = nil
        }
    }

    func run() {
        while true {
            if lock.withLock({ isStopped }) { return }
            let next = step()
            lock.lock()
            switch next {
            case .again: break
            case .after(let nanoseconds):
                if !isWoken && !isStopped { condition.wait(lock, nanoseconds: nanoseconds) }
            case .whenWoken:
                while !isWoken && !isStopped { condition.wait(lock) }
            }
            isWoken = false
            lock.unlock()
        }
    }
}

/// Runs due tasks at checkpoints, in the order in which they were started.
public final class DeterministicScheduler: Scheduler {
    private let clock: any StorageClock
    private let tasks = Protected<[VirtualTask]>([])

    /// A scheduler without threads.
    public init(clock: any StorageClock) { self.clock = clock }

    public var hasThreads: Bool { false }

    public func start(_ name: String, _ step: @escaping @Sendable () -> NextStep) -> any BackgroundTask {
        let task = VirtualTask(step)
        tasks.withLock { $0.append(task) }
        return task
    }

    public func checkpoint() {
        var hasRun = true
        while hasRun {
            hasRun = false
            let now = clock.monotonicNanoseconds
            let current = tasks.withLock { list in
                list.removeAll { $0.isStopped }
                return list
            }
            for task in current where task.runIfDue(now) { hasRun = true }
        }
    }
}

private final class VirtualTask: BackgroundTask, @unchecked Sendable {
    private let step: @Sendable () -> NextStep
    private let lock = Lock()
    private var dueNanoseconds: UInt64 = 0
    private var isRunning = false
    private var stopped = false

    init(_ step: @escaping @Sendable () -> NextStep) { self.step = step }

    var isStopped: Bool { lock.withLock { stopped } }

    func wake() { lock.withLock { dueNanoseconds = 0 } }

    func stop() { lock.withLock { stopped = true } }

    /// Runs one step when it is due and not running already (a checkpoint inside a step does not recurse).
    func runIfDue(_ now: UInt64) -> Bool {
        let isDue = lock.withLock {
            guard !stopped, !isRunning, dueNanoseconds <= now else { return false }
            isRunning = true
            dueNanoseconds = .max
            return true
        }
        guard isDue else { return false }
        let next = step()
        lock.withLock {
            isRunning = false
            switch next {
            case .again: dueNanoseconds = 0
            case .after(let nanoseconds):
                let (due, isNever) = now.addingReportingOverflow(nanoseconds)
                if !isNever { dueNanoseconds = min(dueNanoseconds, due) }
            case .whenWoken: break
            }
        }
        return true
    }
}

/// A joinable operating-system thread.
public final class Thread: @unchecked Sendable {
    private final class Body {
        let name: String
        let run: @Sendable () -> Void
        init(_ name: String, _ run: @escaping @Sendable () -> Void) {
            self.name = name
            self.run = run
        }
    }

    private var handle = pthread_t()

    /// Starts a thread; `name` (up to 15 bytes) shows in profilers.
    public static func start(_ name: String, _ run: @escaping @Sendable () -> Void) -> Thread {
        let thread = Thread()
        let body = Unmanaged.passRetained(Body(name, run))
        let status = pthread_create(
            &thread.handle, nil,
            { raw in
                let body = Unmanaged<Body>.fromOpaque(raw!).takeRetainedValue()
                ci_set_thread_name(String(body.name.prefix(15)))
                body.run()
                return nil
            }, body.toOpaque())
        precondition(status == 0, "pthread_create: \(status)")
        return thread
    }

    /// Waits for the end of the thread. Call it once.
    public func join() { pthread_join(handle, nil) }
}
