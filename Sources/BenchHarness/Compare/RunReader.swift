// RunReader.swift - reads what a run has left behind.

import StorageFiles
import StorageRuntime

/// Reads run directories.
public enum RunReader {
    /// Name of the record in a run directory.
    static let recordName = "run.json"

    /// The record of a run directory, or of the path of a run.json.
    ///
    /// - Throws: `.badInput` when there is none, when it is damaged, or when it has another schema version.
    public static func record(_ path: String, _ files: any FileSystem) throws(HarnessError) -> RunRecord {
        let file = isDirectory(path, files) ? Paths.join(path, recordName) : path
        let bytes: [UInt8]
        do throws(StorageError) { bytes = try TextFile.bytes(file, files) } catch {
            switch error.kind {
            case .notFound where isDirectory(path, files):
                throw HarnessError(
                    .badInput, "\(path) has no \(recordName): it is no run directory, or a run that did not finish")
            case .notFound: throw HarnessError(.badInput, "\(path) is not there; name a run directory or its run.json")
            default: throw HarnessError(error, while: "reading \(file)")
            }
        }
        do throws(HarnessError) { return try RunRecord(json: bytes) } catch {
            throw HarnessError(.badInput, "\(file) is damaged or of another program: \(error.message)")
        }
    }

    static func isDirectory(_ path: String, _ files: any FileSystem) -> Bool {
        (try? files.kind(of: path)) == .directory
    }
}
