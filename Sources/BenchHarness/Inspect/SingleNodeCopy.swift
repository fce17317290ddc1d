// SingleNodeCopy.swift - a storage in the form of the single-node program, so that a real reader can check what we write.
//
// The single-node VictoriaMetrics of the same years has the same tables, blocks and codecs; its rows and TSIDs carry no
// tenant. So one tenant of a storage is copied:
//
//   index rows    the eight bytes of the tenant are dropped from rows, names and TSIDs; the rows are added to a new table,
//                 which our own code sorts, encodes, merges and writes
//   samples       timestamps and values of each block are taken over byte for byte; block headers are 81 bytes instead of
//                 89, rows of the metaindex 56 instead of 64
//
// Beside the copy, what our reader reads from the source can be written as JSON lines, in the form in which the other
// program exports. Used by Scripts/check-with-victoria-metrics; not a tool for moving data.
//
// Threads: one.

import FoundationEssentials
import Mergeset
import SampleStore
import SeriesIndex
import StorageBytes
import StorageFiles
import StorageRuntime

/// Copies one tenant of a storage.
public struct SingleNodeCopy: ~Copyable {
    /// What was copied.
    public struct Result: Sendable {
        /// Index rows, series with a name, sample parts, blocks and rows.
        public var items: UInt64 = 0, series = 0, parts = 0
        /// Blocks and rows of samples.
        public var blocks: UInt64 = 0, rows: UInt64 = 0
    }

    private let source: String, target: String
    private let tenant: Tenant
    let files: any FileSystem
    private let environment = Environment.live()
    private var result = Result()
    /// Canonical names without their tenant, by metric id.
    private var names: [UInt64: [UInt8]] = [:]
    private var columns: [UInt64: [(timestamp: Int64, value: Double)]] = [:]
    private let keepsRows: Bool

    /// Copies a tenant's rows from a storage directory.
    ///
    /// - Parameters:
    ///   - target: Does not exist.
    ///   - rewrites: Whether the samples of each month are merged into one part by our merger first.
    ///   - rows: A file to be made with all rows as JSON lines; nil makes none.
    /// - Throws: `.badInput` when the source has no index, `.cannotCreate`, `.inputOutput`.
    public static func make(
        from source: String, to target: String, tenant: Tenant, rewrites: Bool, rows: String?, files: any FileSystem
    ) throws(HarnessError) -> Result {
        var copy = SingleNodeCopy(
            source: source, target: target, tenant: tenant, files: files, keepsRows: rows != nil)
        do throws(StorageError) {
            guard try files.kind(of: target) == nil else {
                throw StorageError(.alreadyExists, "the target exists", path: target)
            }
            let groups = try InspectionTarget(source, files).groups
            guard groups.contains(where: { $0.kind == .index }) else {
                throw StorageError(.notFound, "no index table in this directory", path: source)
            }
            try copy.run(groups, rewrites: rewrites)
        } catch {
            let status: ExitStatus =
                switch error.kind {
                case .notFound, .corrupted: .badInput
                case .alreadyExists: .cannotCreate
                default: .inputOutput
                }
            throw HarnessError(status, "copying in the single-node form: \(error)")
        }
        if let rows { try copy.writeRows(rows) }
        return copy.result
    }

    private init(source: String, target: String, tenant: Tenant, files: any FileSystem, keepsRows: Bool) {
        self.source = source
        self.target = target
        self.tenant = tenant
        self.files = files
        self.keepsRows = keepsRows
    }

    private mutating func run(_ groups: [PartGroup], rewrites: Bool) throws(StorageError) {
        try files.makeDirectory(target, parents: true)
        let tables = groups.filter { $0.kind == .index }.sorted { Paths.precedes($0.path, $1.path) }
        // The program keeps two tables; the one with the larger name is the current one.
        if tables.count == 1 {
            try files.makeDirectory(Paths.join(target, "indexdb/" + Hex.name(1)), parents: true)
        }
        for table in tables { try copyIndex(table) }
        result.series = names.count
        try copyMetadata()
        for group in groups where group.kind == .samples { try copySamples(group, rewrites: rewrites) }
    }

