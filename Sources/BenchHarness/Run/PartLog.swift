// PartLog.swift - the parts that flushes and merges have made in a run: what the plots of merges are drawn from.
//
// Threads: any thread of the tables adds; the driver reads once they are done.

import Mergeset
import StorageRuntime

/// A part as it stands in run.json.
public struct PartRecord: Sendable, Equatable, Codable {
    /// Number of the part: parts are numbered from 0 in the order in which they were finished.
    public var number: Int
    /// Number of the table, in order of appearance: a rotation of the index starts another one.
    public var table: Int
    /// Numbers of the parts that it replaced; empty for a flush.
    public var sources: [Int]
    /// Start and end of the work, seconds since the start of the ingest.
    public var startSeconds: Double, endSeconds: Double
    /// Items, and bytes of the files.
    public var items: UInt64, bytes: UInt64

    /// Whether it was flushed from memory.
    public var isFlush: Bool { sources.isEmpty }
}

/// Gathers what tables tell.
final class PartLog: Sendable {
    private let events = Protected<[PartEvent]>([])

    /// Most parts that are kept: the first ones.
    static let partsMax = 5000

    /// Takes an event.
    func add(_ event: PartEvent) {
        events.withLock { if $0.count < PartLog.partsMax { $0.append(event) } }
    }

    /// The parts in the order of their ends; times since `origin` on the system's monotonic clock.
    func records(since origin: UInt64) -> [PartRecord] {
        let events = events.withLock { $0 }.sorted { ($0.endNanoseconds, $0.part) < ($1.endNanoseconds, $1.part) }
        var numbers: [String: Int] = [:]
        var tables: [String: Int] = [:]
        return events.enumerated().map { number, event in
            let table = tables[event.table] ?? tables.count
            tables[event.table] = table
            numbers[event.table + "/" + event.part] = number
            return PartRecord(
                number: number, table: table, sources: event.sources.compactMap { numbers[event.table + "/" + $0] },
                startSeconds: seconds(event.startNanoseconds, since: origin),
                endSeconds: seconds(event.endNanoseconds, since: origin), items: event.items, bytes: event.bytes)
        }
    }

    private func seconds(_ moment: UInt64, since origin: UInt64) -> Double {
        moment > origin ? Double(moment - origin) * 1e-9 : 0
    }
}
