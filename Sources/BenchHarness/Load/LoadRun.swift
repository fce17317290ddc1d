// LoadRun.swift - a profile against a node: `run PROFILE --target rpc://HOST:PORT`.
//
//   new      every series once, as fast as it is taken
//   known    the same series over and over, at the time of day: as fast as it is taken, or `rate` rows a second
//
// Open loop: with a rate, packet k is due at start + k * rows / rate, whoever is busy. Latency is counted from that intended
// start until the answer, so that a node that stalls is charged with all packets that should have been sent meanwhile; the
// latency from the moment of sending is told beside it. A connection has one packet under way, as vminsert's. The answer
// comes before rows are stored (docs/format/cluster-rpc.md, 4.4): latency shows back-pressure, not durability.
//
// A phase ends when the node has counted all rows, was flushed, and has no pending rows and no merges. CPU of the node is
// that of its process from the first packet to there; the client's own CPU is told apart. With `--target engine` the same
// packets go to an engine in this process: that CPU includes building the batches.
//
// Threads: one per connection, and the caller.

import Glibc
import StorageEngine
import StorageFiles
import StorageRuntime
import Synchronization
import Workloads

/// Where rows go.
public enum LoadTarget: Sendable, Equatable {
    /// A node, by its vminsert port.
    case rpc(NodeAddress)
    /// An engine in this process, with its samples.
    case engine

    /// A target out of `rpc://host:port` or `engine`; nil when it is none.
    public init?(_ text: String) {
        if text == "engine" {
            self = .engine
        } else if text.hasPrefix("rpc://"), let address = NodeAddress(text.dropFirst(6)) {
            self = .rpc(address)
        } else {
            return nil
        }
    }
}

/// Settings of a load.
public struct LoadOptions: Sendable {
    /// Where rows go.
    public var target = LoadTarget.engine
    /// The node's HTTP port; nil leaves out what needs it.
    public var http: NodeAddress?
    /// Connections, each with a thread.
    public var connections = 2
    /// Rows of a packet.
    public var packetRows = 10_000
    /// Rows a second of the known phase; 0 is as fast as they are taken.
    public var rowsPerSecond = 0.0
    /// Rows of the known phase.
    public var knownRows = 5_000_000
    /// Whether the stream is compressed, as that of vminsert.
    public var compresses = true
    /// Root seed of the stream.
    public var seed: UInt64 = 42
    /// Directory of the storage of `engine`.
    public var data: String?

    /// The defaults.
    public init() {}
}

/// What a phase of a load has cost.
public struct LoadPhase: Sendable {
    /// `new` or `known`.
    public var name: String
    /// Rows and packets that were acknowledged, and bytes on the wire.
    public var rows = 0, packets = 0, bytes: UInt64 = 0
    /// Seconds from the first packet to the last answer, and from there until nothing was left to do.
    public var seconds = 0.0, settleSeconds = 0.0
    /// CPU seconds of the node (or of this process without the preparing, for `engine`), and of the client.
    public var nodeCPUSeconds: Double?, clientCPUSeconds = 0.0
    /// Milliseconds from the intended start, and from sending, to the answer.
    public var latencyMs = Statistics([Double]()), serviceMs = Statistics([Double]())
    /// Rows that the node says to have added meanwhile; nil when it could not be asked.
    public var rowsAdded: Int?
}

/// A load against a node or an engine.
public final class LoadRun: Sendable {
    private let options: LoadOptions
    private let files: any FileSystem
    private let tell: @Sendable (String) -> Void

    /// A load.
    public init(options: LoadOptions, files: any FileSystem, tell: @escaping @Sendable (String) -> Void) {
        self.options = options
        self.files = files
        self.tell = tell
    }

    /// What the phases work on.
    fileprivate struct Target {
        var probe: NodeProbe?
        var engine: StorageEngine?
        var senders: [any LoadSender]
    }

    /// Runs both phases.
    ///
    /// - Throws: `.interrupted`; `.checkFailed` when the node has not added as many rows as it has acknowledged.
    public func run(_ profile: Profile) throws(HarnessError) -> [LoadPhase] {
        let feed = try RoundFeed.firstRound(of: profile, seed: options.seed)
        let target = try open(profile)
        defer { try? target.engine?.close() }
        var phases: [LoadPhase] = []
        try withExtendedLifetime(feed) { () throws(HarnessError) in
            phases.append(try phase("new", feed.rows, total: feed.count, rate: 0, target))
            phases.append(
                try phase("known", feed.rows, total: options.knownRows, rate: options.rowsPerSecond, target))
        }
        for phase in phases {
            guard let added = phase.rowsAdded, added != phase.rows else { continue }
            throw HarnessError(
                .checkFailed, "\(phase.name): the node has added \(added) rows of \(phase.rows) acknowledged")
        }
        return phases
    }

    private func open(_ profile: Profile) throws(HarnessError) -> Target {
        switch options.target {
        case .rpc(let address):
            var senders: [any LoadSender] = []
            for _ in 0..<options.connections {
                senders.append(try RPCSender(address, compresses: options.compresses))
            }
            return Target(probe: NodeProbe(rpc: address, http: options.http), engine: nil, senders: senders)
        case .engine:
            guard let path = options.data else { throw HarnessError(.usage, "--target engine needs --data DIRECTORY") }
            let engine = try HarnessError.wrapping("opening the storage") { () throws(StorageError) in
                try StorageEngine.open(path, files: files, environment: .live(seed: options.seed))
            }
            return Target(
                probe: nil, engine: engine,
                senders: (0..<options.connections).map { EngineSender(engine, number: $0) })
        }
    }

