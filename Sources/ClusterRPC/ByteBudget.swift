// ByteBudget.swift - the memory of all connections together.
//
//   total = pool + overdraft          the overdraft has room for one packet of the largest size
//
// Whoever needs memory takes it from the pool or waits in line; a connection that waits is not read from. Packets are
// gathered piece by piece, so the pool may be full of packets none of which can be completed. Therefore the first in line
// may go on at the expense of the overdraft until its packet is done: one at a time always gets through.
//
// Windows of compressed streams stay as long as their connections, so they get at most half of the pool and never the
// overdraft, and they have a line of their own.
//
// Threads: any. What was waited for is announced outside the lock, on the thread that gave memory back.

import ClusterWire
import StorageBytes
import StorageRuntime

/// What one packet, request or stream holds of the budget. Only the budget looks into it.
final class BudgetAccount: @unchecked Sendable {
    enum Kind {
        /// A packet or a request: ends.
        case message
        /// Window of a stream: stays with its connection.
        case window
    }

    let kind: Kind
    fileprivate(set) var bytes = 0
    fileprivate var hasOverdraft = false
    fileprivate var isClosed = false

    init(_ kind: Kind) { self.kind = kind }
}

/// Counts bytes and makes others wait.
final class ByteBudget: Sendable {
    private struct Waiter {
        let account: BudgetAccount
        let bytes: Int
        let ready: @Sendable () -> Void
    }

    private struct State {
        var used = 0
        var usedMax = 0
        var windows = 0
        var overdraftIsTaken = false
        var messages: [Waiter] = []
        var windowsWaiting: [Waiter] = []
        var waits: UInt64 = 0
    }

    /// Bytes in all.
    let totalBytes: Int
    private let poolBytes: Int
    private let state = Protected(State())

    /// A packet of the largest size with the slack of its chunks.
    static let overdraftBytes = WireLimits.packetBytesMax + (1 << 20)

    /// A budget of `totalBytes`, but never less than the overdraft and 32 MiB.
    init(totalBytes: Int) {
        self.totalBytes = max(totalBytes, ByteBudget.overdraftBytes + (32 << 20))
        poolBytes = self.totalBytes - ByteBudget.overdraftBytes
    }

    /// Takes bytes, or puts the account in line.
    ///
    /// - Parameter ready: Called once, when the bytes were taken after waiting; not called when the account was closed.
    /// - Returns: Whether the bytes were taken at once.
    func take(_ bytes: Int, for account: BudgetAccount, ready: @escaping @Sendable () -> Void) -> Bool {
        state.withLock { state in
            if account.isClosed { return false }
            let isFirst = account.kind == .message ? state.messages.isEmpty : state.windowsWaiting.isEmpty
            if account.hasOverdraft || isFirst, grant(bytes, account, &state) { return true }
            state.waits += 1
            let waiter = Waiter(account: account, bytes: bytes, ready: ready)
            if account.kind == .message { state.messages.append(waiter) } else { state.windowsWaiting.append(waiter) }
            return false
        }
    }

    /// Gives everything back that an account holds, takes it out of the line, and lets others go on.
    func close(_ account: BudgetAccount) {
        let ready = state.withLock { state in
            guard !account.isClosed else { return [Waiter]() }
            account.isClosed = true
            state.used -= account.bytes
            if account.kind == .window { state.windows -= account.bytes }
            if account.hasOverdraft { state.overdraftIsTaken = false }
            account.bytes = 0
            account.hasOverdraft = false
            state.messages.removeAll { $0.account === account }
            state.windowsWaiting.removeAll { $0.account === account }
            return admit(&state)
        }
        for waiter in ready { waiter.ready() }
    }

    private func admit(_ state: inout State) -> [Waiter] {
        var admitted: [Waiter] = []
        while let first = state.messages.first, grant(first.bytes, first.account, &state) {
            admitted.append(state.messages.removeFirst())
        }
        while let first = state.windowsWaiting.first, grant(first.bytes, first.account, &state) {
            admitted.append(state.windowsWaiting.removeFirst())
        }
        return admitted
    }

    private func grant(_ bytes: Int, _ account: BudgetAccount, _ state: inout State) -> Bool {
        guard !account.isClosed else { return false }
        switch account.kind {
        case .window:
            guard state.used + bytes <= poolBytes, state.windows + bytes <= poolBytes / 2 else { return false }
            state.windows += bytes
        case .message:
            if state.used + bytes > poolBytes, !account.hasOverdraft {
                guard !state.overdraftIsTaken else { return false }
                state.overdraftIsTaken = true
                account.hasOverdraft = true
            }
        }
        state.used += bytes
        state.usedMax = max(state.usedMax, state.used)
        account.bytes += bytes
        return true
    }

    /// Whether somebody waits for memory that messages hold. A window that waits for other windows does not count: no message
    /// that ends would help it.
    var isTight: Bool {
        state.withLock { state in
            if !state.messages.isEmpty { return true }
            guard let first = state.windowsWaiting.first else { return false }
            return state.windows + first.bytes <= poolBytes / 2
        }
    }

    /// Whether a window waits in line because there is no room for it and those before it in the windows' half of the pool.
    func waitsForWindows(_ account: BudgetAccount) -> Bool {
        state.withLock { state in
            guard let place = state.windowsWaiting.firstIndex(where: { $0.account === account }) else { return false }
            return state.windowsWaiting[...place].reduce(state.windows) { $0 + $1.bytes } > poolBytes / 2
        }
    }

    /// Bytes held now, the most so far, how many wait now, and how often somebody had to.
    var figures: (used: Int, usedMax: Int, waiting: Int, waits: UInt64) {
        state.withLock { ($0.used, $0.usedMax, $0.messages.count + $0.windowsWaiting.count, $0.waits) }
    }
}
