// SimulatedFileSystemTests.swift - what a crash takes and leaves, and the faults on demand.

import StorageBytes
import StorageFiles
import StorageRuntime
import Testing

@Suite struct SimulatedFileSystemTests {
    private func disk(_ faults: FaultPlan = FaultPlan()) throws -> SimulatedFileSystem {
        let disk = SimulatedFileSystem()
        try disk.makeDirectory("/d", parents: false)
        disk.faults = faults
        return disk
    }

    // MARK: Bytes

    @Test func whatWasSyncedSurvivesEverySeed() throws {
        for seed in UInt64(0)..<50 {
            let disk = try disk()
            let bytes = patterned(3000, seed)
            let file = try disk.create("/d/f")
            try file.write(Array(bytes[..<1000]))
            try file.sync()
            try disk.sync("/d")
            try file.write(Array(bytes[1000...]))
            let after = disk.afterCrash(seed: seed)
            let left = try after.get("/d/f")
            #expect(left.count >= 1000, "seed \(seed)")
            #expect(left.prefix(1000) == bytes.prefix(1000), "seed \(seed)")
        }
    }

    @Test func unsyncedBytesAreLostKeptOrTorn() throws {
        let disk = try disk()
        let bytes = patterned(5000)
        let file = try disk.create("/d/f")
        try disk.sync("/d")
        try file.write(Array(bytes[..<700]))
        try file.sync()
        try file.write(Array(bytes[700...]))
        var seen: Set<String> = []
        for seed in UInt64(0)..<200 {
            let left = try disk.afterCrash(seed: seed).get("/d/f")
            #expect(left.prefix(700) == bytes.prefix(700))
            if left.count == 700 { seen.insert("lost") }
            if left == bytes { seen.insert("kept") }
            if left.count > 700 && left != bytes {
                seen.insert(left == Array(bytes.prefix(left.count)) ? "cut" : "spoiled")
                if left.contains(0) { seen.insert("zeros") }  // the bytes written are never zero
            }
        }
        #expect(seen == ["lost", "kept", "cut", "spoiled", "zeros"])
        #expect(try disk.afterCrash(seed: 1, outcome: .nothingKept).get("/d/f") == Array(bytes[..<700]))
        #expect(try disk.afterCrash(seed: 1, outcome: .everythingKept).get("/d/f") == bytes)
    }

    @Test func oneSeedGivesOneOutcome() throws {
        let disk = try disk()
        for index in 0..<20 { try disk.put("/d/\(index)", patterned(2000, UInt64(index))) }
        for seed in UInt64(0)..<20 {
            let first = disk.afterCrash(seed: seed).contents()
            #expect(disk.snapshot().afterCrash(seed: seed).contents() == first)
        }
        #expect(disk.afterCrash(seed: 1).contents() != disk.afterCrash(seed: 2).contents())
    }

    @Test func syncedBytesWithoutASyncedNameAreLost() throws {
        let disk = try disk()
        try disk.put("/d/f", [1], sync: true)
        #expect(disk.afterCrash(seed: 0, outcome: .nothingKept).contents() == [:])
        #expect(try disk.afterCrash(seed: 0, outcome: .nothingKept).kind(of: "/d") == .directory)
    }

    @Test func afterAFailedSyncTheBytesAreNeverSafe() throws {
        let disk = try disk(FaultPlan(rules: [.on(.syncFile, times: 1)]))
        let file = try disk.create("/d/f")
        try file.write([1, 2, 3])
        #expect(failure { try file.sync() } == .io(errno: 5))
        try file.sync()  // succeeds, and means nothing
        try disk.sync("/d")
        #expect(try disk.afterCrash(seed: 0, outcome: .nothingKept).get("/d/f") == [])
    }

    // MARK: Names

    @Test func namesAreDurableAfterTheSyncOfTheirDirectory() throws {
        let disk = try disk()
        try disk.put("/d/a", [1], sync: true)
        try disk.put("/d/b", [2], sync: true)
        try disk.sync("/d")
        try disk.rename("/d/a", to: "/d/c")
        try disk.removeFile("/d/b")
        try disk.hardLink("/d/c", to: "/d/e")
        #expect(disk.contents(of: "/d") == ["c": [1], "e": [1]])
        #expect(disk.snapshot().afterCrash(seed: 0, outcome: .nothingKept).contents(of: "/d") == ["a": [1], "b": [2]])
        try disk.sync("/d")
        #expect(disk.afterCrash(seed: 0, outcome: .nothingKept).contents(of: "/d") == ["c": [1], "e": [1]])
    }

