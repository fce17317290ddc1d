// EnvironmentTests.swift - clocks, ids, seeds and errors.

import StorageRuntime
import Testing

@Suite struct ClockTests {
    @Test func theVirtualClockMovesWhenTold() {
        let clock = VirtualClock(unixMilliseconds: 1_640_995_200_000)
        #expect(clock.unixMilliseconds == 1_640_995_200_000)
        #expect(clock.unixNanoseconds == 1_640_995_200_000_000_000)
        #expect(clock.monotonicNanoseconds == 0)
        clock.advance(milliseconds: 1500)
        #expect(clock.unixMilliseconds == 1_640_995_201_500)
        #expect(clock.monotonicNanoseconds == 1_500_000_000)
    }

    @Test func deadlinesPass() {
        let clock = VirtualClock(unixMilliseconds: 0)
        let deadline = Deadline(monotonicNanoseconds: 2_000_000)
        #expect(!deadline.hasPassed(clock))
        clock.advance(milliseconds: 1)
        #expect(!deadline.hasPassed(clock))
        clock.advance(milliseconds: 1)
        #expect(deadline.hasPassed(clock))
        #expect(!Deadline.never.hasPassed(clock))
    }

    @Test func theSystemClockGoesForward() {
        let clock = SystemClock()
        let first = clock.monotonicNanoseconds
        #expect(clock.monotonicNanoseconds >= first)
        #expect(clock.unixMilliseconds > 1_640_995_200_000)
        #expect(clock.unixNanoseconds / 1_000_000_000_000 == UInt64(clock.unixMilliseconds / 1_000_000))
    }
}

@Suite struct UniqueIDsTests {
    @Test func idsRise() {
        let ids = UniqueIDs(start: 41)
        #expect(ids.next() == 42)
        #expect(ids.reserve(10) == 43)
        #expect(ids.next() == 53)
        ids.raise(above: 100)
        #expect(ids.next() == 101)
        ids.raise(above: 7)
        #expect(ids.next() == 102)
        // Numbers are unsigned, in the upper half, too.
        let half: UInt64 = 1 << 63
        ids.raise(above: half + 5)
        #expect(ids.next() == half + 6)
        ids.raise(above: 200)
        #expect(ids.next() == half + 7)
    }

    @Test func threadsNeverGetTheSameId() {
        let ids = UniqueIDs(start: 0)
        let all = Protected<Set<UInt64>>([])
        let threads = (0..<4).map { index in
            Thread.start("ids") {
                var own: [UInt64] = []
                for _ in 0..<500 {
                    if index % 2 == 0 {
                        own.append(ids.next())
                    } else {
                        let first = ids.reserve(3)
                        own += [first, first + 1, first + 2]
                    }
                }
                all.withLock { $0.formUnion(own) }
            }
        }
        for thread in threads { thread.join() }
        let seen: Set<UInt64> = all.withLock { $0 }
        #expect(seen.count == 4000)
        #expect(seen.max() == 4000)
    }
}

@Suite struct RandomTests {
    @Test func knownNumbers() {
        var random = SplitMix64(seed: 0)
        #expect(random.next() == 0xe220_a839_7b1d_cdaf)
        #expect(random.next() == 0x6e78_9e6a_a1b9_65f4)
        #expect(random.next() == 0x06c4_5d18_8009_454f)
    }

    @Test func rangesAreKept() {
        var random = SplitMix64(seed: 3)
        var seen: Set<Int> = []
        for _ in 0..<1000 {
            seen.insert(random.below(7))
            let unit = random.unit()
            #expect(unit >= 0 && unit < 1)
        }
        #expect(seen == Set(0..<7))
        #expect(random.below(1) == 0)
    }

    /// Derived seeds are part of every workload's definition: a change here changes all recorded digests.
    @Test func derivedSeedsAreFixed() {
        let seeds = [
            Seeds.derive(42, "churn"), Seeds.derive(42, "churn", 1), Seeds.derive(42, "values"),
            Seeds.derive(43, "churn"), Seeds.derive(42, ""),
        ]
        #expect(Set(seeds).count == seeds.count)
        #expect(
            seeds == [
                0x9919_9f8d_8c71_4c23,
                0x5035_116d_093d_f763,
                0x06a9_3ead_d677_b139,
                0x88d6_8326_e711_6ca8,
                0xb29e_d950_786f_5ae3,
            ])
    }
}

@Suite struct EnvironmentTests {
    @Test func deterministicEnvironmentsAreAlike() {
        let first = Environment.deterministic(seed: 7)
        let second = Environment.deterministic(seed: 7)
        #expect(first.mode == .deterministic)
        #expect(first.clock.unixNanoseconds == second.clock.unixNanoseconds)
        #expect(first.ids.next() == second.ids.next())
        #expect(!first.scheduler.hasThreads)
        #expect(Environment.live().scheduler.hasThreads)
        #expect(Environment.live().mode == .live)
    }
}

@Suite struct StorageErrorTests {
    @Test func theTextHasPlaceReasonAndKind() {
        let error = StorageError(.corrupted, "block 3: truncated", path: "/d/items.bin", offset: 17)
        #expect(error.description == "/d/items.bin at byte 17: block 3: truncated (corrupted)")
        #expect(StorageError(.io(errno: 5), "read: failed").description == "read: failed (errno 5)")
        #expect(error.adding("open part").message == "open part: block 3: truncated")
    }

    @Test func theFirstPlaceIsKept() {
        let error = StorageError(.corrupted, "bad").at(path: "/a", offset: 1)
        #expect(error.path == "/a")
        #expect(error.offset == 1)
        #expect(error.at(path: "/b", offset: 2) == error)
    }

    @Test func aDrivenClockFollowsItsDriver() {
        let virtual = DrivenClock(unixMilliseconds: 1_640_995_800_000, hasRealMonotonic: false)
        virtual.raise(toUnixMilliseconds: 1_640_995_801_000)
        virtual.raise(toUnixMilliseconds: 1_640_995_800_500)
        #expect(virtual.unixMilliseconds == 1_640_995_801_000 && virtual.monotonicNanoseconds == 0)
        virtual.advanceMonotonic(milliseconds: 3)
        #expect(virtual.monotonicNanoseconds == 3_000_000 && virtual.unixMilliseconds == 1_640_995_801_000)
        let real = DrivenClock(unixMilliseconds: 0, hasRealMonotonic: true)
        let before = SystemClock().monotonicNanoseconds
        real.advanceMonotonic(milliseconds: 1_000_000_000)
        let now = real.monotonicNanoseconds
        #expect(now >= before && now <= SystemClock().monotonicNanoseconds && real.unixMilliseconds == 0)
        let environment = Environment.driven(.deterministic, clock: virtual)
        #expect(!environment.scheduler.hasThreads && environment.ids.next() == 1_640_995_801_000_000_001)
        #expect(Environment.driven(.live, clock: real).scheduler.hasThreads)
    }
}
