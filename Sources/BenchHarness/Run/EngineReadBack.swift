// EngineReadBack.swift - asks the engine for what was ingested, in every way in which it can be asked today.
//
//   name -> TSID    exactly one row `00 NAME 02 TSID` in the current table
//   id -> TSID      the engine's answer is that TSID
//   id -> name      the engine's answer is the canonical name
//   tags, day       every row that the registration makes, global and of the day of the latest row, is in the table
//
// A wrong answer, a missing row and a second TSID count alike: the run has failed.

import Mergeset
import SeriesIndex
import StorageBytes
import StorageEngine
import StorageRuntime

/// Read-back through the engine.
enum EngineReadBack {
    /// Checks a sample of series.
    ///
    /// - Parameters:
    ///   - active: Numbers of series that had a row on day `date`; nil when nothing is registered per day.
    ///   - silent: Numbers of series that may have had their last row on an earlier day.
    static func check(
        _ active: [Int], silent: [Int], of input: any RunInput, date: UInt64?, in engine: StorageEngine
    ) throws(StorageError) -> ReadBack {
        var result = ReadBack()
        var rows = ReadBack.Wanted()
        var name = CanonicalName()
        var items = ItemList()
        let table = engine.currentTable
        var cursor = table.cursor()
        for (numbers, date) in [(active, date), (silent, nil)] {
            for number in numbers {
                do { try name.canonicalize(raw: input[number]) } catch {
                    throw StorageError(.invalidArgument, "a metric name of the input does not decode: \(error)")
                }
                result.rows += 1
                var key = RawBuffer()
                key.append(RowKind.nameToTSID)
                key.append(name.bytes)
                key.append(0x02)
                let found = try tsids(key.bytes, &cursor)
                result.items += 3
                guard found.count == 1, let tsid = found.first else {
                    result.note(Array(key.bytes), count: 3)
                    continue
                }
                if try engine.tsid(of: tsid.metricID, tenant: tsid.tenant) != tsid {
                    result.note(withUnsafeBytes(of: tsid.metricID.bigEndian) { [RowKind.idToTSID] + Array($0) })
                }
                if try engine.metricName(of: tsid.metricID, tenant: tsid.tenant) != Array(name.bytes) {
                    result.note(withUnsafeBytes(of: tsid.metricID.bigEndian) { [RowKind.idToName] + Array($0) })
                }
                items.removeAll()
                try SeriesRows.appendGlobal(name, tsid, to: &items)
                if let date { try SeriesRows.appendPerDay(name, date: date, metricID: tsid.metricID, to: &items) }
                for index in 0..<items.count { rows.add(items[index], &result) }
            }
        }
        try rows.find(&cursor, &result)
        return result
    }

    /// The TSIDs of the rows that start with `key`.
    private static func tsids(
        _ key: UnsafeRawBufferPointer, _ cursor: inout TableCursor
    ) throws(StorageError) -> [TSID] {
        var found: [TSID] = []
        try cursor.seek(key)
        while try cursor.next(), Bytes.starts(cursor.item, with: key) {
            let rest = UnsafeRawBufferPointer(rebasing: cursor.item[key.count...])
            if rest.count == TSID.storedBytes, let tsid = try? TSID(rest) { found.append(tsid) }
        }
        return found
    }
}
