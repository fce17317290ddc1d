// ByteBudgetTests.swift - the budget: never exceeded, nobody forgotten, one always gets through.

import StorageRuntime
import TestSupport
import Testing

@testable import ClusterRPC

@Suite struct ByteBudgetTests {
    private final class Ready: @unchecked Sendable { var count = 0 }

    @Test(arguments: TestSeeds.thisRun) func randomTakersAllGetThrough(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let budget = ByteBudget(totalBytes: 0)
        let pool = budget.totalBytes - ByteBudget.overdraftBytes
        struct Taker {
            var account: BudgetAccount
            var left: Int
            var ready: Ready
            var isWaiting = false
            var step = 0
        }
        var takers = (0..<20).map { _ in
            Taker(account: BudgetAccount(.message), left: 1 + random.below(30 << 20), ready: Ready())
        }
        var done = 0
        var rounds = 0
        while !takers.isEmpty {
            rounds += 1
            #expect(rounds < 100_000)
            if rounds >= 100_000 { return }
            let index = random.below(takers.count)
            if takers[index].isWaiting {
                guard takers[index].ready.count == 1 else { continue }
                takers[index].isWaiting = false
                takers[index].ready.count = 0
                takers[index].left -= takers[index].step
            } else if takers[index].left <= 0 || random.below(200) == 0 {
                budget.close(takers[index].account)
                takers.remove(at: index)
                done += 1
                continue
            } else {
                let step = min(takers[index].left, 1 + random.below(2 << 20))
                let ready = takers[index].ready
                takers[index].step = step
                if budget.take(step, for: takers[index].account, ready: { ready.count += 1 }) {
                    takers[index].left -= step
                } else {
                    takers[index].isWaiting = true
                }
            }
            let used = budget.figures.used
            #expect(used >= 0 && used <= budget.totalBytes && used <= pool + ByteBudget.overdraftBytes)
        }
        #expect(done == 20)
        #expect(budget.figures.used == 0)
        #expect(!budget.isTight)
    }

    @Test func windowsTakeHalfOfThePoolAtMost() {
        let budget = ByteBudget(totalBytes: 0)  // a pool of 32 MiB
        let accounts = (0..<4).map { _ in BudgetAccount(.window) }
        let ready = Ready()
        #expect(budget.take(8 << 20, for: accounts[0]) {})
        #expect(budget.take(8 << 20, for: accounts[1]) {})
        #expect(!budget.take(8 << 20, for: accounts[2]) { ready.count += 1 })
        #expect(!budget.take(1 << 20, for: accounts[3]) { ready.count += 10 })
        // Packets go on.
        let packet = BudgetAccount(.message)
        #expect(budget.take(10 << 20, for: packet) {})
        budget.close(accounts[3])
        budget.close(accounts[0])
        #expect(ready.count == 1)
        for account in accounts { budget.close(account) }
        budget.close(packet)
        budget.close(packet)
        #expect(budget.figures.used == 0)
    }

    @Test func aWindowThatWaitsForOtherWindowsHurriesNobody() {
        let budget = ByteBudget(totalBytes: 0)  // a pool of 32 MiB
        let accounts = (0..<3).map { _ in BudgetAccount(.window) }
        #expect(budget.take(8 << 20, for: accounts[0]) {})
        #expect(budget.take(8 << 20, for: accounts[1]) {})
        #expect(!budget.take(8 << 20, for: accounts[2]) {})
        #expect(!budget.isTight)
        // Now it is for packets that it waits.
        let packet = BudgetAccount(.message)
        #expect(budget.take(16 << 20, for: packet) {})
        budget.close(accounts[2])
        budget.close(accounts[1])
        let other = BudgetAccount(.message), late = BudgetAccount(.window)
        #expect(budget.take(1 << 20, for: other) {})
        #expect(!budget.take(8 << 20, for: late) {})
        #expect(budget.isTight)
        budget.close(other)
        #expect(!budget.isTight)
        for account in accounts + [packet, late] { budget.close(account) }
        #expect(budget.figures.used == 0)
    }
}
