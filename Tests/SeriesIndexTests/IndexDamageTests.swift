// IndexDamageTests.swift - damaged index directories: a broken part is named, set aside and reported, and the rest serves;
// other damage is a typed error.

import Glibc
import Mergeset
import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import SeriesIndex

@Suite struct IndexDamageTests {
    private static let basic = "16C5FC70A61F0002"
    private static let first = "10361_11_18E9E5BD09F85035"
    private static let second = "3632_4_18E9E5BD09F85036"

    private static func load(_ directory: String) throws -> SimulatedFileSystem {
        let files = SimulatedFileSystem(recording: .nothing)
        try files.load(
            TestSupport.Golden.path("index/" + directory), of: RealFileSystem(), into: IndexFixture.storage)
        return files
    }

    private static func path(_ table: String, _ part: String, _ file: String) -> String {
        "\(IndexFixture.directory)/\(table)/\(part)/\(file)"
    }

    /// Changes bytes of a file in place.
    private static func change(
        _ path: String, _ files: any FileSystem, _ body: (inout [UInt8]) -> Void
    ) throws {
        var bytes = try files.readAll(path, limitBytes: .max).array()
        body(&bytes)
        try files.replaceAtomically(bytes, at: path)
    }

    /// The canonical names of a table's parts.
    private static func names(_ items: [[UInt8]]) -> Set<[UInt8]> {
        Set(items.filter { $0[0] == 0 }.map { Array($0[1..<($0.count - 33)]) })
    }

