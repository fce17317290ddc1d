// SeriesRegistrar.swift - the rows of a new series, written in place into the run of a shard.
//
//   name -> TSID, id -> TSID, date -> id                  built where they stay; nothing is copied
//   id -> name                                            the id; the name is that of the row before
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
    private var parts = CanonicalParts()
    private let escaped = Escaped()

    /// Names with escapes; a class, so that it can be lent while the registrar is being changed.
    private final class Escaped: @unchecked Sendable {
        var name = CanonicalName()
    }

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
        try addPlainRows(name.bytes, tsid, registration, &writer)
        // A canonical name has at least its tenant.
        let base = name.bytes.baseAddress.unsafelyUnwrapped
        let count = name.tagCount
        if count > spanCapacity {
            spans.deallocate()
            spanCapacity = count * 2
            spans = .allocate(capacity: spanCapacity)
        }
        for index in 0..<count { spans[index] = SeriesRegistrar.span(name.tag(index), base) }
        let tags = tags(
            tenant: name.tenant, base: base, group: name.group, escapedGroup: name.escapedGroup,
            tags: UnsafeBufferPointer(start: spans, count: count))
        try writer.addTagRows(tags, id: tsid.metricID, registration: registration)
    }

    /// As ``add(_:_:registration:to:)``, from the bytes of a canonical name, whose raw name need not be there any more.
    ///
    /// - Parameter canonical: A canonical name with its tenant; ``RawBuffer/slack`` bytes behind it are readable.
    /// - Throws: Also `.corrupted` when `canonical` is not a canonical name.
    public mutating func add(
        canonical: UnsafeRawBufferPointer, _ tsid: TSID, registration: TagRegistration, to writer: inout ItemWriter
    ) throws(StorageError) {
        guard parts.find(canonical) else {
            try loadEscaped(canonical)
            let escaped = escaped
            return try add(escaped.name, tsid, registration: registration, to: &writer)
        }
        try addFound(canonical, tsid, registration, &writer)
    }

    /// Adds all rows of a new series and makes its TSID (docs/format/series-index.md, 3.2).
    ///
    /// - Parameters:
    ///   - canonical: As for ``add(canonical:_:registration:to:)``.
    ///   - metricID: The unique id that the series gets.
    /// - Returns: The TSID.
    public mutating func addNew(
        canonical: UnsafeRawBufferPointer, metricID: UInt64, registration: TagRegistration, to writer: inout ItemWriter
    ) throws(StorageError) -> TSID {
        if parts.find(canonical) {
            let tsid = TSID(of: parts, metricID: metricID)
            try addFound(canonical, tsid, registration, &writer)
            return tsid
        }
        try loadEscaped(canonical)
        let escaped = escaped
        let tsid = TSID(of: escaped.name, metricID: metricID)
        try add(escaped.name, tsid, registration: registration, to: &writer)
        return tsid
    }

    /// Adds the rows of the name whose parts were found last.
    private mutating func addFound(
        _ canonical: UnsafeRawBufferPointer, _ tsid: TSID, _ registration: TagRegistration, _ writer: inout ItemWriter
    ) throws(StorageError) {
        try addPlainRows(canonical, tsid, registration, &writer)
        let group = parts.group
        let tags = tags(
            tenant: parts.tenant, base: canonical.baseAddress.unsafelyUnwrapped, group: group,
            escapedGroup: UnsafeRawBufferPointer(start: group.baseAddress, count: group.count + 1),
            tags: UnsafeBufferPointer(start: parts.spans, count: parts.tagCount))
        try writer.addTagRows(tags, id: tsid.metricID, registration: registration)
    }

    private mutating func loadEscaped(_ canonical: UnsafeRawBufferPointer) throws(StorageError) {
        do { try escaped.name.load(canonical: canonical) } catch {
            throw StorageError(.corrupted, "a canonical metric name does not decode: \(error)")
        }
    }

    /// The rows that are not tag rows.
    private func addPlainRows(
        _ bytes: UnsafeRawBufferPointer, _ tsid: TSID, _ registration: TagRegistration, _ writer: inout ItemWriter
    ) throws(StorageError) {
        try SeriesRows.checkLength(bytes.count)
        if case .day = registration {
        } else {
            let nameRow = try writer.reserve(SeriesRow.nameToTSIDLength(bytes.count))
            writer.commit(SeriesRow.storeNameToTSID(bytes, tsid, at: nameRow))
            let idRow = try writer.reserve(SeriesRow.idToNameHeadLength)
            try writer.commit(
                SeriesRow.storeIDToNameHead(tsid.tenant, tsid.metricID, at: idRow),
                endingWith: SeriesRow.nameRange(bytes.count))
            let tsidRow = try writer.reserve(SeriesRow.idToTSIDLength)
            writer.commit(SeriesRow.storeIDToTSID(tsid, at: tsidRow))
        }
        switch registration {
        case .global: break
        case .day(let date), .globalAndDay(let date):
            let row = try writer.reserve(SeriesRow.dateToIDLength)
            writer.commit(SeriesRow.storeDateToID(tsid.tenant, date: date, tsid.metricID, at: row))
        }
    }

    /// The tags of a name in the form the shard takes them; valid until the next call and as long as the name is.
    private mutating func tags(
        tenant: Tenant, base: UnsafeRawPointer, group: UnsafeRawBufferPointer, escapedGroup: UnsafeRawBufferPointer,
        tags: UnsafeBufferPointer<SeriesTags.Span>
    ) -> SeriesTags {
        let groupBytes = UnsafeRawBufferPointer(start: escapedGroup.baseAddress, count: escapedGroup.count - 1)
        prefix.removeAll()
        prefix.reserve(SeriesRow.compositePrefixLengthMax(groupBytes.count))
        prefix.commit(
            SeriesRow.storeCompositePrefix(groupCount: group.count, escapedGroup: groupBytes, at: prefix.end))
        reverse.removeAll()
        if SeriesRow.hasDot(group) {
            reverse.reserve(SeriesRow.reverseGroupTagLengthMax(group.count))
            reverse.commit(SeriesRow.storeReverseGroupTag(group, at: reverse.end))
        }
        return SeriesTags(
            tenant: tenant.bits, base: base, group: SeriesRegistrar.span(escapedGroup, base), tags: tags,
            compositePrefix: prefix.bytes, reverseNameTag: reverse.bytes)
    }

    private static func span(_ bytes: UnsafeRawBufferPointer, _ base: UnsafeRawPointer) -> SeriesTags.Span {
        SeriesTags.Span(
            offset: UInt32(truncatingIfNeeded: (bytes.baseAddress ?? base) - base),
            length: UInt32(truncatingIfNeeded: bytes.count))
    }
}
