// SymbolicLinkTests.swift - links: made, read, followed on the way, kept or lost by a crash.

import StorageFiles
import StorageRuntime
import Testing

@Suite struct SymbolicLinkTests {
    @Test(arguments: Form.allCases) func directoriesAreReadThroughLinks(form: Form) throws {
        try form.run { files, root in
            try files.makeDirectory(root + "/data/parts", parents: true)
            try files.put(root + "/data/parts/f", patterned(700))
            try files.makeDirectory(root + "/snapshots/one", parents: true)
            try files.symbolicLink(to: "../../data/parts", at: root + "/snapshots/one/small")
            try files.symbolicLink(to: root + "/data", at: root + "/absolute")

            #expect(try files.linkTarget(of: root + "/snapshots/one/small") == "../../data/parts")
            #expect(try files.kind(of: root + "/snapshots/one/small") == .other)
            #expect(
                try files.list(root + "/snapshots/one") == [DirectoryEntry(name: "small", kind: .other)])
            #expect(try files.list(root + "/snapshots/one/small") == [DirectoryEntry(name: "f", kind: .file)])
            #expect(try files.get(root + "/snapshots/one/small/f") == patterned(700))
            #expect(try files.get(root + "/absolute/parts/f") == patterned(700))
            #expect(try files.size(of: root + "/absolute/parts/f") == 700)
            #expect(try files.kind(of: root + "/absolute/parts") == .directory)

            // New names appear where the link points.
            try files.put(root + "/snapshots/one/small/g", [1])
            try files.makeDirectory(root + "/snapshots/one/small", parents: true)
            try files.makeDirectory(root + "/snapshots/one/small/deep/er", parents: true)
            try files.rename(root + "/absolute/parts/g", to: root + "/absolute/h")
            try files.sync(root + "/absolute")
            #expect(try files.names(root + "/data") == ["h", "parts"])
            #expect(try files.names(root + "/data/parts") == ["deep", "f"])
            #expect(failure { try files.makeDirectory(root + "/absolute", parents: false) } == .alreadyExists)
        }
    }

    @Test(arguments: Form.allCases) func linksThatLeadNowhere(form: Form) throws {
        try form.run { files, root in
            try files.symbolicLink(to: "missing", at: root + "/dangling")
            try files.symbolicLink(to: "round", at: root + "/round")
            #expect(failure { _ = try files.list(root + "/dangling") } == .notFound)
            #expect(failure { _ = try files.open(root + "/dangling") } == .notFound)
            #expect(failure { try files.makeDirectory(root + "/dangling", parents: true) } == .notFound)
            #expect(failure { _ = try files.create(root + "/dangling") } == .alreadyExists)
            #expect(try files.kind(of: root + "/dangling") == .other)
            #expect(try files.kind(of: root + "/dangling/deeper") == nil)
            #expect(failure { _ = try files.open(root + "/round") } == .io(errno: 40))
            #expect(failure { _ = try files.kind(of: root + "/round/deeper") } == .io(errno: 40))
            #expect(failure { try files.symbolicLink(to: "x", at: root + "/dangling") } == .alreadyExists)
            #expect(failure { try files.symbolicLink(to: "x", at: root + "/no/link") } == .notFound)
            #expect(failure { try files.symbolicLink(to: "", at: root + "/l") } == .invalidArgument)
            try files.put(root + "/f", [1])
            #expect(failure { _ = try files.linkTarget(of: root + "/f") } == .io(errno: 22))
            #expect(failure { _ = try files.linkTarget(of: root + "/no") } == .notFound)
        }
    }

    @Test(arguments: Form.allCases) func removingALinkLeavesWhatItPointsTo(form: Form) throws {
        try form.run { files, root in
            try files.makeDirectory(root + "/real", parents: false)
            try files.put(root + "/real/f", [1, 2])
            try files.makeDirectory(root + "/d", parents: false)
            try files.symbolicLink(to: "../real", at: root + "/d/link")
            try files.removeAll(root + "/d")
            #expect(try files.names(root) == ["real"])
            #expect(try files.get(root + "/real/f") == [1, 2])
            try files.symbolicLink(to: "real", at: root + "/one")
            try files.symbolicLink(to: "real", at: root + "/two")
            try files.removeFile(root + "/one")
            try files.removeAll(root + "/two")
            #expect(try files.names(root) == ["real"])
            // A hard-linked directory holds regular files only.
            try files.symbolicLink(to: "f", at: root + "/real/link")
            try files.hardLinkDirectory(root + "/real", to: root + "/copy")
            #expect(try files.names(root + "/copy") == ["f"])
        }
    }

    @Test func aLinkIsDurableWithItsDirectory() throws {
        let disk = SimulatedFileSystem()
        try disk.makeDirectory("/d", parents: false)
        try disk.symbolicLink(to: "x", at: "/d/early")
        try disk.sync("/d")
        try disk.symbolicLink(to: "y", at: "/d/late")
        let lost = disk.afterCrash(seed: 1, outcome: .nothingKept)
        #expect(try lost.names("/d") == ["early"])
        #expect(try lost.linkTarget(of: "/d/early") == "x")
        #expect(lost.contents(of: "/d") == ["early": Array("-> x".utf8)])
        let kept = disk.afterCrash(seed: 1, outcome: .everythingKept)
        #expect(try kept.names("/d") == ["early", "late"])
        #expect(try kept.linkTarget(of: "/d/late") == "y")
    }

    @Test func loadingKeepsLinks() throws {
        try withTemporaryDirectory { root in
            let real = RealFileSystem()
            try real.makeDirectory(root + "/a", parents: false)
            try real.put(root + "/a/f", [7])
            try real.symbolicLink(to: "a", at: root + "/b")
            let disk = SimulatedFileSystem()
            try disk.load(root, of: real, into: "/w")
            #expect(try disk.get("/w/b/f") == [7])
        }
    }
}