    private func copyMetadata() throws(StorageError) {
        let name = "metadata/minTimestampForCompositeIndex"
        let path = Paths.join(source, name)
        guard try files.kind(of: path) != nil else { return }
        try files.makeDirectory(Paths.join(target, "metadata"), parents: true)
        let bytes = try files.readAll(path, limitBytes: 4096)
        try files.writeAtomically(bytes.array(), to: Paths.join(target, name))
    }

    // MARK: index

    private mutating func copyIndex(_ group: PartGroup) throws(StorageError) {
        var options = TableOptions()
        // Tag rows without a tenant are not what the merger of tag rows expects.
        options.tagRowMerging = .none
        let path = Paths.join(Paths.join(target, "indexdb"), Paths.lastComponent(group.path))
        try files.makeDirectory(Paths.parent(path), parents: true)
        let table = try Table.open(path, options: options, files: files, environment: environment)
        do throws(StorageError) {
            for part in group.parts {
                var row = RawBuffer(capacity: 1024)
                var found: [(UInt64, [UInt8])] = []
                let tenant = tenant
                var items: UInt64 = 0
                let inspected = try InspectedPart(path: part, files: files)
                try inspected.forEachBlock { (_, block) throws(StorageError) in
                    for index in 0..<block.count {
                        row.removeAll()
                        guard SingleNodeCopy.convert(block[index], tenant, into: &row) else { continue }
                        items += 1
                        try table.add { (writer) throws(StorageError) in try writer.add(row.bytes) }
                        if row.bytes[0] == RowKind.idToName {
                            found.append((BigEndian.load64(row.base + 1), [UInt8](row.bytes[9...])))
                        }
                    }
                }
                result.items += items
                for (id, name) in found { names[id] = name }
            }
            try table.mergeAll()
        } catch {
            try? table.close()
            throw error
        }
        try table.close()
    }

