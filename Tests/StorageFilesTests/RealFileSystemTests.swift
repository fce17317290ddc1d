// RealFileSystemTests.swift - what only the operating system's files have: links, descriptors, other processes.

import Foundation
import StorageFiles
import StorageRuntime
import Testing

@Suite struct RealFileSystemTests {
    @Test func linksAreListedRemovedAndNotFollowed() throws {
        try withTemporaryDirectory { root in
            let files = RealFileSystem()
            try files.makeDirectory(root + "/target", parents: false)
            try files.put(root + "/target/keep", [1])
            try files.makeDirectory(root + "/tree/deep", parents: true)
            for link in [root + "/tree/link", root + "/tree/deep/link", root + "/alone"] {
                try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: root + "/target")
            }
            #expect(try files.kind(of: root + "/alone") == .other)
            #expect(try files.list(root + "/tree").map(\.kind) == [.directory, .other])
            try files.hardLinkDirectory(root + "/tree", to: root + "/copy")
            #expect(try files.names(root + "/copy") == [])
            try files.removeAll(root + "/tree")
            try files.removeAll(root + "/alone")
            #expect(try files.names(root) == ["copy", "target"])
            #expect(try files.get(root + "/target/keep") == [1])
            // A table directory may be a link to another disk.
            try FileManager.default.createSymbolicLink(atPath: root + "/mount", withDestinationPath: root + "/target")
            try files.makeDirectory(root + "/mount", parents: true)
            try files.makeDirectory(root + "/mount/a/b", parents: true)
            #expect(try files.names(root + "/target") == ["a", "keep"])
        }
    }

    @Test func namesThatAreNoTextAreRemoved() throws {
        try withTemporaryDirectory { root in
            let files = RealFileSystem()
            try files.makeDirectory(root + "/t", parents: false)
            let bytes: [CChar] = (root + "/t/").utf8.map { CChar(bitPattern: $0) } + [-1, -2, 0]
            #expect(mkdir(bytes, 0o755) == 0)
            #expect(try files.list(root + "/t").count == 1)
            try files.removeAll(root + "/t")
            #expect(try files.names(root) == [])
        }
    }

    @Test func aPipeIsNotAFile() throws {
        try withTemporaryDirectory { root in
            let files = RealFileSystem()
            #expect(mkfifo(root + "/pipe", 0o600) == 0)
            #expect(failure { _ = try files.open(root + "/pipe") } == .invalidArgument)
            #expect(failure { _ = try files.size(of: root + "/pipe") } == .invalidArgument)
            let kind = try files.kind(of: root + "/pipe")
            #expect(kind == .other)
        }
    }

    @Test func aFileCutAfterOpeningIsCorrupted() throws {
        try withTemporaryDirectory { root in
            let files = RealFileSystem()
            try files.put(root + "/f", patterned(100))
            let reader = try files.open(root + "/f")
            #expect(truncate(root + "/f", 40) == 0)
            let error = thrown { _ = try reader.bytes(at: 10, 50) }
            #expect(error?.kind == .corrupted)
            #expect(error?.offset == 10)
            #expect(error?.message == "the file ends after 30 of 50 bytes")
        }
    }

    @Test func descriptorsAreClosed() throws {
        try withTemporaryDirectory { root in
            // Other tests open files at the same time, so only those below our directory count.
            func openCount() throws -> Int {
                try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").filter {
                    (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/" + $0))?
                        .contains(root) ?? false
                }.count
            }
            let files = RealFileSystem()
            try files.makeDirectory(root + "/a/b", parents: true)
            do {
                let abandoned = try files.create(root + "/a/b/f")
                try abandoned.write([1])
                let reader = try files.open(root + "/a/b/f")
                let lock = try files.lock(root + "/l")
                #expect(try openCount() == 3)
                #expect(failure { _ = try files.lock(root + "/l") } == .locked)
                _ = try files.list(root + "/a")
                #expect(failure { _ = try files.open(root + "/a") } == .io(errno: EISDIR))
                #expect(try openCount() == 3)
                _ = (abandoned, reader, lock)
            }
            try files.removeAll(root + "/a")
            #expect(try openCount() == 0)
        }
    }

    @Test func theMessageOfALockNamesItsOwner() throws {
        try withTemporaryDirectory { root in
            let first = RealFileSystem()
            let lock = try first.lock(root + "/flock.lock")
            let error = try #require(thrown { _ = try RealFileSystem().lock(root + "/flock.lock") })
            #expect(error.path == root + "/flock.lock")
            // Some kernels hide the device in /proc/locks; then the sentence ends without the number.
            let sentence = "locked by another process or another open of this directory"
            #expect([sentence, sentence + " (process \(getpid()))"].contains(error.message))
            lock.release()
        }
    }

    @Test func manyThreadsReadOneFile() throws {
        try withTemporaryDirectory { root in
            let files = RealFileSystem()
            let bytes = patterned(1 << 16)
            try files.put(root + "/f", bytes)
            let reader = try files.open(root + "/f")
            let wrong = Protected(0)
            let threads = (0..<4).map { index in
                Thread.start("reader") {
                    var random = SplitMix64(seed: UInt64(index))
                    for _ in 0..<200 {
                        let offset = random.below(bytes.count)
                        let count = random.below(bytes.count - offset + 1)
                        let got = try? reader.bytes(at: offset, count)
                        if got != Array(bytes[offset..<(offset + count)]) { wrong.withLock { $0 += 1 } }
                    }
                }
            }
            for thread in threads { thread.join() }
            #expect(wrong.withLock { $0 } == 0)
            #expect(files.counters.readCalls == 800)
        }
    }
}

private typealias Thread = StorageRuntime.Thread
