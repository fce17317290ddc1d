// StorageEngine+Open.swift - the order of opening (docs/format/sample-store.md, 18).
//
//   1  absolute path, directory                          StorageEngine.open
//   2  cache/reset_cache_on_startup removes cache/       SavedCaches.resetIfAsked
//   3  flock.lock                                        StorageEngine.open
//   4  restore-in-progress refuses                       from here on
//   5  snapshots/, caches, metadata/, index, deleted ids
//   6  data/
//   7  the first look at the free space
//
// What was opened is closed again when a later step fails.
//
// Threads: one.

import Mergeset
import SampleStore
import SeriesIndex
import StorageFiles
import StorageRuntime
import Synchronization

/// The pieces of a storage, open, before the engine is made of them.
struct OpenedStorage {
    static let restoreFlag = "restore-in-progress"

    let path: String
    let compositeStartMs: Int64
    let saved: SavedCaches
    let gate: PauseGate
    let versions = SearchVersions()
    let index: SeriesIndex
    let samples: SampleTable?
    let space: FreeSpace

    /// Opens them in order. The directory is there and locked.
    ///
    /// - Parameter hasTable: Whether the samples are opened, too.
    init(
        path: String, options: StorageOptions, files: any FileSystem, environment: Environment, hasTable: Bool
    ) throws(StorageError) {
        let log = options.log ?? { _ in }
        let nowMs = environment.clock.unixMilliseconds
        self.path = path
        if try files.kind(of: Paths.join(path, OpenedStorage.restoreFlag)) != nil {
            throw StorageError(
                .locked,
                "the storage is being restored, or its restore was interrupted; finish the restore or remove the file "
                    + OpenedStorage.restoreFlag, path: path)
        }
        try files.makeDirectory(Paths.join(path, "snapshots"), parents: true)
        #if INJECT_FAULTS
            var options = options
            if InjectedFault.active == .cache { options.tsidCacheBytesMax = options.tsidCacheBytesMax.map { $0 / 4 } }
        #endif
        let indexDirectory = Paths.join(path, "indexdb")
        let indexExisted = try files.kind(of: indexDirectory) != nil
        saved = try SavedCaches.take(
            storage: path, indexDirectory: indexDirectory, nowMs: nowMs,
            tsidCacheBytesMax: options.tsidCacheBytesMax ?? options.cacheBytes / 100 * 35, environment: environment,
            files: files, log: log)
        compositeStartMs = try CompositeStart.read(
            storage: path, indexExisted: indexExisted, nowMs: nowMs, files: files)
        gate = options.table.searchGate ?? PauseGate()
        let damaged = Paths.join(path, "damaged")
        let index = try SeriesIndex(
            directory: indexDirectory, damagedDirectory: damaged,
            options: OpenedStorage.indexOptions(options, gate, versions), key: saved.tsids.key, files: files,
            environment: environment, log: log)
        self.index = index
        do throws(StorageError) {
            samples =
                hasTable
                ? try SampleTable.open(
                    Paths.join(path, "data"), damagedDirectory: damaged,
                    options: OpenedStorage.sampleOptions(options, gate, index), files: files, environment: environment)
                : nil
        } catch {
            try? index.close()
            throw error
        }
        space = FreeSpace(path: path, limitBytes: options.minFreeDiskSpaceBytes, files: files, log: log)
        space.look()
    }

    private static func indexOptions(
        _ options: StorageOptions, _ gate: PauseGate, _ versions: SearchVersions
    ) -> IndexOptions {
        var index = IndexOptions()
        let merging = options.table.tagRowMerging
        index.table = options.table
        index.table.tagRowMerging = merging == .none ? .streaming : merging
        index.table.searchGate = gate
        let onNewItems = options.table.onNewItems
        index.table.onNewItems = {
            versions.raise()
            onNewItems?()
        }
        index.dayRegistryBytesMax = max(options.cacheBytes / 256, 1 << 16)
        return index
    }

    private static func sampleOptions(
        _ options: StorageOptions, _ gate: PauseGate, _ index: SeriesIndex
    ) -> SampleTableOptions {
        var samples = options.samples
        samples.retentionMs = options.retentionNormalisedMs
        samples.searchGate = gate
        samples.log = options.log
        samples.deletedSeries = { index.deletedTest }
        // A row that survives a crash without its series could be taken for one of another series, if the clock is set
        // back and the id is given again.
        samples.willMakeDurable = { () throws(StorageError) in try index.makeDurable() }
        return samples
    }
}

/// The version of what searches see; the flushes of the tables raise it, too.
final class SearchVersions: Sendable {
    private let value = Atomic<UInt64>(1)
    var current: UInt64 { value.load(ordering: .relaxed) }
    func raise() { value.wrappingAdd(1, ordering: .relaxed) }
}
