// ProfileSubject.swift - from a profile to the rows of a run, generated ahead of the clock.

import SeriesIndex
import StorageBytes
import StorageRuntime
import Workloads

/// The raw names of a profile's series, in order of their first appearance.
final class SeriesInput: RunInput {
    private let pool: SeriesPool
    let digest: UInt64

    init(_ pool: SeriesPool) {
        self.pool = pool
        let digest = Digest()
        for index in 0..<pool.count { digest.addItem(pool.name(index)) }
        self.digest = digest.value
    }

    var count: Int { pool.count }
    var byteCount: Int { pool.nameBytes }
    var mappedBytes: Int { pool.bytesMapped }
    subscript(index: Int) -> UnsafeRawBufferPointer { pool.name(index) }
}

extension RunSubject {
    /// Generates the names of a profile's series: for rows through the engine, or to be registered in a table.
    ///
    /// - Throws: `.badInput` when the profile makes no valid stream, `.inputOutput` when there is no memory for it.
    public static func series(
        of profile: Profile, seed: UInt64, path: RunPath = .items
    ) throws(HarnessError) -> RunSubject {
        let start = CPUTime.ofThread()
        do throws(StorageError) {
            let plan = try SeriesPlan(profile, seed: seed)
            let pool = try SeriesPool(plan)
            let seconds = CPUTime.ofThread() - start
            var subject = RunSubject(
                profile: profile.name, size: profile.size.rawValue, kind: path == .items ? .series : .rows,
                input: SeriesInput(pool), generatorCPUSeconds: seconds)
            if path != .items { subject.rows = RowSource(plan, pool) }
            subject.date = profile.perDay ? DateMath.date(timestampMs: profile.startMs) : nil
            subject.tenants = profile.tenants.count
            // A profile counts tags; the observed shape counts labels, the name among them.
            subject.labels = profile.expect.labels.map { $0.lowerBound + 1...$0.upperBound + 1 }
            subject.nameBytes = profile.expect.nameBytes
            return subject
        } catch {
            throw HarnessError(
                error.kind == .invalidArgument ? .badInput : .inputOutput, "cannot generate \(profile.name): \(error)")
        }
    }
}

/// The items of a table-level workload.
final class ItemInput: RunInput {
    private let corpus: ItemCorpus
    let digest: UInt64

    init(_ corpus: consuming ItemCorpus) {
        let digest = Digest()
        for index in 0..<corpus.count { digest.addItem(corpus.item(index)) }
        self.digest = digest.value
        self.corpus = corpus
    }

    var count: Int { corpus.count }
    var byteCount: Int { corpus.totalBytes }
    var mappedBytes: Int { corpus.bytes.count + corpus.count * MemoryLayout<ItemCorpus.Range>.stride }
    subscript(index: Int) -> UnsafeRawBufferPointer { corpus.item(index) }
}

extension RunSubject {
    /// Items of a workload at a size step, unless their number is given.
    public static func itemCount(_ size: ProfileSize, of workload: ItemWorkload) -> Int {
        let short = workload.length == .short || workload.kind == .indexShaped
        return switch size {
        case .s: short ? 100_000 : 20_000
        case .m: short ? 5_000_000 : 500_000
        case .l: short ? 50_000_000 : 5_000_000
        }
    }

    /// Generates the items of a table-level workload.
    public static func items(of workload: ItemWorkload, count: Int, size: ProfileSize, seed: UInt64) -> RunSubject {
        let start = CPUTime.ofThread()
        let input = ItemInput(workload.corpus(count, seed: seed))
        return RunSubject(
            profile: workload.name, size: size.rawValue, kind: .items, input: input,
            generatorCPUSeconds: CPUTime.ofThread() - start)
    }
}
