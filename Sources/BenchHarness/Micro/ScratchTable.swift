// ScratchTable.swift - a table that a micro-benchmark fills and leaves to disappear.
//
// Threads: one owner at a time.

import Glibc
import Mergeset
import StorageFiles
import StorageRuntime

/// A table in the directory of the micro-benchmarks; it goes with the value.
final class ScratchTable {
    let table: Table
    private let path: String
    private let files = RealFileSystem()

    /// Where the table of a benchmark lies.
    static func path(_ name: String, _ options: MicroOptions) -> String {
        options.directory + "/mergeset-bench-\(name).tmp-\(getpid())"
    }

    /// A table with room for all its blocks in the cache, filled by `fill`. Nothing is left of it after an error.
    init(
        _ name: String, _ options: MicroOptions, fill: (Table) throws(StorageError) -> Void
    ) throws(HarnessError) {
        let path = ScratchTable.path(name, options)
        let files = self.files
        self.path = path
        do throws(StorageError) {
            try files.removeAll(path)
            try files.makeDirectory(path, parents: true)
            var settings = TableOptions()
            settings.dataBlockCacheBytes = 1 << 30
            let table = try Table.open(
                path + "/table", options: settings, files: files, environment: .live(seed: options.seed))
            self.table = table
            try fill(table)
        } catch {
            try? files.removeAll(path)
            throw HarnessError(error, while: "making a table for the benchmark")
        }
    }

    deinit {
        try? table.close()
        try? files.removeAll(path)
    }
}