    @Test func makeDirectoryAndRemoveAllSyncTheParent() throws {
        let disk = SimulatedFileSystem()
        try disk.makeDirectory("/a", parents: false)
        try disk.makeDirectory("/a/x/y", parents: true)
        #expect(try disk.snapshot().afterCrash(seed: 0, outcome: .nothingKept).list("/a") == [])  // x was not synced
        try disk.sync("/a")
        #expect(try disk.snapshot().afterCrash(seed: 0, outcome: .nothingKept).kind(of: "/a/x/y") == .directory)
        try disk.put("/a/x/f", [1])
        try disk.removeAll("/a/x")
        #expect(try disk.afterCrash(seed: 0, outcome: .nothingKept).list("/a") == [])
    }

    @Test func aRenameInADirectoryHappensOrNot() throws {
        for seed in UInt64(0)..<100 {
            let disk = try disk()
            try disk.put("/d/a", [1], sync: true)
            try disk.put("/d/b", [2], sync: true)
            try disk.sync("/d")
            try disk.rename("/d/a", to: "/d/b")
            try disk.rename("/d/b", to: "/d/c")
            let left = disk.afterCrash(seed: seed).contents(of: "/d")
            #expect([["a": [1], "b": [2]], ["b": [1]], ["c": [1]]].contains(left), "seed \(seed)")
        }
    }

