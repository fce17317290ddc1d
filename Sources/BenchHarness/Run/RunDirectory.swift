// RunDirectory.swift - where a run writes: all of it or nothing.
//
//   OUT.tmp-PID/            while the run works
//     data/table            the table, unless --data names another place
//   OUT/                    renamed to at the end, when all files are written and synced
//     run.json summary.md intervals.csv metrics.prom
//     data/table            with --keep only
//
//   DATA/.mergeset-bench    with --data: says that the contents are ours and may be removed by the next run
//   DATA/table
//
// A directory that is not empty and not ours is refused before anything is written. Threads: one owner.

import Glibc
import StorageFiles
import StorageRuntime

/// The output directory of one run, and its data directory.
public final class RunDirectory {
    /// Where the finished run can be found.
    public let outPath: String
    /// The directory of the table; not made yet.
    public let tablePath: String

    private let files: any FileSystem
    private let workingPath: String
    private let givenDataPath: String?
    private let madeData: Bool
    private let keepsData: Bool
    private var isFinished = false

    private static let markerName = ".mergeset-bench"

    /// Makes the working directories.
    ///
    /// - Parameters:
    ///   - out: The directory to be made; it must not exist yet, or be empty.
    ///   - data: Where the table goes; nil puts it under the working directory.
    ///   - keepsData: Whether the table outlives the run.
    /// - Throws: `.cannotCreate` when a directory cannot be made or holds something that is not ours.
    public init(files: any FileSystem, out: String, data: String?, keepsData: Bool) throws(HarnessError) {
        let out = RunDirectory.trimmed(out)
        let data = data.map(RunDirectory.trimmed)
        self.files = files
        self.keepsData = keepsData
        outPath = out
        workingPath = out + ".tmp-\(getpid())"
        givenDataPath = data
        tablePath = (data ?? workingPath + "/data") + "/table"

        guard !out.isEmpty, data?.isEmpty != true else { throw HarnessError(.usage, "a directory name is empty") }
        try RunDirectory.checkFree(out, files, option: "--out", allowsMarker: false)
        if let data { try RunDirectory.checkFree(data, files, option: "--data", allowsMarker: true) }
        do {
            try files.removeAll(workingPath)
            try files.makeDirectory(workingPath, parents: true)
            if let data {
                madeData = try files.kind(of: data) == nil
                try files.makeDirectory(data, parents: true)
                try files.removeAll(data + "/table")
                if try files.kind(of: data + "/" + RunDirectory.markerName) == nil {
                    try files.create(data + "/" + RunDirectory.markerName).close()
                }
            } else {
                madeData = true
                try files.makeDirectory(workingPath + "/data", parents: false)
            }
        } catch {
            try? files.removeAll(workingPath)
            throw HarnessError(.cannotCreate, "cannot make the output directory: \(error)")
        }
    }

    deinit { discard() }

    /// Writes the files of the report, makes them durable and gives the directory its final name. The data directory
    /// is removed unless it is to be kept.
    public func publish(_ contents: [(name: String, bytes: [UInt8])]) throws(HarnessError) {
        precondition(!isFinished, "the run directory was finished before")
        do {
            if !keepsData { try removeData() }
            for (name, bytes) in contents { try files.writeAtomically(bytes, to: workingPath + "/" + name) }
            try files.sync(workingPath)
            // An empty directory of this name is allowed and has to go first.
            if try files.kind(of: outPath) != nil { try files.removeAll(outPath) }
            try files.rename(workingPath, to: outPath)
            try files.sync(RunDirectory.parent(of: outPath))
            if keepsData, let data = givenDataPath { try files.removeFile(data + "/" + RunDirectory.markerName) }
        } catch {
            discard()
            throw HarnessError(.inputOutput, "cannot write the report: \(error)")
        }
        isFinished = true
    }

    /// Removes everything that this run has made. Errors are ignored: there is nobody left to tell. Does nothing after
    /// ``publish(_:)`` has succeeded.
    public func discard() {
        guard !isFinished else { return }
        isFinished = true
        if !keepsData { try? removeData() }
        try? files.removeAll(workingPath)
    }

    private func removeData() throws(StorageError) {
        guard let data = givenDataPath else { return try files.removeAll(workingPath + "/data") }
        if madeData { return try files.removeAll(data) }
        try files.removeAll(data + "/table")
        try files.removeAll(data + "/" + RunDirectory.markerName)
    }

    /// Refuses anything but a free name, an empty directory or, with `allowsMarker`, one that a run has left behind.
    private static func checkFree(
        _ path: String, _ files: any FileSystem, option: String, allowsMarker: Bool
    ) throws(HarnessError) {
        do {
            switch try files.kind(of: path) {
            case nil: return
            case .directory:
                let entries = try files.list(path)
                if entries.isEmpty || allowsMarker && entries.contains(where: { $0.name == markerName }) { return }
                throw HarnessError(
                    .cannotCreate, "\(path) is not empty; remove it or choose another directory with \(option)")
            default:
                throw HarnessError(.cannotCreate, "\(path) is not a directory; choose another name with \(option)")
            }
        } catch let error as HarnessError {
            throw error
        } catch {
            throw HarnessError(.cannotCreate, "cannot use \(path) for \(option): \(error)")
        }
    }

    private static func trimmed(_ path: String) -> String {
        var path = path
        while path.utf8.count > 1, path.hasSuffix("/") { path.removeLast() }
        return path
    }

    private static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}
