// SeriesRegistrar.swift - the rows of a new series, written in place into the run of a shard.
//
//   name -> TSID, id -> name, id -> TSID, date -> id      built where they stay; nothing is copied
//   tag -> id, (date, tag) -> id                          handed over as tags; the shard gathers the ids per tag
//
// The rows are those of SeriesRows, in another order and with the tag rows gathered
// (docs/format/series-index.md, 4; docs/format/mergeset-table.md, 13).
//
// Threads: one value a thread; it holds scratch memory only.

import Mergeset
import StorageBytes
import StorageRuntime

/// Writes the rows of registrations into a table's shard.
public struct SeriesRegistrar: ~Copyable {
    private var spans: UnsafeMutablePointer<SeriesTags.Span>
    private var spanCapacity = 64
    private var prefix = RawBuffer(capacity: 256)
    private var reverse = RawBuffer(capacity: 256)

    /// A registrar with empty scratch memory.
    public init() { spans = .allocate(capacity: spanCapacity) }

    deinit { spans.deallocate() }

    /// Adds all rows of a registration.
    ///
    /// - Parameters:
    ///   - name: The canonical name of the series; its raw bytes are alive.
    ///   - tsid: Its TSID.
    ///   - registration: Global rows, rows of one day, or both.
    /// - Throws: `.limitExceeded` for a name above ``SeriesRows/nameBytesMax``, before anything is added; or when the batch
    ///   has become too large for a run: let that error leave the closure of the add call.
    /// - Complexity: O(bytes of the name); no allocation once the scratch memory has grown.
    public mutating func add(
        _ name: borrowing CanonicalName, _ tsid: TSID, registration: TagRegistration, to writer: inout ItemWriter
    ) throws(StorageError) {
        let bytes = name.bytes
        try SeriesRows.checkLength(bytes.count)
        if case .day = registration {
        } else {
            let nameRow = try writer.reserve(SeriesRow.nameToTSIDLength(bytes.count))
            writer.commit(SeriesRow.storeNameToTSID(bytes, tsid, at: nameRow))
            let idRow = try writer.reserve(SeriesRow.idToNameLength(bytes.count))
            writer.commit(SeriesRow.storeIDToName(tsid.tenant, tsid.metricID, bytes, at: idRow))
            let tsidRow = try writer.reserve(SeriesRow.idToTSIDLength)
            writer.commit(SeriesRow.storeIDToTSID(tsid, at: tsidRow))
        }
        switch registration {
        case .global: break
        case .day(let date), .globalAndDay(let date):
            let row = try writer.reserve(SeriesRow.dateToIDLength)
            writer.commit(SeriesRow.storeDateToID(tsid.tenant, date: date, tsid.metricID, at: row))
        }
        try writer.addTagRows(tags(of: name), id: tsid.metricID, registration: registration)
    }

    /// The tags of a name in the form the shard takes them; valid until the next call and as long as the name is.
    private mutating func tags(of name: borrowing CanonicalName) -> SeriesTags {
        // A canonical name has at least its tenant.
        let base = name.bytes.baseAddress.unsafelyUnwrapped
        let count = name.tagCount
        if count > spanCapacity {
            spans.deallocate()
            spanCapacity = count * 2
            spans = .allocate(capacity: spanCapacity)
        }
        for index in 0..<count { spans[index] = SeriesRegistrar.span(name.tag(index), base) }
        prefix.removeAll()
        prefix.reserve(SeriesRow.compositePrefixLengthMax(name.escapedGroup.count))
        prefix.commit(SeriesRow.storeCompositePrefix(of: name, at: prefix.end))
        reverse.removeAll()
        let group = name.group
        if SeriesRow.hasDot(group) {
            reverse.reserve(SeriesRow.reverseGroupTagLengthMax(group.count))
            reverse.commit(SeriesRow.storeReverseGroupTag(group, at: reverse.end))
        }
        return SeriesTags(
            tenant: name.tenant.bits, base: base, group: SeriesRegistrar.span(name.escapedGroup, base),
            tags: UnsafeBufferPointer(start: spans, count: count), compositePrefix: prefix.bytes,
            reverseNameTag: reverse.bytes)
    }

    private static func span(_ bytes: UnsafeRawBufferPointer, _ base: UnsafeRawPointer) -> SeriesTags.Span {
        SeriesTags.Span(
            offset: UInt32(truncatingIfNeeded: (bytes.baseAddress ?? base) - base),
            length: UInt32(truncatingIfNeeded: bytes.count))
    }
}
