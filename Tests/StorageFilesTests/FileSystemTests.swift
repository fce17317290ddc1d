// FileSystemTests.swift - what every file system has to do, checked on both.

import StorageBytes
import StorageFiles
import StorageRuntime
import Testing

@Suite struct FileSystemTests {
    @Test(arguments: Form.allCases) func directoriesAreMadeAndListed(form: Form) throws {
        try form.run { files, root in
            try files.makeDirectory(root + "/b", parents: false)
            try files.makeDirectory(root + "/a/x/y", parents: true)
            try files.makeDirectory(root + "/a/x/y/", parents: true)
            try files.put(root + "/B", [1])
            try files.put(root + "/a0", [])
            #expect(
                try files.list(root) == [
                    DirectoryEntry(name: "B", kind: .file), DirectoryEntry(name: "a", kind: .directory),
                    DirectoryEntry(name: "a0", kind: .file), DirectoryEntry(name: "b", kind: .directory),
                ])
            #expect(try files.names(root + "/a") == ["x"])
            #expect(failure { try files.makeDirectory(root + "/b", parents: false) } == .alreadyExists)
            #expect(failure { try files.makeDirectory(root + "/B", parents: true) } == .alreadyExists)
            #expect(failure { try files.makeDirectory(root + "/no/b", parents: false) } == .notFound)
            #expect(failure { _ = try files.list(root + "/no") } == .notFound)
            #expect(failure { _ = try files.list(root + "/B") } == .io(errno: 20))
        }
    }

    @Test(arguments: Form.allCases) func kindsAndSizes(form: Form) throws {
        try form.run { files, root in
            try files.put(root + "/f", patterned(1234))
            #expect(try files.kind(of: root) == .directory)
            #expect(try files.kind(of: root + "/f") == .file)
            #expect(try files.kind(of: root + "/no") == nil)
            #expect(try files.kind(of: root + "/no/deeper") == nil)
            #expect(try files.kind(of: root + "/f/below-a-file") == nil)
            #expect(try files.size(of: root + "/f") == 1234)
            #expect(failure { _ = try files.size(of: root + "/no") } == .notFound)
            #expect(failure { _ = try files.size(of: root) } == .io(errno: 21))
        }
    }

    @Test(arguments: Form.allCases) func filesAreWrittenAndReadAtAnyPlace(form: Form) throws {
        try form.run { files, root in
            let bytes = patterned(100_000)
            let file = try files.create(root + "/f")
            #expect(file.path == root + "/f")
            try file.write(Array(bytes[..<3]))
            try file.write([])
            try file.write(Array(bytes[3...]))
            try file.sync()
            try file.close()
            try file.close()
            #expect(failure { try file.write([1]) } == .closed)
            #expect(failure { try file.sync() } == .closed)
            #expect(failure { _ = try files.create(root + "/f") } == .alreadyExists)
            #expect(failure { _ = try files.create(root + "/no/f") } == .notFound)

            let reader = try files.open(root + "/f")
            #expect(reader.sizeBytes == 100_000)
            #expect(try reader.bytes(at: 0, 100_000) == bytes)
            #expect(try reader.bytes(at: 77_777, 3) == Array(bytes[77_777..<77_780]))
            #expect(try reader.bytes(at: 100_000, 0) == [])
            #expect(failure { _ = try files.open(root + "/no") } == .notFound)
            #expect(failure { _ = try files.open(root) } == .io(errno: 21))
        }
    }

    @Test(arguments: Form.allCases) func rangesPastTheEndAreCorruption(form: Form) throws {
        try form.run { files, root in
            try files.put(root + "/f", [1, 2, 3])
            let reader = try files.open(root + "/f")
            for (offset, count) in [(0, 4), (3, 1), (4, 0), (-1, 1), (Int.max, 1), (2, 2)] {
                let error = thrown { _ = try reader.bytes(at: offset, count) }
                #expect(error?.kind == .corrupted)
                #expect(error?.offset == offset)
                #expect(error?.path == root + "/f")
            }
            // A wild length from a damaged file: refused before any memory is touched.
            let huge = UnsafeMutableRawBufferPointer(start: UnsafeMutableRawPointer(bitPattern: 4096), count: 1 << 60)
            #expect(failure { try reader.read(at: 0, into: huge) } == .corrupted)
        }
    }

    @Test(arguments: Form.allCases) func removedFilesStayReadableWhereTheyAreOpen(form: Form) throws {
        try form.run { files, root in
            try files.put(root + "/f", [1, 2, 3])
            let reader = try files.open(root + "/f")
            try files.removeFile(root + "/f")
            #expect(try files.kind(of: root + "/f") == nil)
            #expect(try reader.bytes(at: 1, 2) == [2, 3])
            #expect(failure { try files.removeFile(root + "/f") } == .notFound)
            #expect(failure { try files.removeFile(root) } == .io(errno: 21))
        }
    }

    @Test(arguments: Form.allCases) func removeAllTakesTreesFilesAndNothing(form: Form) throws {
        try form.run { files, root in
            try files.makeDirectory(root + "/t/a/b", parents: true)
            try files.makeDirectory(root + "/t/c", parents: false)
            for name in ["1", "a/2", "a/b/3", "a/b/4"] { try files.put(root + "/t/" + name, [1]) }
            try files.put(root + "/f", [1])
            try files.removeAll(root + "/t")
            try files.removeAll(root + "/f")
            try files.removeAll(root + "/t")
            try files.removeAll(root + "/no/parent")
            #expect(try files.list(root) == [])
            #expect(failure { try files.removeAll("/") } == .invalidArgument)
            #expect(failure { try files.removeAll("") } == .invalidArgument)
        }
    }

    @Test(arguments: Form.allCases) func renamesReplaceFiles(form: Form) throws {
        try form.run { files, root in
            try files.put(root + "/a", [1])
            try files.put(root + "/b", [2])
            try files.rename(root + "/a", to: root + "/b")
            #expect(try files.names(root) == ["b"])
            #expect(try files.get(root + "/b") == [1])
            try files.makeDirectory(root + "/d", parents: false)
            try files.makeDirectory(root + "/e", parents: false)
            try files.put(root + "/d/x", [3])
            try files.rename(root + "/d", to: root + "/e")  // an empty directory is replaced
            #expect(try files.names(root + "/e") == ["x"])
            try files.rename(root + "/e", to: root + "/e")
            try files.makeDirectory(root + "/g", parents: false)
            #expect(failure { try files.rename(root + "/g", to: root + "/e") } == .io(errno: 39))
            #expect(failure { try files.rename(root + "/b", to: root + "/e") } == .io(errno: 21))
            #expect(failure { try files.rename(root + "/e", to: root + "/b") } == .io(errno: 20))
            #expect(failure { try files.rename(root + "/e", to: root + "/e/sub") } == .io(errno: 22))
            #expect(failure { try files.rename(root + "/no", to: root + "/z") } == .notFound)
            #expect(failure { try files.rename(root + "/b", to: root + "/no/z") } == .notFound)
        }
    }

    @Test(arguments: Form.allCases) func hardLinksShareBytes(form: Form) throws {
        try form.run { files, root in
            try files.put(root + "/a", [1, 2])
            try files.hardLink(root + "/a", to: root + "/b")
            try files.removeFile(root + "/a")
            #expect(try files.get(root + "/b") == [1, 2])
            #expect(failure { try files.hardLink(root + "/a", to: root + "/c") } == .notFound)
            #expect(failure { try files.hardLink(root + "/b", to: root + "/b") } == .alreadyExists)
            #expect(failure { try files.hardLink(root, to: root + "/d") } == .io(errno: 1))
        }
    }

    @Test(arguments: Form.allCases) func aDirectoryIsLinkedWithoutItsDirectories(form: Form) throws {
        try form.run { files, root in
            try files.makeDirectory(root + "/part/sub", parents: true)
            try files.put(root + "/part/items.bin", [1])
            try files.put(root + "/part/lens.bin", [2])
            try files.hardLinkDirectory(root + "/part", to: root + "/copy")
            #expect(try files.names(root + "/copy") == ["items.bin", "lens.bin"])
            #expect(try files.get(root + "/copy/lens.bin") == [2])
            #expect(failure { try files.hardLinkDirectory(root + "/part", to: root + "/copy") } == .alreadyExists)
        }
    }

    @Test(arguments: Form.allCases) func locksExcludeASecondOpen(form: Form) throws {
        try form.run { files, root in
            try files.put(root + "/flock.lock", [1, 2, 3])
            let lock = try files.lock(root + "/flock.lock")
            #expect(try files.size(of: root + "/flock.lock") == 0)
            let error = try #require(thrown { _ = try files.lock(root + "/flock.lock") })
            #expect(error.kind == .locked)
            #expect(error.message.hasPrefix("locked by another process or another open of this directory"))
            lock.release()
            lock.release()
            do {
                let second = try files.lock(root + "/flock.lock")
                #expect(failure { _ = try files.lock(root + "/flock.lock") } == .locked)
                lock.release()  // the old value has no power over the new lock
                #expect(failure { _ = try files.lock(root + "/flock.lock") } == .locked)
                _ = second
            }
            _ = try files.lock(root + "/flock.lock")
            #expect(try files.kind(of: root + "/flock.lock") == .file)
        }
    }

    @Test(arguments: Form.allCases) func syncsAndFreeSpace(form: Form) throws {
        try form.run { files, root in
            try files.put(root + "/f", [1])
            try files.sync(root + "/f")
            try files.sync(root)
            #expect(try files.freeSpaceBytes(root) > 0)
            #expect(failure { try files.sync(root + "/no") } == .notFound)
            #expect(failure { _ = try files.freeSpaceBytes(root + "/no") } == .notFound)
        }
    }

    @Test(arguments: Form.allCases) func errorsNameTheCallAndThePath(form: Form) throws {
        try form.run { files, root in
            let error = try #require(thrown { _ = try files.open(root + "/no") })
            #expect(error.path == root + "/no")
            #expect(error.message.hasPrefix("open: "))
            #expect(failure { _ = try files.open("") } == .invalidArgument)
            #expect(failure { _ = try files.open("a\0b") } == .invalidArgument)
        }
    }

    @Test(arguments: Form.allCases) func callsAndBytesAreCounted(form: Form) throws {
        try form.run { files, root in
            let before = files.counters
            try files.put(root + "/f", patterned(10), sync: true)
            try files.sync(root)
            let reader = try files.open(root + "/f")
            _ = try reader.bytes(at: 0, 4)
            _ = try reader.bytes(at: 5, 5)
            let after = files.counters
            #expect(after.writeCalls - before.writeCalls == 1)
            #expect(after.writtenBytes - before.writtenBytes == 10)
            #expect(after.readCalls - before.readCalls == 2)
            #expect(after.readBytes - before.readBytes == 9)
            #expect(after.syncCalls - before.syncCalls == 2)
            #expect(after.filesCreated - before.filesCreated == 1)
            #expect(after.filesOpened - before.filesOpened == 1)
            #expect(after.writersClosed - before.writersClosed == 1)
            #expect(after.readersClosed == before.readersClosed)
            _ = consume reader
            #expect(files.counters.readersClosed - before.readersClosed == 1)
        }
    }

    @Test(arguments: Form.allCases) func atomicFilesAreNewOrReplaced(form: Form) throws {
        try form.run { files, root in
            try files.writeAtomically([1, 2], to: root + "/f")
            #expect(failure { try files.writeAtomically([3], to: root + "/f") } == .alreadyExists)
            #expect(try files.get(root + "/f") == [1, 2])
            try files.put(root + "/f.tmp.2", patterned(50))  // left by an earlier process
            try files.replaceAtomically([3], at: root + "/f")
            #expect(try files.get(root + "/f") == [3])
            #expect(try files.names(root) == ["f"])
            #expect(failure { try files.writeAtomically([1], to: root + "/no/f") } == .notFound)
        }
    }

    @Test(arguments: Form.allCases) func readAllRefusesTooMuch(form: Form) throws {
        try form.run { files, root in
            try files.put(root + "/f", [1, 2, 3])
            try files.put(root + "/empty", [])
            #expect(try files.get(root + "/f") == [1, 2, 3])
            #expect(try files.get(root + "/empty") == [])
            #expect(failure { _ = try files.readAll(root + "/f", limitBytes: 2) } == .limitExceeded)
            let exact = try files.readAll(root + "/f", limitBytes: 3)
            #expect(exact.count == 3)
        }
    }

    @Test(arguments: Form.allCases) func theWriterBuffersAndPassesLargePieces(form: Form) throws {
        try form.run { files, root in
            var random = SplitMix64(seed: 7)
            let bytes = patterned(20_000)
            let writer = FileWriter(try files.create(root + "/f"), bufferBytes: 256)
            var at = 0
            while at < bytes.count {
                let count = min(random.below(random.below(20) == 0 ? 2000 : 60), bytes.count - at)
                #expect(writer.offset == at)
                try bytes[at..<(at + count)].withUnsafeBytes { try writer.append($0) }
                at += count
            }
            #expect(writer.offset == bytes.count)
            let calls = files.counters
            try writer.close()
            #expect(files.counters.syncCalls == calls.syncCalls + 1)
            #expect(files.counters.writeCalls < 150)
            #expect(try files.get(root + "/f") == bytes)
        }
    }

    @Test(arguments: Form.allCases) func pathsMayBeRelative(form: Form) throws {
        try form.run { files, root in
            let here = try files.currentDirectory()
            #expect(here.hasPrefix("/"))
            #expect(try files.absolutePath("a/./b/../c") == (here == "/" ? "/a/c" : here + "/a/c"))
            try files.put(root + "/f", [1])
            try files.makeDirectory(root + "/x", parents: false)
            #expect(try files.get(root + "//./x/../f") == [1])
        }
    }
}
