// Inspection.swift - the command `inspect`: why is this index so big?
//
//   walk     the parts in the directory, grouped by table and month                           InspectionTarget
//   read     every block of every part: bytes by kind of row, label and day                   IndexAccount
//   merge    all parts of a table in one order, into a part that is dropped as it is made:    MergedAccount
//            duplicates, values, and the size that a forced merge would leave
//   report   for people or as JSON                                                            InspectionReport
//
// Nothing is changed, locked or recovered (InspectionFiles), so a directory may be read while its owner works with it: what
// is merged away between the walk and the opening of a part makes the walk start again. A part that does not decode is
// named and left out of every figure.
//
// Memory: one block of each part, the accounts of up to 10 000 labels, and 0.15 bytes for each series with samples.
//
// Threads: one.

import Mergeset
import SampleStore
import SeriesIndex
import StorageBytes
import StorageFiles
import StorageRuntime

/// Reads directories of this format.
public struct Inspection {
    /// What is wanted.
    public struct Options: Sendable {
        /// Values named for each label.
        public var valuesMax = 5
        /// Labels told apart in the record; the others are added up.
        public var labelsMax = 20
        /// Whether parts are merged, which takes as long as a forced merge. Without it there are no values, no
        /// duplicates and no savings.
        public var merges = true

        /// The defaults.
        public init() {}
    }

    let options: Options
    let files: InspectionFiles
    var record = InspectionRecord()

    /// Reads a directory: a storage, a table, a partition, a snapshot, or one part.
    ///
    /// - Throws: `.badInput` when there is no such directory or no part in it; `.inputOutput`; `.interrupted`.
    public static func read(
        _ path: String, options: Options, files: any FileSystem
    ) throws(HarnessError) -> InspectionRecord {
        var inspection = Inspection(options: options, files: InspectionFiles(files))
        inspection.record.path = path
        do throws(StorageError) { try inspection.run(path) } catch {
            try Interrupt.check()
            throw HarnessError(error.kind == .notFound ? .badInput : .inputOutput, "inspect: \(error)")
        }
        let record = inspection.record
        if record.indexTables.isEmpty, record.partitions.isEmpty, record.damaged.isEmpty {
            throw HarnessError(
                .badInput,
                "no part of an index table or of samples in \(path); give a storage directory, a table or a part")
        }
        return record
    }

    private mutating func run(_ path: String) throws(StorageError) {
        // A live table exchanges parts while they are being listed; each attempt starts from a new list.
        let attemptsMax = 5
        for attempt in 1...attemptsMax {
            let target = try InspectionTarget(path, files)
            do throws(StorageError) {
                try read(target.groups)
                return
            } catch {
                guard error.kind == .notFound, attempt < attemptsMax else { throw error }
                let path = record.path
                record = InspectionRecord()
                record.path = path
            }
        }
    }

    private mutating func read(_ groups: [PartGroup]) throws(StorageError) {
        for group in groups where group.kind == .index { try readIndex(group) }
        // Small and big parts of a month are one partition.
        var months: [(name: String, groups: [PartGroup])] = []
        for group in groups where group.kind == .samples {
            let name = Paths.lastComponent(group.path)
            let parent = Paths.parent(group.path)
            let key = ["small", "big"].contains(Paths.lastComponent(parent)) ? name : group.path
            if let place = months.firstIndex(where: { $0.name == key }) {
                months[place].groups.append(group)
            } else {
                months.append((key, [group]))
            }
        }
        months.sort { Paths.precedes($0.name, $1.name) }
        for month in months { try readSamples(month.name, month.groups) }
    }

    /// Runs `body` for a part; damage is noted, and nil returned.
    ///
    /// - Throws: `.notFound` when the whole part is gone, since then the list was old; `.io`.
    mutating func guarding<Result>(
        _ part: String, _ body: () throws(StorageError) -> Result
    ) throws(StorageError) -> Result? {
        do throws(StorageError) { return try body() } catch {
            switch error.kind {
            case .notFound:
                guard try files.kind(of: part) != nil else { throw error }
            case .corrupted, .limitExceeded: break
            default: throw error
            }
            record.damaged.append(DamagedPart(path: part, reason: error.description))
            return nil
        }
    }

    static func checkInterrupt() throws(StorageError) {
        if Interrupt.isRequested { throw StorageError(.closed, "interrupted") }
    }

    // MARK: index