    @Test func aRenameBetweenDirectoriesHappensOrNot() throws {
        var seen: Set<[String]> = []
        for seed in UInt64(0)..<200 {
            let disk = SimulatedFileSystem()
            for name in ["/p", "/q", "/r"] { try disk.makeDirectory(name, parents: false) }
            try disk.put("/p/new", [1], sync: true)
            if seed % 2 == 0 { try disk.sync("/p") }
            try disk.rename("/p/new", to: "/q/x")
            try disk.rename("/q/x", to: "/r/y")
            if seed % 4 >= 2 { try disk.sync(seed % 8 >= 4 ? "/q" : "/r") }
            let left = disk.afterCrash(seed: seed).contents().keys.sorted()
            #expect(left.count <= 1, "seed \(seed): \(left)")
            if seed % 4 >= 2 { #expect(left == ["r/y"], "seed \(seed)") }
            if seed % 2 == 0 { #expect(left.count == 1, "seed \(seed)") }
            seen.insert(left)
        }
        #expect(seen == [[], ["p/new"], ["q/x"], ["r/y"]])
    }

    @Test func changesOfADirectoryAreKeptInOrderOrAsASubset() throws {
        let disk = try disk()
        for index in 0..<6 { try disk.put("/d/\(index)", [], sync: true) }
        var prefixes: Set<Int> = []
        var others = 0
        for seed in UInt64(0)..<300 {
            let left = try disk.afterCrash(seed: seed).names("/d")
            if left == (0..<left.count).map(String.init) { prefixes.insert(left.count) } else { others += 1 }
        }
        #expect(prefixes == Set(0...6))
        #expect(others > 50)
    }

    @Test func whatSurvivedIsAtRest() throws {
        let disk = try disk()
        try disk.put("/d/f", patterned(2000))
        _ = try disk.lock("/d/lock")
        let lock = try disk.lock("/d/lock2")
        for seed in UInt64(0)..<20 {
            let after = disk.afterCrash(seed: seed)
            #expect(after.snapshot().afterCrash(seed: 99, outcome: .nothingKept).contents() == after.contents())
            _ = try after.lock("/d/lock2")  // locks die with the machine
            #expect(after.usedSpaceBytes == after.contents().values.map(\.count).reduce(0, +))
        }
        lock.release()
    }

    @Test func removedTreesDoNotComeBackInPieces() throws {
        let disk = try disk()
        for round in 0..<5 {
            try disk.makeDirectory("/d/t/u", parents: true)
            try disk.put("/d/t/u/f\(round)", [1])
            try disk.put("/d/t/g", [1])
            try disk.removeAll("/d/t")
        }
        for seed in UInt64(0)..<20 { #expect(disk.afterCrash(seed: seed).contents() == [:]) }
    }

    // MARK: Crashes and errors on demand

    @Test func atomicWritesAreAllOrNothingAtEveryCrashPoint() throws {
        for seed in UInt64(0)..<8 {
            var wasFinished = false
            for crashAt in 1... {
                let disk = try disk()
                try disk.writeAtomically([9, 9], to: "/d/old")
                let bytes = patterned(1500, seed)
                disk.faults.crashAtOperation = disk.operationCount + crashAt
                let hasNew = failure { try disk.writeAtomically(bytes, to: "/d/new") } == nil
                let hasReplaced = failure { try disk.replaceAtomically(bytes, at: "/d/old") } == nil
                wasFinished = !disk.hasCrashed
                let left = disk.afterCrash(seed: seed).contents(of: "/d")
                #expect(left["new"] == nil && !hasNew || left["new"] == bytes, "crash at \(crashAt), seed \(seed)")
                #expect(
                    left["old"] == [9, 9] && !hasReplaced || left["old"] == bytes, "crash at \(crashAt), seed \(seed)")
                if wasFinished { break }
            }
            #expect(wasFinished)
        }
    }

    @Test func afterACrashNothingAnswers() throws {
        let disk = try disk()
        let file = try disk.create("/d/f")
        try file.write([1])
        let reader = try disk.open("/d/f")
        disk.faults = FaultPlan(crashAtOperation: disk.operationCount + 1)
        #expect(failure { try disk.sync("/d") } == .crashed)
        #expect(disk.hasCrashed)
        #expect(failure { try file.write([1]) } == .crashed)
        #expect(failure { try file.sync() } == .crashed)
        #expect(failure { _ = try reader.bytes(at: 0, 1) } == .crashed)
        #expect(failure { _ = try disk.kind(of: "/d") } == .crashed)
        #expect(failure { _ = try disk.list("/no") } == .crashed)
        #expect(failure { try disk.removeAll("/no/no") } == .crashed)
        #expect(failure { try disk.makeDirectory("/d", parents: false) } == .crashed)
        #expect(failure { try file.close() } == .crashed)
    }

    @Test func aFullDiskTakesAPartAndGivesBackWhatIsRemoved() throws {
        let disk = try disk(FaultPlan(capacityBytes: 100))
        try disk.put("/d/a", patterned(60))
        #expect(try disk.freeSpaceBytes("/d") == 40)
        let file = try disk.create("/d/b")
        #expect(failure { try file.write(patterned(50)) } == .noSpace)
        #expect(try disk.size(of: "/d/b") == 40)
        #expect(try disk.freeSpaceBytes("/") == 0)
        let reader = try disk.open("/d/a")
        try disk.hardLink("/d/a", to: "/d/a2")
        try disk.removeFile("/d/a")
        #expect(try disk.freeSpaceBytes("/d") == 0)
        try disk.removeFile("/d/a2")
        #expect(try disk.freeSpaceBytes("/d") == 0)  // still open
        #expect(try reader.bytes(at: 0, 60) == patterned(60))
        disk.faults.freeSpaceBytes = 7
        #expect(try disk.freeSpaceBytes("/d") == 7)
    }

    @Test func spaceOfAClosedFileIsFree() throws {
        let disk = try disk(FaultPlan(capacityBytes: 100))
        do {
            let file = try disk.create("/d/a")
            try file.write(patterned(100))
            try disk.removeAll("/d/a")
            #expect(disk.usedSpaceBytes == 100)
            _ = file
        }
        #expect(disk.usedSpaceBytes == 0)
        #expect(failure { try disk.writeAtomically(patterned(101), to: "/d/f") } == .noSpace)
        #expect(disk.contents() == [:])  // the temporary file was removed
        try disk.writeAtomically(patterned(100), to: "/d/f")
    }

    @Test func rulesFailWhatTheyName() throws {
        let disk = try disk(
            FaultPlan(rules: [
                .on(.write, pathContaining: "items", skip: 1, times: 2), .on(.rename, pathContaining: "/d/final"),
                .on(.read, .open, error: .notFound, times: 1),
            ]))
        let file = try disk.create("/d/items.bin")
        try file.write([1, 2, 3, 4])
        #expect(failure { try file.write([5, 6, 7, 8]) } == .io(errno: 5))
        #expect(failure { try file.write([]) } == .io(errno: 5))
        try file.write([9])
        for _ in 0..<3 { #expect(failure { try disk.rename("/d/items.bin", to: "/d/final") } == .io(errno: 5)) }
        #expect(failure { _ = try disk.open("/d/items.bin") } == .notFound)
        #expect(try disk.get("/d/items.bin") == [1, 2, 3, 4, 5, 6, 9])  // half of the failed write is there
        disk.faults = FaultPlan(rules: [.at(disk.operationCount + 2, error: .noSpace)])
        try disk.sync("/d")
        #expect(failure { try disk.sync("/d") } == .noSpace)
        try disk.sync("/d")
    }

    @Test func aWriterNeverClosesAFileWithAHole() throws {
        let disk = try disk(FaultPlan(rules: [.on(.write, times: 1)]))
        let writer = FileWriter(try disk.create("/d/f"), bufferBytes: 16)
        let bytes = patterned(10)
        try bytes.withUnsafeBytes { try writer.append($0) }
        #expect(throws: StorageError.self) { try bytes.withUnsafeBytes { try writer.append($0) } }
        #expect(failure { try writer.flush() } == .io(errno: 5))
        #expect(failure { try writer.close() } == .io(errno: 5))
    }

    @Test func theRecordShowsTheStepsInOrder() throws {
        let disk = SimulatedFileSystem()
        try disk.makeDirectory("/d", parents: false)
        try disk.writeAtomically([1, 2], to: "/d/f")
        let writer = FileWriter(try disk.create("d//x"))
        try [UInt8](repeating: 1, count: 5).withUnsafeBytes { try writer.append($0) }
        try writer.close()
        try disk.makeDirectory("/d/t", parents: false)
        try disk.rename("/d/x", to: "/d/t/x")
        try disk.removeAll("/d/t")
        #expect(
            disk.record.map(\.description) == [
                "makeDirectory /d", "syncDirectory /", "create /d/f.tmp.1", "write /d/f.tmp.1 2 B",
                "syncFile /d/f.tmp.1", "close /d/f.tmp.1", "rename /d/f.tmp.1 -> /d/f", "syncDirectory /d",
                "create /d/x", "write /d/x 5 B", "syncFile /d/x", "close /d/x", "makeDirectory /d/t",
                "syncDirectory /d", "rename /d/x -> /d/t/x", "removeFile /d/t/x", "removeDirectory /d/t",
                "syncDirectory /d",
            ])
        #expect(disk.record.map(\.number) == Array(1...18))
        #expect(disk.operationCount == 18)
    }

    // MARK: Copies

    @Test func snapshotsShareNothing() throws {
        let disk = try disk()
        try disk.put("/d/f", [1])
        let copy = disk.snapshot()
        try disk.put("/d/g", [2])
        try copy.removeAll("/d/f")
        #expect(disk.contents() == ["d/f": [1], "d/g": [2]])
        #expect(copy.contents() == [:])
    }

    @Test func aRealDirectoryIsLoaded() throws {
        try withTemporaryDirectory { root in
            let real = RealFileSystem()
            try real.makeDirectory(root + "/part/empty", parents: true)
            try real.put(root + "/part/items.bin", patterned(3000))
            try real.put(root + "/flock.lock", [])
            let disk = SimulatedFileSystem(faults: FaultPlan(crashAtOperation: 1))
            try disk.load(root, of: real, into: "/copies/one")
            #expect(disk.operationCount == 0)
            #expect(disk.contents(of: "/copies/one") == ["part/items.bin": patterned(3000), "flock.lock": []])
            #expect(try disk.kind(of: "/copies/one/part/empty") == .directory)
            #expect(disk.usedSpaceBytes == 3000)
            let expected = disk.contents()
            #expect(failure { try disk.load(root, of: real, into: "/copies/one") } == .alreadyExists)
            #expect(disk.afterCrash(seed: 3, outcome: .nothingKept).contents() == expected)
        }
    }

    @Test func threadsMayShareADisk() throws {
        let disk = try disk()
        let failed = Protected(0)
        let threads = (0..<4).map { worker in
            StorageRuntime.Thread.start("disk") {
                do throws(StorageError) {
                    for index in 0..<50 {
                        let path = "/d/\(worker)-\(index)"
                        try disk.writeAtomically([UInt8(index)], to: path)
                        if try disk.get(path) != [UInt8(index)] { failed.withLock { $0 += 1 } }
                        if index % 2 == 0 { try disk.removeAll(path) }
                    }
                } catch {
                    failed.withLock { $0 += 1 }
                }
            }
        }
        for thread in threads { thread.join() }
        #expect(failed.withLock { $0 } == 0)
        #expect(disk.afterCrash(seed: 5, outcome: .nothingKept).contents().count == 100)
    }
}
