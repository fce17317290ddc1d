// ProgramSource.swift - what the user may name as a side of a comparison: a program, or a revision to be built.
//
// A revision is checked out into a git worktree of its own in the work area and built there, with the options of a normal
// optimised build; the user's checkout is not touched. That takes minutes and is never part of a measurement.

import Glibc
import StorageFiles
import StorageRuntime

/// A side of a comparison, before anything was done.
public enum ProgramSource: Sendable, Equatable {
    /// An executable file.
    case program(String)
    /// A commit of the repository that the current directory belongs to: as named by the user, and in full.
    case revision(name: String, commit: String)

    /// Finds out what a name stands for.
    ///
    /// - Throws: `.badInput` when it is neither.
    public static func named(_ name: String, _ files: any FileSystem) throws(HarnessError) -> ProgramSource {
        if (try? files.kind(of: name)) == .file {
            guard access(name, X_OK) == 0 else {
                throw HarnessError(.badInput, "\(name) is a file that cannot be run; name a program or a git revision")
            }
            do throws(StorageError) { return .program(try files.absolutePath(name)) } catch {
                throw HarnessError(error, while: "looking for \(name)")
            }
        }
        guard Subprocess.find("git", in: Subprocess.inheritedEnvironment["PATH"] ?? Subprocess.searchPath) != nil else {
            throw HarnessError(
                .unavailable,
                "'\(name)' is no program and no run directory; git, which would know a revision, is not installed")
        }
        guard !name.hasPrefix("-"), let commit = Checkout.resolve(name) else {
            throw HarnessError(
                .badInput, "'\(name)' is neither a run directory nor a program nor a git revision of this checkout")
        }
        return .revision(name: name, commit: commit)
    }

    /// What a name stands for; the program of this process for none.
    static func namedOrOwn(_ name: String?, _ files: any FileSystem) throws(HarnessError) -> ProgramSource {
        if let name { return try named(name, files) }
        let path = ProfileDirectory.programPath()
        guard !path.isEmpty else { throw HarnessError(.inputOutput, "cannot tell the path of this program") }
        return .program(path)
    }

    /// Whether there is no program yet.
    var needsBuilding: Bool {
        if case .revision = self { return true }
        return false
    }

    /// For messages and reports.
    public var text: String {
        switch self {
        case .program(let path): path
        case .revision(let name, let commit): "\(name) (\(commit.prefix(12)))"
        }
    }

    /// The path of the program, which is built first for a revision.
    ///
    /// - Parameter side: Name of the side in the work area.
    func make(_ side: String, in area: WorkArea, tell: (String) -> Void) throws(HarnessError) -> String {
        guard case .revision(let name, let commit) = self else {
            guard case .program(let path) = self else { return "" }
            return path
        }
        tell("building \(name) (\(commit.prefix(12))), which takes some minutes")
        let checkout = area.path + "/src-" + side
        let log = area.path + "/build-" + side + ".log"
        var git = Subprocess(program: "git", environment: Subprocess.inheritedEnvironment, errors: log)
        git.arguments = ["worktree", "add", "--detach", "--force", checkout, commit]
        try git.runOrFail("checking out \(name)", .badInput, area.files)
        defer {
            git.arguments = ["worktree", "remove", "--force", checkout]
            _ = try? git.run()
        }
        var build = Subprocess(program: "swift", environment: Subprocess.inheritedEnvironment)
        build.output = log
        build.errors = area.path + "/build-errors-" + side + ".log"
        build.arguments = [
            "build", "--package-path", checkout, "--configuration", "release", "--product", "mergeset-bench", "--quiet",
        ]
        try build.runOrFail("building \(name)", .badInput, area.files)
        let program = area.path + "/built-" + side
        let copy = Subprocess(
            program: "cp", arguments: [checkout + "/.build/release/mergeset-bench", program],
            errors: area.path + "/copy.log")
        try copy.runOrFail("taking the program of \(name)", .inputOutput, area.files)
        return program
    }
}