    /// Appends a row in the single-node form; false for rows of other tenants.
    static func convert(_ row: UnsafeRawBufferPointer, _ tenant: Tenant, into target: inout RawBuffer) -> Bool {
        guard let start = row.baseAddress, let kind = row.first, kind <= RowKind.dateTagToIDs else { return false }
        if kind == RowKind.tombstone {
            target.append(row)
            return true
        }
        guard row.count > 9, BigEndian.load64(start + 1) == tenant.bits else { return false }
        func rest(_ range: Range<Int>) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: row[range]) }
        target.append(kind)
        switch kind {
        case RowKind.nameToTSID:
            let end = row.count - TSID.storedBytes
            guard end > 9 else { return false }
            target.append(rest(9..<end))
            target.append(rest(end + Tenant.storedBytes..<row.count))
        case RowKind.idToTSID:
            guard row.count == SeriesRow.idToTSIDLength else { return false }
            target.append(rest(9..<17))
            target.append(rest(17 + Tenant.storedBytes..<row.count))
        case RowKind.idToName:
            guard row.count > 25 else { return false }
            target.append(rest(9..<17))
            target.append(rest(25..<row.count))
        default: target.append(rest(9..<row.count))
        }
        return true
    }

    // MARK: samples

    private mutating func copySamples(_ group: PartGroup, rewrites: Bool) throws(StorageError) {
        let month = Paths.lastComponent(group.path)
        let size = Paths.lastComponent(Paths.parent(group.path))
        let directory = Paths.join(target, "data/\(size)/\(month)")
        try files.makeDirectory(directory, parents: true)
        // A month must be there in both sizes.
        for other in ["small", "big"] {
            try files.makeDirectory(Paths.join(target, "data/\(other)/\(month)"), parents: true)
        }
        let budget = IndexCacheBudget(bytesMax: 1 << 20)
        var parts: [FileSamplePart] = []
        for path in group.parts { parts.append(try FileSamplePart(path: path, files: files, cache: budget)) }
        let temporary = Paths.join(target, "merged")
        if rewrites {
            let sources = parts.map { $0.source() }
            var merger = SampleMerger(sources, SampleMergeOptions())
            try files.makeDirectory(temporary, parents: true)
            let unnamed = Paths.join(temporary, "part")
            var writer = try SamplePartWriter(
                directory: unnamed, level: SampleMerger.indexLevel(sources), dedupIntervalMs: 0, files: files)
            try merger.run(into: &writer)
            _ = try writer.finish()
            let named = Paths.join(temporary, SamplePartName(writer.totals, number: environment.ids.next()).text)
            try files.rename(unnamed, to: named)
            parts = [try FileSamplePart(path: named, files: files, cache: budget)]
        }
        for part in parts { try copy(part, into: directory) }
        if rewrites { try files.removeAll(temporary) }
    }

    private mutating func copy(_ part: FileSamplePart, into directory: String) throws(StorageError) {
        let temporary = Paths.join(directory, "unnamed")
        var writer = try SingleNodePartWriter(directory: temporary, files: files)
        let source = part.source()
        var decoder = IntegerArrayDecoder()
        var block = SampleColumns()
        while try source.advance() {
            guard source.header.tsid.tenant == tenant else { continue }
            try writer.append(source.stored)
            guard keepsRows else { continue }
            try source.decode(into: &block, &decoder)
            let bits = UnsafeMutablePointer<UInt64>.allocate(capacity: block.count)
            defer { bits.deallocate() }
            DecimalCoding.floats(block.values, block.count, exponent: block.exponent, into: bits)
            for index in 0..<block.count {
                columns[source.header.tsid.metricID, default: []].append(
                    (block.timestamps[index], Double(bitPattern: bits[index])))
            }
        }
        guard try writer.finish() else {
            try files.removeAll(temporary)
            return
        }
        let name = SamplePartName(writer.totals, number: environment.ids.next()).text
        try files.rename(temporary, to: Paths.join(directory, name))
        result.parts += 1
        result.blocks += writer.totals.blocks
        result.rows += writer.totals.rows
    }

    // MARK: rows

    private struct Line: Encodable {
        var metric: [String: String]
        var values: [Double]
        var timestamps: [Int64]
    }

    private func writeRows(_ path: String) throws(HarnessError) {
        let encoder = JSONEncoder()
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
        var text: [UInt8] = []
        for (id, rows) in columns.sorted(by: { $0.key < $1.key }) {
            // Samples of a series without a name cannot be found by anybody.
            guard let name = names[id] else { continue }
            let sorted = rows.sorted { $0.timestamp < $1.timestamp }
            let line = Line(
                metric: SingleNodeCopy.labels(name), values: sorted.map(\.value), timestamps: sorted.map(\.timestamp))
            guard let data = try? encoder.encode(line) else { continue }
            text += [UInt8](data) + [UInt8(ascii: "\n")]
        }
        do throws(StorageError) { try files.writeAtomically(text, to: path) } catch {
            throw HarnessError(.cannotCreate, "cannot write the rows: \(error)")
        }
    }

    private static func labels(_ name: [UInt8]) -> [String: String] {
        func plain(_ escaped: UnsafeRawBufferPointer) -> String {
            withUnsafeTemporaryAllocation(byteCount: max(1, escaped.count), alignment: 8) { room in
                guard let base = room.baseAddress, let count = try? TagEscape.unescape(escaped, at: base) else {
                    return ""
                }
                return String(decoding: UnsafeRawBufferPointer(start: base, count: count), as: UTF8.self)
            }
        }
        var labels: [String: String] = [:]
        let whole = [UInt8](repeating: 0, count: Tenant.storedBytes) + name
        whole.withUnsafeBytes { bytes in
            guard var reader = try? CanonicalNameReader(bytes) else { return }
            let group = plain(reader.escapedGroup)
            if !group.isEmpty { labels["__name__"] = group }
            while let next = try? reader.next() { labels[plain(next.key)] = plain(next.value) }
        }
        return labels
    }
}
