// StreamExport.swift - the command `generate`: a profile's rows in a file or on standard output, so that any other
// engine can be fed the same stream.

import StorageBytes
import StorageFiles
import StorageRuntime
import Workloads

/// Writes streams.
public enum StreamExport {
    /// What was written.
    public struct Result: Sendable {
        /// Rows and bytes written.
        public var rows = 0, bytes = 0
        /// XXH64 over the rows in order, 16 hex digits.
        public var digest = ""
    }

    /// Writes all rows of a profile.
    ///
    /// - Parameter path: The file to be made; nil is standard output. It appears when it is complete.
    /// - Throws: `.cannotCreate` when the file exists or cannot be made, `.inputOutput` when writing fails,
    ///   `.interrupted`; no file is left then.
    public static func write(
        _ profile: Profile, seed: UInt64, format: StreamFormat, to path: String?, files: any FileSystem
    ) throws(HarnessError) -> Result {
        guard let path else {
            return try generate(profile, seed, format) { bytes in
                StatusDisplay.writeOutput(bytes)
                return
            }
        }
        let temporary = path + ".tmp"
        let file: any WritableFile
        do throws(StorageError) {
            guard try files.kind(of: path) == nil else {
                throw StorageError(.alreadyExists, "the file exists; remove it or choose another name", path: path)
            }
            try files.removeAll(temporary)
            file = try files.create(temporary)
        } catch { throw HarnessError(.cannotCreate, "cannot make the output file: \(error)") }
        do throws(HarnessError) {
            let result = try generate(profile, seed, format) { (bytes) throws(StorageError) in try file.write(bytes) }
            try HarnessError.wrapping("writing the stream") { () throws(StorageError) in
                try file.sync()
                try file.close()
                try files.rename(temporary, to: path)
            }
            return result
        } catch {
            try? files.removeAll(temporary)
            throw error
        }
    }

    private static func generate(
        _ profile: Profile, _ seed: UInt64, _ format: StreamFormat,
        _ write: (UnsafeRawBufferPointer) throws(StorageError) -> Void
    ) throws(HarnessError) -> Result {
        var result = Result()
        do {
            let plan = try SeriesPlan(profile, seed: seed)
            var stream = try RowStream(plan)
            var batch = RowBatch()
            var digest = StreamDigest()
            var target = RawBuffer(capacity: 1 << 20)
            let writer = StreamWriter(format)
            writer.begin(&target)
            while stream.next(into: &batch) {
                try writer.append(batch, to: &target)
                digest.add(batch)
                result.rows += batch.count
                if target.count >= 1 << 20 {
                    try Interrupt.check()
                    try write(target.bytes)
                    result.bytes += target.count
                    target.removeAll()
                }
            }
            try write(target.bytes)
            result.bytes += target.count
            result.digest = HexText.digits(digest.value)
            return result
        } catch let error as HarnessError {
            throw error == .interrupted ? HarnessError(.interrupted, "interrupted: no stream written") : error
        } catch let error as StorageError {
            throw HarnessError(error, while: "generating \(profile.name)")
        } catch { throw HarnessError(.badInput, "generating \(profile.name): \(error)") }
    }
}
