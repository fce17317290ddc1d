// WorkArea.swift - a temporary directory for the programs that are compared and for their runs.
//
//   /tmp/mergeset-gate-XXXXXX/
//     base/ cand/ ctrl/        a side each; the names have one length, since paths are strings and strings allocate
//       program                the program under test
//       plain                  the same without debug information, for valgrind
//       run/                   the run at hand
//     src-base/ src-cand/      checkouts of revisions, while they are built
//
// TMPDIR is left aside on purpose: with a longer path the same program makes up to 2 % more allocations.
//
// Removed when the area goes, also after errors and Ctrl-C. Threads: one owner.

import Glibc
import StorageFiles
import StorageRuntime

/// A temporary directory.
final class WorkArea {
    /// Its path.
    let path: String
    let files: any FileSystem

    private static let parent = "/tmp"

    /// Makes the directory.
    init(_ files: any FileSystem) throws(HarnessError) {
        self.files = files
        var template = Array((WorkArea.parent + "/mergeset-gate-XXXXXX").utf8CString)
        guard mkdtemp(&template) != nil else {
            throw HarnessError(
                .cannotCreate, "cannot make a directory in \(WorkArea.parent): \(String(cString: strerror(errno)))")
        }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { try? files.removeAll(path) }

    /// Makes an empty directory in it, and tells its path.
    func directory(_ name: String) throws(HarnessError) -> String {
        let directory = path + "/" + name
        do throws(StorageError) {
            try files.removeAll(directory)
            try files.makeDirectory(directory, parents: true)
        } catch { throw HarnessError(.cannotCreate, "cannot make \(directory): \(error)") }
        return directory
    }
}