    // MARK: a phase

    private final class Shared: @unchecked Sendable {
        let next = Atomic<Int>(0)
        let rows: UnsafeBufferPointer<MetricRow>
        let senders: [any LoadSender]
        struct State {
            var error: HarnessError?
            var latencies: [Double] = [], services: [Double] = []
        }
        let state = Protected(State())

        init(_ rows: UnsafeBufferPointer<MetricRow>, _ senders: [any LoadSender]) {
            self.rows = rows
            self.senders = senders
        }
    }

    private func phase(
        _ name: String, _ rows: UnsafeBufferPointer<MetricRow>, total: Int, rate: Double, _ target: Target
    ) throws(HarnessError) -> LoadPhase {
        tell("\(name): \(total) rows")
        var phase = LoadPhase(name: name)
        let shared = Shared(rows, target.senders)
        let addedBefore = target.rowsAdded
        let bytesBefore = target.senders.reduce(0) { $0 + $1.bytesSent }
        let nodeBefore = target.probe?.cpuSeconds
        let ownBefore = CPUTime.ofProcess().total
        let start = WallClock.nanoseconds
        let threads = target.senders.indices.map { number in
            Thread.start("load-\(number)") { self.drive(number, shared, total: total, rate: rate, start: start) }
        }
        for thread in threads { thread.join() }
        phase.seconds = WallClock.seconds(since: start)
        let ownAfter = CPUTime.ofProcess().total
        let state = shared.state.withLock { $0 }
        if let error = state.error { throw error }
        try Interrupt.check()
        phase.rows = total
        phase.packets = state.latencies.count
        phase.bytes = target.senders.reduce(0) { $0 + $1.bytesSent } - bytesBefore
        phase.latencyMs = Statistics(state.latencies)
        phase.serviceMs = Statistics(state.services)
        let settleStart = WallClock.nanoseconds
        try settle(target, rows: addedBefore.map { $0 + total })
        phase.settleSeconds = WallClock.seconds(since: settleStart)
        if target.engine != nil {
            phase.nodeCPUSeconds = CPUTime.ofProcess().total - ownBefore
        } else {
            phase.clientCPUSeconds = ownAfter - ownBefore
            if let before = nodeBefore, let after = target.probe?.cpuSeconds { phase.nodeCPUSeconds = after - before }
        }
        if let before = addedBefore, let after = target.rowsAdded { phase.rowsAdded = after - before }
        return phase
    }

    private func drive(_ number: Int, _ shared: Shared, total: Int, rate: Double, start: UInt64) {
        var latencies: [Double] = []
        var services: [Double] = []
        let sender = shared.senders[number]
        while !Interrupt.isRequested {
            let packet = shared.next.wrappingAdd(1, ordering: .relaxed).oldValue
            let first = packet * options.packetRows
            if first >= total || shared.state.withLock({ $0.error != nil }) { break }
            let due = rate > 0 ? start + UInt64(Double(first) / rate * 1e9) : nil
            if let due { LoadRun.wait(until: due) }
            let sent = WallClock.nanoseconds
            let rows = PacketRows(
                round: shared.rows, first: first, count: min(options.packetRows, total - first),
                timestampMs: SystemClock().unixMilliseconds)
            do throws(HarnessError) { try sender.send(rows) } catch {
                shared.state.withLock { $0.error = $0.error ?? error }
                break
            }
            let answered = WallClock.nanoseconds
            services.append(Double(answered - sent) * 1e-6)
            latencies.append(Double(answered - min(due ?? sent, answered)) * 1e-6)
        }
        shared.state.withLock {
            $0.latencies += latencies
            $0.services += services
        }
    }

    private static func wait(until moment: UInt64) {
        var time = timespec(tv_sec: Int(moment / 1_000_000_000), tv_nsec: Int(moment % 1_000_000_000))
        while clock_nanosleep(CLOCK_MONOTONIC, Int32(TIMER_ABSTIME), &time, nil) == EINTR {
            if Interrupt.isRequested { return }
        }
    }

    /// Waits until everything that was acknowledged is stored, flushed and merged.
    private func settle(_ target: Target, rows: Int?) throws(HarnessError) {
        if let engine = target.engine {
            return try HarnessError.wrapping("waiting for flushes and merges") { () throws(StorageError) in
                try engine.settle()
            }
        }
        guard let probe = target.probe, probe.http != nil else { return }
        let limit = WallClock.nanoseconds + 120_000_000_000
        var quiet = 0
        var isFlushed = false
        while quiet < 2, WallClock.nanoseconds < limit {
            try Interrupt.check()
            // The page is at most a second old.
            LoadRun.wait(until: WallClock.nanoseconds + 1_050_000_000)
            let metrics = probe.metrics()
            if let rows, Int(metrics["vm_rows_added_to_storage_total"] ?? 0) < rows { continue }
            if !isFlushed { isFlushed = probe.call("/internal/force_flush") }
            let busy = metrics.contains { name, value in
                value > 0 && (name.hasPrefix("vm_active_merges{") || name.hasPrefix("vm_pending_rows{"))
            }
            quiet = busy ? 0 : quiet + 1
        }
    }
}

extension LoadRun.Target {
    /// Rows that the node, or the engine, has added so far.
    fileprivate var rowsAdded: Int? {
        if let engine { return Int(engine.metrics.rowsAdded) }
        return probe?.metrics()["vm_rows_added_to_storage_total"].map { Int($0) }
    }
}
