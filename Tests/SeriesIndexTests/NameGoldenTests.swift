// NameGoldenTests.swift - names, TSIDs and dates against what the reference made.

import SeriesIndex
import StorageBytes
import StorageRuntime
import TestSupport
import Testing

@Suite struct NameGoldenTests {
    @Test func rawNamesAreWrittenAsTheInsertNodeDoes() throws {
        for vector in try Golden.list("metric_name_raw_encode") {
            var writer = RawMetricNameWriter(
                labelsMax: try vector.number("maxLabelsPerTimeseries"),
                valueBytesMax: try vector.number("maxLabelValueLen"))
            var raw = RawBuffer()
            writer.begin(try vector.tenant, in: &raw)
            for label in try vector.list("labels") {
                let value = try label.bytes("value")
                try label.bytes("name").withUnsafeBytes { key in
                    value.withUnsafeBytes { writer.add(key: key, value: $0, to: &raw) }
                }
            }
            #expect(raw.array() == (try vector.hex("rawHex")), "\(vector.name)")
            var expected = RawMetricNameWriter.Counters()
            expected.droppedLabels = UInt64(try vector.number("metricsWithDroppedLabelsDelta"))
            expected.tooLongLabelNames = UInt64(try vector.number("tooLongLabelNamesDelta"))
            expected.tooLongLabelValues = UInt64(try vector.number("tooLongLabelValuesDelta"))
            #expect(writer.counters == expected, "\(vector.name)")
        }
    }

    @Test func rawNamesBecomeFieldsAndCanonicalNames() throws {
        var name = CanonicalName()
        for vector in try Golden.list("metric_name_raw_decode") {
            let raw = try vector.hex("rawHex")
            if vector.isError {
                #expect(throws: DecodeError.truncated, "\(vector.name)") {
                    _ = try withExactCopy(raw) { try MetricName(raw: $0) }
                }
                #expect(throws: DecodeError.truncated, "\(vector.name)") {
                    try withExactCopy(raw) { try name.canonicalize(raw: $0) }
                }
                continue
            }
            let asRead = try withExactCopy(raw) { try MetricName(raw: $0) }
            #expect(asRead.tenant == (try vector.tenant), "\(vector.name)")
            #expect(asRead.group == (try vector.bytes("metricGroup")), "\(vector.name)")
            #expect(asRead.tags == (try vector.tags("tagsAsRead")), "\(vector.name)")
            #expect(asRead.sorted.tags == (try vector.tags("tagsCanonical")), "the model: \(vector.name)")

