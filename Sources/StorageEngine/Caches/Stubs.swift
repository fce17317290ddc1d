// Stubs.swift - stand-ins until the caches are merged.
import SeriesIndex
import StorageBytes
import StorageFiles
import StorageRuntime

extension SavedCaches {
    static func readTSIDs(
        _ directory: String, _ digest: UInt64, _ bytesMax: Int, _ files: any FileSystem,
        _ log: @Sendable (String) -> Void
    ) -> TSIDCache? { nil }

    static func saveTSIDs(
        _ directory: String, _ digest: UInt64, _ tsids: TSIDCache, _ files: any FileSystem
    ) throws(StorageError) {}
}
