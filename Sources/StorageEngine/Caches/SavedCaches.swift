// SavedCaches.swift - caches over a restart (docs/format/series-index.md, 7.2 and 7.8).
//
//   <storage>/cache/
//     index_state             "MSINDEX1" | digest of the index u64 | xxh64 of each id file u64 x 3 | xxh64 of all this u64
//     curr_hour_metric_ids    \
//     prev_hour_metric_ids     > IDFiles, in the form that the reference reads and writes
//     next_day_metric_ids     /
//     raw_name_tsids          TSIDCache
//
// Written when a storage is closed; read, and then removed, when it is opened: after a crash there is nothing stale. What
// is there is believed only if the index is exactly as it was then: the digest covers the names of all tables and parts,
// and no two parts are ever called the same. So whoever writes to the index in between, the reference included, makes the
// caches worthless instead of dangerous. Directories of the reference's own caches are removed with the rest: it would
// believe them later, whatever has happened to the index.
//
// Threads: called while the storage is being opened or closed.

import SeriesIndex
import StorageBytes
import StorageFiles
import StorageRuntime

/// What is kept of the caches between two runs.
struct SavedCaches {
    /// Raw names and their TSIDs; empty when nothing could be used.
    let tsids: TSIDCache
    /// The active series.
    let sets: ActiveSets

    private static let stateName = "index_state"
    private static let tsidsName = "raw_name_tsids"
    private static let resetName = "reset_cache_on_startup"
    private static let idFileNames = [HourIDFile.currentName, HourIDFile.previousName, NextDayIDFile.name]
    private static let magic: UInt64 = 0x4D53_494E_4445_5831  // "MSINDEX1"
    private static let stateBytes = 8 * 6
    private static let idFileBytesMax = 8 << 30

    // MARK: open

    /// Removes everything that was saved if somebody has asked for it, by a file in the directory of the caches. The storage
    /// need not be locked: who is running has no use for the directory.
    static func resetIfAsked(storage: String, files: any FileSystem) throws(StorageError) {
        let directory = Paths.join(storage, "cache")
        guard try files.kind(of: Paths.join(directory, resetName)) != nil else { return }
        try files.removeAll(directory)
    }

    /// Takes over what an earlier run has saved, and removes it.
    ///
    /// - Parameters:
    ///   - indexDirectory: The directory of the index tables, which are not open yet.
    ///   - tsidCacheBytesMax: Bytes of the TSID cache that is made.
    ///   - log: Receives a line when something that was saved is not used.
    /// - Throws: Errors of the file system other than those of reading what was saved.
    static func take(
        storage: String, indexDirectory: String, nowMs: Int64, tsidCacheBytesMax: Int, environment: Environment,
        files: any FileSystem, log: @Sendable (String) -> Void
    ) throws(StorageError) -> SavedCaches {
        let directory = Paths.join(storage, "cache")
        var tsids: TSIDCache?
        var sets = emptySets(nowMs: nowMs)
        if try files.kind(of: directory) != nil {
            if try files.kind(of: Paths.join(directory, stateName)) != nil {
                do throws(StorageError) {
                    let digest = try SeriesIndex.stateDigest(directory: indexDirectory, files: files)
                    let state = try readState(directory, digest: digest, files)
                    sets = readSets(directory, state, nowMs: nowMs, files, log)
                    tsids = readTSIDs(directory, digest, tsidCacheBytesMax, environment, files, log)
                } catch {
                    log("the saved caches are not used: \(error)")
                }
            }
            try files.removeAll(directory)
        }
        return SavedCaches(
            tsids: tsids ?? TSIDCache(key: newKey(environment), bytesMax: tsidCacheBytesMax),
            sets: sets)
    }

    private static func emptySets(nowMs: Int64) -> ActiveSets {
        let hour = DateMath.hour(timestampMs: nowMs)
        return ActiveSets(
            currentHour: hour, previousHour: hour &- 1, today: DateMath.date(timestampMs: nowMs))
    }

    /// The hashes of the id files, if the state file is about the index as it is.
    private static func readState(
        _ directory: String, digest: UInt64, _ files: any FileSystem
    ) throws(StorageError) -> [UInt64] {
        let path = Paths.join(directory, stateName)
        let bytes = try files.readAll(path, limitBytes: stateBytes)
        guard bytes.count == stateBytes, BigEndian.load64(bytes.base) == magic,
            BigEndian.load64(bytes.base + (stateBytes - 8))
                == Hash.xxh64(UnsafeRawBufferPointer(rebasing: bytes.bytes[..<(stateBytes - 8)]))
        else { throw StorageError(.corrupted, "this is not the state of an index", path: path) }
        guard BigEndian.load64(bytes.base + 8) == digest else {
            throw StorageError(.invalidArgument, "the index was changed since they were saved", path: path)
        }
        return (0..<3).map { BigEndian.load64(bytes.base + (16 + 8 * $0)) }
    }

