// SingleNodeTests.swift - rows without their tenant, and storages made for another reader.

import Foundation
import SeriesIndex
import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing
import Workloads

@testable import BenchHarness

@Suite struct SingleNodeTests {
    private static let tenant = Tenant(accountID: 7, projectID: 42)
    private static let prefix: [UInt8] = [0, 0, 0, 7, 0, 0, 0, 42]

    private func convert(_ row: [UInt8], _ tenant: Tenant = tenant) -> [UInt8]? {
        var target = RawBuffer()
        let kept = row.withUnsafeBytes { SingleNodeCopy.convert($0, tenant, into: &target) }
        return kept ? target.array() : nil
    }

    @Test func dropsTheTenantFromEveryKindOfRow() {
        let tsid: [UInt8] = Array(1...24)
        let id: [UInt8] = Array(17...24)
        let name = Array("group\u{1}key\u{1}value\u{1}".utf8)
        let date: [UInt8] = [0, 0, 0, 0, 0, 0, 0x4A, 0x12]
        let tag = Array("key\u{1}value\u{1}".utf8)
        let tenant = Self.prefix
        #expect(convert([0] + tenant + name + [2] + tenant + tsid) == [0] + name + [2] + tsid)
        #expect(convert([1] + tenant + tag + id) == [1] + tag + id)
        #expect(convert([2] + tenant + id + tenant + tsid) == [2] + id + tsid)
        #expect(convert([3] + tenant + id + tenant + name) == [3] + id + name)
        #expect(convert([4] + id) == [4] + id)
        #expect(convert([5] + tenant + date + id) == [5] + date + id)
        #expect(convert([6] + tenant + date + tag + id) == [6] + date + tag + id)
    }

    @Test func leavesOtherTenantsAndOtherBytesOut() {
        #expect(convert([5] + [0, 0, 0, 7, 0, 0, 0, 43] + [UInt8](repeating: 0, count: 16)) == nil)
        for row in [[], [0], [7, 1], [2] + Self.prefix + [1], [0] + Self.prefix, [3] + Self.prefix + [1, 2]] {
            #expect(convert(row) == nil, "\(row)")
        }
    }

    @Test func copiesAllRowsOfATenant() throws {
        let directory = try TemporaryDirectory()
        let files = RealFileSystem()
        let rows = directory.path("rows")
        let result = try SingleNodeCopy.make(
            from: Golden.path("samples/storage"), to: directory.path("copy"), tenant: Tenant(bits: 0), rewrites: false,
            rows: rows, files: files)
        // Of 14,001 rows of 200 series those of tenant 0:0; each block of 89 bytes of header becomes one of 81.
        #expect(result.series == 180 && result.rows == 13540 && result.blocks == 611)
        #expect(try String(contentsOfFile: rows, encoding: .utf8).split(separator: "\n").count == 180)
        let merged = try SingleNodeCopy.make(
            from: Golden.path("samples/storage"), to: directory.path("merged"), tenant: Tenant(bits: 0), rewrites: true,
            rows: directory.path("rows2"), files: files)
        #expect(merged.rows == result.rows && merged.blocks < result.blocks)
        #expect(throws: HarnessError.self) {
            try SingleNodeCopy.make(
                from: Golden.path("samples/storage"), to: directory.path("copy"), tenant: Tenant(bits: 0),
                rewrites: false, rows: nil, files: files)
        }
    }

    @Test func fillsAStorageThatInspectReads() throws {
        let directory = try TemporaryDirectory()
        let files = RealFileSystem()
        let profile = try ProfileLoader.load(
            "node-steady", given: Golden.root + "/../../Benchmarks/Profiles", size: .s,
            overrides: ["series=1230", "rounds=4"], files)
        let path = directory.path("store")
        let rows = try StoreFill.make(profile, seed: 1, at: path, merges: true, files: files)
        #expect(rows == 4 * profile.series)
        let record = try Inspection.read(path, options: Inspection.Options(), files: files)
        #expect(record.damaged == [])
        #expect(record.indexTables.reduce(0) { $0 + $1.series } == UInt64(profile.series))
        #expect(record.partitions.reduce(0) { $0 + $1.rows } == UInt64(rows))
        #expect(record.partitions.reduce(0) { $0 + $1.series } == UInt64(profile.series))
    }

    @Test func drawsBarsOfEachPanelToItsOwnScale() {
        let text = "CPU\tours\t2\nCPU\tpeer <1>\t4\nnot a line\nsize\tours\t-\nsize\tpeer <1>\t1000\n"
        let panels = BarChart.panels(text)
        #expect(panels.map(\.title) == ["CPU", "size"])
        #expect(panels[0].bars.map(\.text) == ["2.00", "4.00"] && panels[1].bars[0].value == nil)
        let svg = BarChart.svg(text, title: "t")
        #expect(svg.contains("peer &lt;1&gt;") && svg.components(separatedBy: "<rect").count == 4)
        #expect(svg.contains("width=\"215.0\"") && svg.contains("width=\"430.0\""))
        #expect(svg.components(separatedBy: "class=\"b1\"").count == 3)  // the peer, in both panels
    }
}
