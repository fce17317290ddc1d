// SoakRun.swift - a long load whose connections are cut all the time, and which ends with a check of what is stored.
//
// Each thread sends small packets and cuts its connection at random: in the middle of a packet, or behind one before its
// answer. It knows three sums:
//
//   acknowledged   packets that were answered with 01: every row must be stored
//   in doubt       packets sent completely whose answer was not seen: stored or not
//   cut            packets sent in part: never stored
//
// The node may be stopped (SIGTERM) and started again meanwhile; threads connect until it is back. At the end the rows in the
// node's parts, less those at the start, must be at least the acknowledged ones and at most those and the ones in doubt.
//
// Threads: one per connection, and the caller.

import ClusterWire
import Glibc
import StorageBytes
import StorageEngine
import StorageRuntime
import Workloads

/// What a soak has found.
public struct SoakResult: Sendable {
    /// Rows by what became of their packets.
    public var acknowledged = 0, inDoubt = 0, cut = 0
    /// Connections made, and cut.
    public var connections = 0, cuts = 0
    /// Rows in the node's parts at the end, less those at the start.
    public var stored = 0

    /// Whether everything that was acknowledged is there, and nothing that cannot be.
    public var isGood: Bool { stored >= acknowledged && stored <= acknowledged + inDoubt && acknowledged > 0 }
}

/// A soak of a node.
public final class SoakRun: Sendable {
    private let address: NodeAddress
    private let http: NodeAddress
    private let seconds: Double
    private let threads: Int
    private let seed: UInt64

    /// A soak of the node at `address` for some seconds.
    public init(address: NodeAddress, http: NodeAddress, seconds: Double, threads: Int, seed: UInt64) {
        self.address = address
        self.http = http
        self.seconds = seconds
        self.threads = threads
        self.seed = seed
    }

    private final class Shared: Sendable {
        let result = Protected(SoakResult())
        let rows: Rows
        let end: UInt64

        init(_ rows: Rows, end: UInt64) {
            self.rows = rows
            self.end = end
        }
    }

    /// Rows of a round, which live as long as its feed.
    private struct Rows: @unchecked Sendable {
        let round: UnsafeBufferPointer<MetricRow>
    }

    /// Runs, and asks the node what it has.
    ///
    /// - Throws: `.inputOutput` when the node does not answer at the end; `.interrupted`.
    public func run(_ profile: Profile) throws(HarnessError) -> SoakResult {
        let feed = try RoundFeed.firstRound(of: profile, seed: seed)
        let before = try storedRows()
        let shared = Shared(Rows(round: feed.rows), end: WallClock.nanoseconds + UInt64(seconds * 1e9))
        let workers = (0..<threads).map { number in
            Thread.start("soak-\(number)") { self.drive(number, shared) }
        }
        for worker in workers { worker.join() }
        try Interrupt.check()
        var result = shared.result.withLock { $0 }
        // Packets that were answered a moment ago may still be on their way to the parts.
        for _ in 0..<60 {
            result.stored = try storedRows() - before
            if result.stored >= result.acknowledged { break }
            sleep(1)
        }
        return withExtendedLifetime(feed) { result }
    }

    private func storedRows() throws(HarnessError) -> Int {
        let probe = NodeProbe(rpc: address, http: http)
        let metrics = probe.metrics()
        guard let small = metrics["vm_rows{type=\"storage/small\"}"], let big = metrics["vm_rows{type=\"storage/big\"}"]
        else { throw HarnessError(.inputOutput, "\(http)/metrics does not say how many rows are stored") }
        return Int(small) + Int(big)
    }

    private func drive(_ number: Int, _ shared: Shared) {
        var random = SplitMix64(seed: Seeds.derive(seed, "soak", number))
        var own = SoakResult()
        var first = number * 1_000_000
        while WallClock.nanoseconds < shared.end, !Interrupt.isRequested {
            guard let sender = try? RPCSender(address, compresses: random.below(4) > 0) else {
                usleep(50_000)  // the node is being restarted
                continue
            }
            own.connections += 1
            while WallClock.nanoseconds < shared.end, !Interrupt.isRequested {
                let count = 1 + random.below(random.below(10) == 0 ? 5000 : 200)
                let rows = PacketRows(
                    round: shared.rows.round, first: first, count: count,
                    timestampMs: SystemClock().unixMilliseconds)
                first += count
                let cut = random.below(20)
                do throws(HarnessError) {
                    if cut == 0 {
                        // At most all bytes but the last one.
                        try sender.sendPart(rows, share: random.unit())
                        own.cut += count
                        own.cuts += 1
                        break
                    }
                    try sender.sendWithoutAnswer(rows)
                    own.inDoubt += count
                    if cut == 1 {
                        own.cuts += 1
                        break
                    }
                    try sender.receiveAnswer()
                    own.inDoubt -= count
                    own.acknowledged += count
                } catch { break }
            }
        }
        shared.result.withLock { result in
            result.acknowledged += own.acknowledged
            result.inDoubt += own.inDoubt
            result.cut += own.cut
            result.connections += own.connections
            result.cuts += own.cuts
        }
    }
}
