// CrashWriter.swift - a process that is meant to be killed: it adds rows without end and says what it was promised.
//
//   run 3 seed 42 threads 2 base 1700000000000      first line
//   flushed 17 15                                   17 batches of thread 0 and 15 of thread 1 had been added before a flush
//                                                   that has returned
//   merged                                          a forced merge has returned
//   snapshot NAME 20 19                             a snapshot has returned that holds so many batches at least
//   removing NAME                                   it is about to be removed
//
// A line is written with one system call, so what stands in the file after a kill was true. Every row follows from the run, the
// thread and its number, so CrashCheck can tell whether it belongs there.
//
// Threads: adders, and the caller, who flushes.

import StorageBytes
import StorageEngine
import StorageFiles
import StorageRuntime
import Synchronization

/// The rows of a run that is killed.
struct CrashStream {
    static let batchRows = 100
    static let seriesCount = 60
    /// Rows go to this many places in time, this far apart: usually two months.
    static let places: Int64 = 3, placeMs: Int64 = 14 * 86_400_000

    let run: Int
    let seed: UInt64
    let baseMs: Int64

    /// Series of a row of a thread.
    func series(thread: Int, number: Int) -> Int {
        Int(
            SplitMix64.mix(seed &+ UInt64(run) << 48 &+ UInt64(thread) << 40 &+ UInt64(number))
                % UInt64(Self.seriesCount))
    }

    /// Unix milliseconds of a row; ascending within each place.
    func timestampMs(number: Int) -> Int64 {
        baseMs &+ Int64(number) &- Int64(number) % Self.places * Self.placeMs
    }

    /// The raw name of a series, in the form of the insert node.
    func name(thread: Int, series: Int) -> [UInt8] {
        var raw = RawBuffer()
        raw.appendBigEndian(UInt64(series % 2))
        for (key, value) in [
            ("", "crash_row"), ("run", "\(run)"), ("thread", "\(thread)"), ("series", "\(series)"),
        ] {
            raw.appendBigEndian(UInt16(key.utf8.count))
            raw.append(Array(key.utf8))
            raw.appendBigEndian(UInt16(value.utf8.count))
            raw.append(Array(value.utf8))
        }
        return raw.array()
    }
}

/// The command `crash-writer`.
public enum CrashWriter {
    /// Options of the storage: little memory and short intervals, so that flushes and merges happen all the time.
    static func options() -> StorageOptions {
        var options = StorageOptions()
        options.retentionMs = 400 * 86_400_000
        options.cacheBytesMax = 64 << 20
        options.table.runBytesMax = 64 << 10
        options.table.memoryBytesMax = 512 << 10
        options.table.flushIntervalNanoseconds = 20_000_000
        options.samples.memoryBytesMax = 1 << 20
        options.samples.flushIntervalNanoseconds = 30_000_000
        options.samples.smallPartBytesMax = 200_000
        return options
    }

    /// Adds rows to the storage at `path` until the process is killed or interrupted.
    public static func run(_ path: String, run: Int, seed: UInt64, threads: Int) throws(HarnessError) {
        let files = RealFileSystem()
        let engine = try HarnessError.wrapping("opening the storage") { () throws(StorageError) in
            try StorageEngine.open(path, options: options(), files: files, environment: .live(seed: seed))
        }
        let stream = CrashStream(run: run, seed: seed, baseMs: WallClock.unixSeconds * 1000)
        say("run \(run) seed \(seed) threads \(threads) base \(stream.baseMs)")
        let shared = Shared(threads)
        let adders = (0..<threads).map { number in
            Thread.start("adder-\(number)") { add(engine, stream, number, shared) }
        }
        var failure: HarnessError?
        do throws(HarnessError) { try flushForEver(engine, shared, seed: seed &+ UInt64(run)) } catch {
            failure = error
        }
        shared.isStopped.store(true, ordering: .relaxed)
        for thread in adders { thread.join() }
        failure = failure == .interrupted ? shared.error.withLock { $0 } : failure
        try HarnessError.wrapping("closing the storage") { () throws(StorageError) in try engine.close() }
        if let failure { throw failure }
    }

    private final class Shared: Sendable {
        let batches: Protected<[Int]>
        let isStopped = Atomic<Bool>(false)
        let error = Protected<HarnessError?>(nil)
        init(_ threads: Int) { batches = Protected(Array(repeating: 0, count: threads)) }
    }

    private static func add(_ engine: StorageEngine, _ stream: CrashStream, _ thread: Int, _ shared: Shared) {
        let names = (0..<CrashStream.seriesCount).map { series in
            let bytes = stream.name(thread: thread, series: series)
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
            copy.copyBytes(from: bytes)
            return UnsafeRawBufferPointer(copy)
        }
        defer { for name in names { name.deallocate() } }
        var number = 0
        while !shared.isStopped.load(ordering: .relaxed) {
            let rows = (number..<number + CrashStream.batchRows).map { number in
                MetricRow(
                    name: names[stream.series(thread: thread, number: number)],
                    timestampMs: stream.timestampMs(number: number), value: Double(number))
            }
            do throws(StorageError) {
                try rows.withUnsafeBufferPointer { rows throws(StorageError) in
                    try engine.addRows(rows, hint: thread)
                }
            } catch {
                shared.error.withLock { $0 = HarnessError(error, while: "adding rows") }
                return Interrupt.request()
            }
            number += rows.count
            shared.batches.withLock { $0[thread] += 1 }
        }
    }

    private static func flushForEver(
        _ engine: StorageEngine, _ shared: Shared, seed: UInt64
    ) throws(HarnessError) {
        var random = SplitMix64(seed: seed)
        var names: [String] = []
        while true {
            try Interrupt.check()
            let batches = shared.batches.withLock { $0 }.map { "\($0)" }.joined(separator: " ")
            do throws(StorageError) {
                switch random.below(16) {
                case 0:
                    try engine.forceMerge()
                    say("merged")
                case 1:
                    let name = try engine.createSnapshot()
                    say("snapshot \(name) \(batches)")
                    names.append(name)
                    guard names.count > 2 else { continue }
                    say("removing \(names[0])")
                    try engine.deleteSnapshot(names.removeFirst())
                default:
                    try engine.flush()
                    say("flushed \(batches)")
                }
            } catch {
                throw HarnessError(error, while: "flushing")
            }
        }
    }

    private static func say(_ line: String) { StatusDisplay.writeOutput(line + "\n") }
}