    /// Opens the index, of which one part must be set aside, and works with what is left.
    private static func checkSetAside(
        _ files: any FileSystem, _ table: String, _ part: String, left: Int, _ context: String
    ) throws {
        let fixture = try IndexFixture(on: files)
        let target = "\(IndexFixture.damaged)/\(table)-\(part)"
        #expect(fixture.index.damagedParts == [target], "\(context)")
        #expect(
            fixture.log.count == 1 && fixture.log[0].contains(part) && fixture.log[0].contains(target), "\(context)")
        #expect(try files.kind(of: target) == .directory, "\(context)")
        #expect(try files.kind(of: "\(IndexFixture.directory)/\(table)/\(part)") == nil, "\(context)")
        let items = try fixture.items()
        #expect((table == fixture.currentName ? items.current : items.previous).count == left, "\(context)")
        // The rest serves: its series are found, and new ones are created.
        let there = names(items.current).sorted(by: isSmaller)
        let deleted = fixture.index.withTables { $0.deleted }
        if deleted.isEmpty {
            #expect(fixture.resolve(canonical: there, .refusingAll).allSatisfy { $0.outcome == .found }, "\(context)")
        }
        #expect(try fixture.resolve([rawName(3, tenant: Tenant(bits: 50))])[0].outcome == .created, "\(context)")
        try fixture.index.close()
        // The next open finds nothing wrong.
        let again = try IndexFixture(on: files)
        #expect(again.index.damagedParts.isEmpty && again.log.isEmpty, "\(context)")
        try again.index.close()
    }

    @Test func partsThatDoNotOpen() throws {
        let breaks: [(String, (any FileSystem, (String) -> String) throws -> Void)] = [
            ("metaindex", { files, path in try Self.change(path("metaindex.bin"), files) { $0[0] ^= 0x55 } }),
            ("metaindex without bytes", { files, path in try Self.change(path("metaindex.bin"), files) { $0 = [] } }),
            ("metadata", { files, path in try Self.change(path("metadata.json"), files) { $0.removeLast(20) } }),
            ("no metadata", { files, path in try files.removeAll(path("metadata.json")) }),
            ("no items", { files, path in try files.removeAll(path("items.bin")) }),
            ("no lens", { files, path in try files.removeAll(path("lens.bin")) }),
            ("short index", { files, path in try Self.change(path("index.bin"), files) { $0.removeLast() } }),
        ]
        for (name, breakPart) in breaks {
            let files = try Self.load("storage-basic")
            try breakPart(files) { Self.path(Self.basic, Self.first, $0) }
            try Self.checkSetAside(files, Self.basic, Self.first, left: 3632, name)
        }
        let files = try Self.load("storage-basic")
        try Self.change(Self.path(Self.basic, Self.second, "metaindex.bin"), files) { $0[3] ^= 1 }
        try Self.checkSetAside(files, Self.basic, Self.second, left: 10_361, "second part")
    }

    /// Blocks are read when they are needed: the names when the index is opened.
    @Test func blocksOfNamesThatDoNotDecode() throws {
        for (part, left) in [(Self.first, 3632), (Self.second, 10_361)] {
            for file in ["index.bin", "items.bin", "lens.bin"] {
                let files = try Self.load("storage-basic")
                try Self.change(Self.path(Self.basic, part, file), files) { for index in 0..<8 { $0[index] = 0xEE } }
                try Self.checkSetAside(files, Self.basic, part, left: left, "\(part) \(file)")
            }
        }
    }

    @Test func tombstonesThatDoNotDecode() throws {
        // A part of a table with tombstones, in blocks of which one can be broken without the names.
        let files = SimulatedFileSystem(recording: .nothing)
        let fixture = try IndexFixture(on: files)
        let series = try fixture.resolve((0..<8).map { rawName($0) })
        _ = try fixture.index.delete([series[0].tsid.metricID]) {}
        let name = fixture.currentName
        try fixture.index.close()
        let directory = IndexFixture.directory + "/" + name
        let part = try files.list(directory).map(\.name).filter { $0.contains("_") }
        #expect(part.count == 1)
        // One block holds all rows: names and tombstones break together. A second part has tombstones only.
        let second = try IndexFixture(on: files)
        _ = try second.index.delete([series[1].tsid.metricID]) {}
        try second.index.close()
        let added = try files.list(directory).map(\.name).filter { $0.contains("_") && $0 != part[0] }
        #expect(added.count == 1)
        // One item is stored in the header of its block, so that is broken.
        try Self.change("\(directory)/\(added[0])/index.bin", files) { for index in 0..<8 { $0[index] = 0xEE } }
        let third = try IndexFixture(on: files)
        #expect(third.index.damagedParts == ["\(IndexFixture.damaged)/\(name)-\(added[0])"])
        #expect(third.index.isDeleted(series[0].tsid.metricID))
        // The other table has the tombstone, too.
        #expect(third.index.isDeleted(series[1].tsid.metricID))
        try third.index.close()
    }

    @Test func severalPartsOfBothTables() throws {
        let files = try Self.load("storage-rotated")
        let broken = [
            ("16C5FC70A61F0002", "1563_2_18E9E5BD85215E8A"), ("16C5FC70A61F0002", "897_1_18E9E5BD85215E8B"),
            ("16C5FC70A61F0003", "1243_2_18E9E5BD88C76A1F"),
        ]
        for (table, part) in broken {
            try Self.change(Self.path(table, part, "metaindex.bin"), files) { $0[1] ^= 0xFF }
        }
        let fixture = try IndexFixture(on: files)
        #expect(
            Set(fixture.index.damagedParts) == Set(broken.map { "\(IndexFixture.damaged)/\($0)-\($1)" }))
        #expect(fixture.log.count == 3)
        let items = try fixture.items()
        #expect(items.current.count == 10 + 14 + 130 && items.previous.count == 25 + 5)
        try fixture.index.close()
    }

    // MARK: damage elsewhere

    /// Opens an index that must be refused; afterwards `mend` makes it good, and nothing is locked.
    private static func checkRefused(
        _ files: SimulatedFileSystem, _ kind: StorageError.Kind, _ context: String, mend: () throws -> Void
    ) throws {
        let error = #expect(throws: StorageError.self, "\(context)") { _ = try IndexFixture(on: files) }
        #expect(error?.kind == kind, "\(context): \(String(describing: error))")
        #expect(try files.kind(of: IndexFixture.damaged) == nil, "\(context)")
        try mend()
        let fixture = try IndexFixture(on: files)
        #expect(fixture.index.damagedParts.isEmpty, "\(context)")
        try fixture.index.close()
    }

    @Test func brokenTransactions() throws {
        let files = try Self.load("storage-basic")
        let path = "\(IndexFixture.directory)/\(Self.basic)/txn"
        try files.makeDirectory(path, parents: true)
        try files.writeAtomically(Array("no transaction".utf8), to: path + "/18E9E5BD09F85099")
        try Self.checkRefused(files, .corrupted, "transaction") { try files.removeAll(path) }
    }

    @Test func errorsOfTheDeviceAreNotDamage() throws {
        let files = try Self.load("storage-basic")
        for kind in [FileOperation.Kind.read, .open, .list, .status] {
            for skip in [0, 3, 6, 9, 12] {
                files.faults = FaultPlan(rules: [.on(kind, skip: skip, times: 1)])
                do throws(StorageError) {
                    let fixture = try IndexFixture(on: files)
                    try? fixture.index.close()
                } catch { #expect(error.kind == .io(errno: EIO)) }
                files.faults = FaultPlan()
                #expect(try files.kind(of: IndexFixture.damaged) == nil)
            }
        }
        let fixture = try IndexFixture(on: files)
        #expect(try fixture.items().current.count == 13_993)
        try fixture.index.close()
    }

    /// Rows that break the format in parts that do not: no part is to blame.
    @Test func rowsOfNoKnownForm() throws {
        let tenant = [UInt8](repeating: 0, count: 8)
        let rows: [[UInt8]] = [
            [0], [0] + tenant, [0] + tenant + [1, 2] + [UInt8](repeating: 1, count: 31),
            [0] + tenant + [1, 3] + [UInt8](repeating: 1, count: 32), [4], [4, 1, 2], [4] + tenant + [1],
        ]
        for row in rows {
            let files = SimulatedFileSystem(recording: .nothing)
            let fixture = try IndexFixture(on: files)
            let name = fixture.currentName
            try fixture.index.close()
            let table = try Table.open(
                IndexFixture.directory + "/" + name, options: .small(), files: files,
                environment: .deterministic(seed: 2))
            try table.add([row])
            try table.close()
            let error = #expect(throws: StorageError.self) { _ = try IndexFixture(on: files) }
            #expect(error?.kind == .corrupted, "\(row)")
            #expect(error?.path == IndexFixture.directory + "/" + name, "\(row)")
        }
    }

    /// Entries of days with a wrong length are met by the search for a day.
    @Test func entriesOfDaysOfNoKnownForm() throws {
        let tenant = [UInt8](repeating: 0, count: 8)
        let day = withUnsafeBytes(of: IndexFixture.day.bigEndian) { Array($0) }
        for row in [[5] + tenant + day + tenant + [0], [5, 1], [5] + tenant + day + [0, 0, 0]] {
            let files = SimulatedFileSystem(recording: .nothing)
            let fixture = try IndexFixture(on: files)
            let series = try fixture.resolve([rawName(1)])[0].tsid
            let table = fixture.index.withTables { $0.current }
            try table.table.add([row])
            try fixture.index.close()
            let again = try IndexFixture(on: files)
            // Enough for the day to be read as a whole.
            let wanted = (0..<40).map { id in
                (
                    date: IndexFixture.day,
                    tsid: TSID(
                        tenant: Tenant(bits: 0), metricGroupID: 0, jobID: 0, instanceID: 0, metricID: UInt64(id)),
                    raw: rawName(1)
                )
            }
            let error = #expect(throws: StorageError.self) { _ = try again.registerDays(wanted) }
            #expect(error?.kind == .corrupted)
            // Nothing is claimed by a search that failed: the same answer again.
            #expect(throws: StorageError.self) { _ = try again.registerDays(wanted) }
            #expect(try again.resolve([rawName(1)])[0].tsid == series)
            try again.index.close()
        }
    }
}
