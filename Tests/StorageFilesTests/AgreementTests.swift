// AgreementTests.swift - random operations on both file systems at once, and random histories ended by a crash.
//
// The simulation stands in for the machine in every crash test of the rooms above, so it has to answer as the machine
// does: same results, same kinds of errors, same trees.

import StorageFiles
import StorageRuntime
import Testing

@Suite struct AgreementTests {
    /// A random path among a few, so that collisions are frequent.
    private func path(_ random: inout SplitMix64) -> String {
        (0..<(1 + random.below(3))).map { _ in "/" + ["a", "b", "c"][random.below(3)] }.joined()
    }

    /// One random operation below `root`; its outcome as text.
    private func step(_ files: any FileSystem, _ root: String, _ random: SplitMix64) -> String {
        var random = random
        let operation = random.below(14)
        let first = root + path(&random)
        let second = root + path(&random)
        let bytes = patterned(random.below(50), random.next())
        do throws(StorageError) {
            switch operation {
            case 0: try files.makeDirectory(first, parents: random.below(2) == 0)
            case 1, 2: try files.put(first, bytes, sync: random.below(2) == 0)
            case 3: try files.rename(first, to: second)
            case 4: try files.hardLink(first, to: second)
            case 5: try files.removeFile(first)
            case 6: try files.removeAll(first)
            case 7: try files.writeAtomically(bytes, to: first)
            case 8: try files.sync(first)
            case 9: return "\(operation): \(try files.list(first))"
            case 10:
                // Relative to the link or absolute, of a name that is there or not, of itself.
                let target = random.below(3) == 0 ? second : String(path(&random).dropFirst())
                try files.symbolicLink(to: target, at: first)
            case 11:
                let target = try files.linkTarget(of: first)
                return "\(operation): \(target.hasPrefix(root) ? String(target.dropFirst(root.count)) : target)"
            case 12: return "\(operation): \(try files.size(of: first))"
            default:
                let kind = try files.kind(of: first)
                if kind == .directory { return "directory" }
                return "\(operation): \(kind as FileKind?) \(try files.get(first))"
            }
        } catch {
            return "\(operation): \(error.kind)"
        }
        return "\(operation)"
    }

    @Test(arguments: UInt64(0)..<12) func bothAnswerAlike(seed: UInt64) throws {
        try withTemporaryDirectory { root in
            let real = RealFileSystem()
            let simulated = SimulatedFileSystem()
            try simulated.makeDirectory("/w", parents: false)
            var random = SplitMix64(seed: seed)
            for number in 0..<250 {
                let own = SplitMix64(seed: random.next())
                let expected = step(real, root, own)
                #expect(step(simulated, "/w", own) == expected, "seed \(seed), step \(number)")
            }
            let copy = SimulatedFileSystem()
            try copy.load(root, of: real, into: "/w")
            // Absolute links name the directory of their machine.
            func placeless(_ contents: [String: [UInt8]]) -> [String: [UInt8]] {
                contents.mapValues { bytes in
                    let text = String(decoding: bytes, as: UTF8.self)
                    for start in ["-> " + root, "-> /w"] where text.hasPrefix(start) {
                        return Array(("-> ." + text.dropFirst(start.count)).utf8)
                    }
                    return bytes
                }
            }
            #expect(placeless(copy.contents()) == placeless(simulated.contents()), "seed \(seed)")
            #expect(copy.usedSpaceBytes >= simulated.usedSpaceBytes)  // links were copied as files
        }
    }

    /// What is in a synced file of a synced directory stays, whatever happens elsewhere; what was never written is never
    /// there.
    @Test(arguments: UInt64(0)..<40) func historiesSurviveACrash(seed: UInt64) throws {
        let disk = SimulatedFileSystem()
        try disk.makeDirectory("/w", parents: false)
        try disk.makeDirectory("/safe", parents: false)
        try disk.put("/safe/f", patterned(100), sync: true)
        try disk.sync("/safe")
        var random = SplitMix64(seed: seed)
        for _ in 0..<random.below(120) { _ = step(disk, "/w", SplitMix64(seed: random.next())) }
        for crash in UInt64(0)..<10 {
            let after = disk.afterCrash(seed: crash)
            let left = after.contents()
            #expect(left["safe/f"] == patterned(100), "seed \(seed), crash \(crash)")
            #expect(after.usedSpaceBytes <= left.values.map(\.count).reduce(0, +))
            // The next process can do anything with what it finds.
            try after.removeAll("/w")
            #expect(after.contents().count == 1)
            #expect(after.usedSpaceBytes == 100)
        }
        #expect(disk.afterCrash(seed: 0, outcome: .everythingKept).contents() == disk.contents())
    }
}