            let canonical = try vector.hex("canonicalHex")
            try withExactCopy(raw) { raw in
                try name.canonicalize(raw: raw)
                #expect([UInt8](name.bytes) == canonical, "\(vector.name)")
                #expect([UInt8](name.group) == asRead.group, "\(vector.name)")
                checkParts(name)
            }
            #expect(Array(canonical[8...]) == (try vector.hex("canonicalNoTenantHex")), "\(vector.name)")
            let fields = try withExactCopy(canonical) { try MetricName(canonical: $0) }
            #expect(fields.tags == (try vector.tags("tagsCanonical")), "\(vector.name)")
            #expect(fields.description == (try vector.text("string")), "\(vector.name)")
        }
    }

    @Test func canonicalNamesBecomeFields() throws {
        var name = CanonicalName()
        for vector in try Golden.list("metric_name_canonical_decode") {
            let bytes = try vector.hex("hex")
            if vector.isError {
                #expect(throws: DecodeError.self, "\(vector.name)") {
                    _ = try withExactCopy(bytes) { try MetricName(canonical: $0) }
                }
                #expect(throws: DecodeError.self, "\(vector.name)") {
                    try withExactCopy(bytes) { try name.load(canonical: $0) }
                }
                continue
            }
            let fields = try withExactCopy(bytes) { try MetricName(canonical: $0) }
            #expect(fields.tenant == (try vector.tenant), "\(vector.name)")
            #expect(fields.group == (try vector.bytes("metricGroup")), "\(vector.name)")
            #expect(fields.tags == (try vector.tags("tags")), "\(vector.name)")
            #expect(fields.canonical == (try vector.hex("remarshaledHex")), "\(vector.name)")
            try withExactCopy(bytes) { try name.load(canonical: $0) }
            #expect([UInt8](name.bytes) == (try vector.hex("remarshaledHex")), "\(vector.name)")
            checkParts(name)
        }
    }

    @Test func seriesIdsAreDerivedStoredAndOrdered() throws {
        var name = CanonicalName()
        for vector in try Golden.list("tsid") {
            let canonical = try vector.hex("canonicalHex")
            try withExactCopy(canonical) { try name.load(canonical: $0) }
            let tsid = TSID(of: name, metricID: try vector.decimal("metricID"))
            #expect(tsid.tenant == (try vector.tenant), "\(vector.name)")
            #expect(tsid.metricGroupID == (try vector.hexNumber("metricGroupID")), "\(vector.name)")
            #expect(UInt64(tsid.jobID) == (try vector.hexNumber("jobID")), "\(vector.name)")
            #expect(UInt64(tsid.instanceID) == (try vector.hexNumber("instanceID")), "\(vector.name)")
            #expect(stored(tsid) == (try vector.hex("tsidHex")), "\(vector.name)")
            #expect(try vector.hex("tsidHex").withUnsafeBytes { try TSID($0) } == tsid, "\(vector.name)")
            let text = try withExactCopy(canonical) { try MetricName(canonical: $0) }.description
            #expect(text == (try vector.text("string")), "\(vector.name)")
        }
        let ordered = try Vector(fields: Golden.load("tsid")).hexList("ordered")
        let ids = try ordered.map { try $0.withUnsafeBytes { bytes in try TSID(bytes) } }
        for (index, pair) in zip(ids, ids.dropFirst()).enumerated() {
            #expect(pair.0 < pair.1, "\(index)")
            #expect(!(pair.1 < pair.0), "\(index)")
        }
        #expect(ids.reversed().sorted() == ids)
        for count in 0..<TSID.storedBytes {
            #expect(throws: DecodeError.truncated) {
                _ = try withExactCopy([UInt8](repeating: 1, count: count)) { try TSID($0) }
            }
        }
    }

    @Test func hashesAreThoseOfTheFormat() throws {
        for vector in try Golden.list("tsid", "xxhash64") {
            let hash = try vector.bytes("input").withUnsafeBytes { Hash.xxh64($0) }
            #expect(hash == (try vector.hexNumber("xxhash64")))
        }
    }

    @Test func dayShareIsThatOfTheReference() throws {
        for vector in try Golden.list("misc", "nextDayPrefill") {
            let second = UInt64(try vector.number("secondOfDay"))
            #expect(DateMath.dayShare(nowSeconds: second + 86_400 * 18_962) == UInt64(try vector.number("share16bit")))
        }
    }

    @Test func datesAreCountedInUnsignedMilliseconds() {
        #expect(DateMath.date(timestampMs: 0) == 0)
        #expect(DateMath.date(timestampMs: 86_399_999) == 0)
        #expect(DateMath.date(timestampMs: 86_400_000) == 1)
        #expect(DateMath.date(timestampMs: 1_638_316_800_000) == 18_962)
        #expect(DateMath.hour(timestampMs: 3_600_000) == 1)
        #expect(DateMath.date(timestampMs: -1) == UInt64.max / 86_400_000)
        #expect(DateMath.date(hour: 47) == 1)
        #expect(DateMath.startMs(date: 18_962) == 1_638_316_800_000)
    }
}

/// The stored bytes of a TSID.
func stored(_ tsid: TSID) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: TSID.storedBytes) { bytes, count in
        tsid.store(at: UnsafeMutableRawPointer(bytes.baseAddress.unsafelyUnwrapped))
        count = TSID.storedBytes
    }
}

/// Checks that the parts of a workspace agree with its bytes. The source of the name is alive.
func checkParts(_ name: borrowing CanonicalName, _ location: SourceLocation = #_sourceLocation) {
    let bytes = [UInt8](name.bytes)
    #expect(name.count == bytes.count, sourceLocation: location)
    guard let fields = try? bytes.withUnsafeBytes({ try MetricName(canonical: $0) }) else {
        Issue.record("the canonical bytes do not decode", sourceLocation: location)
        return
    }
    #expect(fields.tenant == name.tenant, sourceLocation: location)
    #expect(fields.group == [UInt8](name.group), sourceLocation: location)
    #expect(fields.tags.count == name.tagCount, sourceLocation: location)
    var whole = Array(bytes[..<8]) + [UInt8](name.escapedGroup)
    for (index, tag) in fields.tags.enumerated() {
        let stored = [UInt8](name.tag(index))
        whole += stored
        #expect(tag.key == [UInt8](name.key(index)), sourceLocation: location)
        #expect(tag.value == [UInt8](name.value(index)), sourceLocation: location)
        #expect(stored.firstIndex(of: 1) == name.keyLength(index), sourceLocation: location)
    }
    #expect(whole == bytes, sourceLocation: location)
}