    private static func readSets(
        _ directory: String, _ hashes: [UInt64], nowMs: Int64, _ files: any FileSystem,
        _ log: @Sendable (String) -> Void
    ) -> ActiveSets {
        var sets = emptySets(nowMs: nowMs)
        for (number, name) in idFileNames.enumerated() {
            let path = Paths.join(directory, name)
            do throws(StorageError) {
                let bytes = try files.readAll(path, limitBytes: idFileBytesMax)
                guard Hash.xxh64(bytes.bytes) == hashes[number] else {
                    throw StorageError(.corrupted, "the file is not the one that was saved", path: path)
                }
                try use(bytes.bytes, number, &sets, path)
            } catch {
                log("a saved set of active series is not used: \(error)")
            }
        }
        return sets
    }

    private static func use(
        _ bytes: UnsafeRawBufferPointer, _ number: Int, _ sets: inout ActiveSets, _ path: String
    ) throws(StorageError) {
        do throws(IDFileRefusal) {
            switch number {
            case 0: sets.current = try HourIDFile.decode(bytes, hour: sets.currentHour)
            case 1: sets.previous = try HourIDFile.decode(bytes, hour: sets.previousHour)
            default: sets.nextDay = try NextDayIDFile.decode(bytes, date: sets.today)
            }
        } catch .otherPeriod(let hour) where number == 0 && hour == sets.previousHour {
            // The hour has changed since: what was the current set is the previous one now.
            if let ids = try? HourIDFile.decode(bytes, hour: hour) { sets.previous = ids }
        } catch .otherPeriod {
            // Nothing unusual: the storage was closed for long.
        } catch {
            throw StorageError(.corrupted, "the file does not decode: \(error)", path: path)
        }
    }

    private static func readTSIDs(
        _ directory: String, _ digest: UInt64, _ bytesMax: Int, _ environment: Environment, _ files: any FileSystem,
        _ log: @Sendable (String) -> Void
    ) -> TSIDCache? {
        let (cache, outcome) = TSIDCache.load(
            from: Paths.join(directory, tsidsName), validity: validity(digest), bytesMax: bytesMax, files: files,
            newKey: { newKey(environment) })
        switch outcome {
        case .loaded: return cache
        case .absent: return nil
        default:
            log("the saved TSID cache is not used: \(outcome)")
            return nil
        }
    }

    private static func newKey(_ environment: Environment) -> FingerprintKey {
        FingerprintKey(drawing: environment.secrets("fingerprints"))
    }

    private static func validity(_ digest: UInt64) -> [UInt8] { withUnsafeBytes(of: digest.bigEndian) { Array($0) } }

    // MARK: close

    /// Saves the caches of a storage whose index has been closed.
    static func save(
        storage: String, indexDirectory: String, tsids: TSIDCache, sets: ActiveSets, files: any FileSystem
    ) throws(StorageError) {
        let directory = Paths.join(storage, "cache")
        try files.removeAll(directory)
        try files.makeDirectory(directory, parents: true)
        let digest = try SeriesIndex.stateDigest(directory: indexDirectory, files: files)
        var state = RawBuffer(capacity: stateBytes)
        state.appendBigEndian(magic)
        state.appendBigEndian(digest)
        var bytes = RawBuffer()
        for (number, name) in idFileNames.enumerated() {
            bytes.removeAll()
            switch number {
            case 0: HourIDFile.encode(hour: sets.currentHour, isFull: true, ids: sets.current, into: &bytes)
            case 1: HourIDFile.encode(hour: sets.previousHour, isFull: true, ids: sets.previous, into: &bytes)
            default: NextDayIDFile.encode(date: sets.today, ids: sets.nextDay, into: &bytes)
            }
            try files.replaceAtomically(bytes.bytes, at: Paths.join(directory, name))
            state.appendBigEndian(Hash.xxh64(bytes.bytes))
        }
        try tsids.save(to: Paths.join(directory, tsidsName), validity: validity(digest), files: files)
        state.appendBigEndian(Hash.xxh64(state.bytes))
        // Last: without it, nothing else is believed.
        try files.replaceAtomically(state.bytes, at: Paths.join(directory, stateName))
    }
}