    private mutating func readIndex(_ group: PartGroup) throws(StorageError) {
        let files = self.files
        // All parts are opened first: what a live table merges away after that stays readable.
        var opened: [InspectedPart] = []
        for path in group.parts {
            let part = try guarding(path) { () throws(StorageError) in try InspectedPart(path: path, files: files) }
            if let part { opened.append(part) }
        }
        var account = IndexAccount()
        var parts: [InspectedPart] = []
        for part in opened {
            let before = account
            let sound: Void? = try guarding(part.path) { () throws(StorageError) in
                try part.forEachBlock { (header, items) throws(StorageError) in
                    account.add(header, items)
                    try Inspection.checkInterrupt()
                }
            }
            if sound == nil { account = before } else { parts.append(part) }
        }
        guard !parts.isEmpty else { return }

        var table = IndexTableRecord()
        table.path = group.path
        table.pendingTransactions = group.transactions
        table.isSeriesIndex = account.isSeriesIndex
        for part in parts {
            table.parts.append(
                PartLine(name: part.name, entries: part.itemsCount, blocks: part.blocksCount, bytes: part.sizeBytes))
            table.items += part.itemsCount
            table.blocks += part.blocksCount
            table.indexBlocks += UInt64(part.indexBlocksCount)
            table.bytes += part.sizeBytes
            table.itemsFileBytes += UInt64(part.itemsFileBytes)
            table.lensFileBytes += UInt64(part.lensFileBytes)
            table.headerFilesBytes += UInt64(part.headerFilesBytes)
        }
        var merged: MergedAccount?
        if options.merges {
            let walk = MergedAccount(valuesMax: options.valuesMax, readsRows: account.isSeriesIndex)
            let size = try InspectedParts.merge(
                parts, unitesTagRows: account.isSeriesIndex, into: InspectionFiles.scratch, files: files
            ) { (item, shared) throws(StorageError) in walk.take(item, shared: shared) }
            walk.finish()
            table.merged = MergeOutcome(
                entries: size.items, blocks: size.blocks, bytes: size.bytes,
                savedBytes: Int64(table.bytes) - Int64(size.bytes))
            merged = walk
        }
        fill(&table, account, merged)
        record.indexTables.append(table)
    }

    private func fill(_ table: inout IndexTableRecord, _ account: IndexAccount, _ merged: MergedAccount?) {
        table.blockFill = account.blockFill
        table.plainBlocks = account.plainBlocks
        for (number, kind) in account.kinds.enumerated() where kind.items > 0 {
            var row = NamespaceRecord(namespace: number)
            row.items = kind.items
            row.distinctItems = merged?.distinctItems[number] ?? 0
            row.ids = kind.ids
            row.tags = merged?.tags[number] ?? 0
            row.rawBytes = kind.rawBytes
            row.keptBytes = kind.keptBytes
            row.compressedBytes = UInt64(kind.compressedBytes.rounded())
            table.rawBytes += kind.rawBytes
            table.keptBytes += kind.keptBytes
            table.namespaces.append(row)
        }
        table.duplicateItems = merged?.duplicateItems ?? 0
        table.duplicateBytes = merged?.duplicateBytes ?? 0
        guard account.isSeriesIndex else { return }
        table.series = merged?.series ?? 0
        table.tenants = merged?.tenants ?? 0
        table.deletedSeries = merged?.deletedSeries ?? 0
        for (date, day) in account.days.sorted(by: { $0.key < $1.key }) {
            table.days.append(
                DayRecord(
                    date: date, series: merged?.seriesOfDays[date] ?? 0, items: day.items,
                    compressedBytes: UInt64(day.compressedBytes.rounded())))
        }
        table.labels = labels(account.labels, merged?.labels)
    }

    private func labels(_ stored: LabelAccounts, _ merged: LabelAccounts?) -> [LabelRecord] {
        var values: [String: LabelAccounts.Account] = [:]
        for account in merged?.accounts ?? [] { values[account.label] = account }
        let sorted = stored.accounts.sorted { ($1.bytes, $0.label) < ($0.bytes, $1.label) }
        var records: [LabelRecord] = []
        for account in sorted {
            var label = LabelRecord(label: account.label)
            label.compressedBytes = UInt64(account.bytes.rounded())
            label.tagBytes = UInt64(account.tagBytes.rounded())
            label.compositeBytes = UInt64(account.compositeBytes.rounded())
            label.dayTagBytes = UInt64(account.dayTagBytes.rounded())
            label.dayCompositeBytes = UInt64(account.dayCompositeBytes.rounded())
            label.nameBytes = UInt64(account.nameBytes.rounded())
            label.rows = account.rows
            if let found = values[account.label] {
                label.values = found.values
                label.series = found.series
                label.topValues = found.top
            }
            records.append(label)
        }
        guard records.count > options.labelsMax else { return records }
        var others = LabelRecord(label: LabelAccounts.othersLabel)
        for label in records[options.labelsMax...] {
            others.compressedBytes += label.compressedBytes
            others.tagBytes += label.tagBytes
            others.compositeBytes += label.compositeBytes
            others.dayTagBytes += label.dayTagBytes
            others.dayCompositeBytes += label.dayCompositeBytes
            others.nameBytes += label.nameBytes
            others.rows += label.rows
            others.values += label.values
            others.series += label.series
        }
        return Array(records[..<options.labelsMax]) + [others]
    }
}
