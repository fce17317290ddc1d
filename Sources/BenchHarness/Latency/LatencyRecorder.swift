// LatencyRecorder.swift - how long insert blocks take, phase by phase: from the moment at which a block should have started
// (intended, by the fixed rate of an open loop) and from the moment at which it did (actual).
//
//   intended ----- waits for a free thread ----- actual start ----- AddRows ----- end
//      |<------------------ intended latency ---------------------------------->|
//                                                    |<--- actual latency ------>|
//
// In a closed loop a block is intended to start when it does, so only the actual latency is kept. Values are nanoseconds in
// a histogram of three significant digits (library HdrHistogram, package hdrhistogram-swift). What recording costs is
// measured by doing it on a scratch recorder, and reported as part of the harness' own share.
//
// Threads: `begin` by the driver between blocks, `record` by any thread, `records` once nothing is recorded any more.

import Histogram
import StorageRuntime

/// The histogram of latencies in nanoseconds.
typealias LatencyHistogram = Histogram<UInt32>

/// Gathers the latencies of a run.
final class LatencyRecorder: Sendable {
    private struct Phase {
        let name: String
        var startNanoseconds: UInt64
        var endNanoseconds: UInt64
        var actual = LatencyRecorder.histogram()
        var intended: LatencyHistogram?
    }

    private struct State {
        var phases: [Phase] = []
        var current: Int?
        var recorded: UInt64 = 0
    }

    private let state = Protected(State())

    /// Longest latency that is told apart from longer ones, nanoseconds: ten minutes.
    static let nanosecondsMax: UInt64 = 600_000_000_000

    /// An empty histogram.
    static func histogram() -> LatencyHistogram {
        LatencyHistogram(lowestDiscernibleValue: 1, highestTrackableValue: nanosecondsMax)
    }

    /// From now on blocks belong to this phase; nil stops recording. A phase may be begun again.
    func begin(_ name: String?, isOpenLoop: Bool = false) {
        state.withLock { state in
            state.current = nil
            guard let name else { return }
            if let index = state.phases.firstIndex(where: { $0.name == name }) {
                state.current = index
                return
            }
            let now = WallClock.nanoseconds
            state.phases.append(Phase(name: name, startNanoseconds: now, endNanoseconds: now))
            if isOpenLoop { state.phases[state.phases.count - 1].intended = LatencyRecorder.histogram() }
            state.current = state.phases.count - 1
        }
    }

    /// Records a block. `intended` is when it should have started, on the ``WallClock``; nil in a closed loop.
    func record(intended: UInt64?, start: UInt64, end: UInt64) {
        let actual = min(end &- start, LatencyRecorder.nanosecondsMax)
        state.withLock { state in
            guard let current = state.current else { return }
            state.recorded &+= 1
            _ = state.phases[current].actual.record(actual)
            if let intended {
                _ = state.phases[current].intended?.record(
                    min(end > intended ? end - intended : 0, LatencyRecorder.nanosecondsMax))
            }
            state.phases[current].endNanoseconds = max(state.phases[current].endNanoseconds, end)
        }
    }

    /// Records something that was due and did not begin: it has taken this long from its intended start, and longer.
    func recordMissed(intended: UInt64, now: UInt64) {
        state.withLock { state in
            guard let current = state.current else { return }
            _ = state.phases[current].intended?.record(
                min(now > intended ? now - intended : 0, LatencyRecorder.nanosecondsMax))
        }
    }

    /// CPU seconds that recording has taken: the number of records times the cost of one, measured now.
    func cpuSeconds() -> Double {
        let recorded = state.withLock { $0.recorded }
        guard recorded > 0 else { return 0 }
        let scratch = LatencyRecorder()
        scratch.begin("scratch", isOpenLoop: true)
        let rounds = 4000
        let start = CPUTime.ofThread()
        for round in 0..<rounds {
            let begin = WallClock.nanoseconds
            scratch.record(intended: begin, start: begin, end: WallClock.nanoseconds &+ UInt64(round))
        }
        return (CPUTime.ofThread() - start) / Double(rounds) * Double(recorded)
    }

    /// What was recorded, by phase; times since `origin`.
    func records(since origin: UInt64) -> [LatencyRecord] {
        var records: [LatencyRecord] = []
        for phase in state.withLock({ $0.phases }) {
            let start = seconds(phase.startNanoseconds, since: origin)
            let end = seconds(phase.endNanoseconds, since: origin)
            if let intended = phase.intended, intended.totalCount > 0 {
                records.append(
                    LatencyRecord(
                        phase: phase.name, from: .intended, startSeconds: start, endSeconds: end, intended))
            }
            if phase.actual.totalCount > 0 {
                records.append(
                    LatencyRecord(
                        phase: phase.name, from: .actual, startSeconds: start, endSeconds: end, phase.actual))
            }
        }
        return records
    }

    private func seconds(_ moment: UInt64, since origin: UInt64) -> Double {
        moment > origin ? Double(moment - origin) * 1e-9 : 0
    }
}
