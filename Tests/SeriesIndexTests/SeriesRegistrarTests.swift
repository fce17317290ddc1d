// Registrations with gathered tag rows hold exactly the pairs of tag and id that the plain rows hold; a batch that is taken
// back leaves nothing.

import Mergeset
import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import SeriesIndex

@Suite struct SeriesRegistrarTests {
    private func rawName(_ random: inout SplitMix64) -> [UInt8] {
        var raw: [UInt8] = [0, 0, 0, UInt8(random.below(2)), 0, 0, 0, UInt8(random.below(2))]
        func label(_ key: [UInt8], _ value: [UInt8]) {
            raw += [UInt8(key.count >> 8), UInt8(key.count & 255)] + key
            raw += [UInt8(value.count >> 8), UInt8(value.count & 255)] + value
        }
        let groups: [[UInt8]] = [
            Array("up".utf8), Array("a.b".utf8), [], [0, 1, 2], [UInt8](repeating: 65, count: 130),
        ]
        // Half of the names have no byte that is escaped.
        let low = 3 * random.below(2)
        label([], groups[low == 0 ? random.below(groups.count) : random.below(3)])
        let labels = random.below(30) == 0 ? 70 + random.below(60) : random.below(6)
        for number in 0..<labels {
            if number > 5 { label(Array("key-\(number)".utf8), [UInt8(low + random.below(9))]) }
            // Among them keys that look like composite and reversed ones.
            let keys: [[UInt8]] = [
                Array("job".utf8), Array("x".utf8), [0xFE, 2, 117, 112], [0xFF], [1, 0], Array("zone".utf8),
            ]
            let key = keys[low == 0 ? random.below(keys.count) : random.below(4)]
            label(key, (0..<random.below(4)).map { _ in UInt8(low + random.below(5)) })
        }
        return raw
    }

    /// How tag rows are kept until the run is sealed, and what the registrar is given.
    struct Variant: CustomTestStringConvertible, Sendable {
        var gathers: Bool
        var isCanonical: Bool

        var testDescription: String { (gathers ? "gathered" : "single") + (isCanonical ? ", canonical" : ", by name") }

        static let all = [
            Variant(gathers: true, isCanonical: false), Variant(gathers: true, isCanonical: true),
            Variant(gathers: false, isCanonical: false), Variant(gathers: false, isCanonical: true),
        ]
    }

    @Test(arguments: TestSeeds.thisRun, Variant.all)
    func gatheredRowsHoldWhatPlainRowsHold(seed: UInt64, variant: Variant) throws {
        var random = SplitMix64(seed: seed)
        var options = TableOptions()
        options.shardCount = 2
        options.runBytesMax = 20_000
        options.memoryBytesMax = 100_000
        options.gathersTagRows = variant.gathers
        options.tagRowMerging = .streaming
        let table = try Table.open(
            "/table", options: options, files: SimulatedFileSystem(), environment: .deterministic(seed: seed))
        var plain = ItemList()
        var registrar = SeriesRegistrar()
        var name = CanonicalName()
        var id: UInt64 = 1_000
        for batch in 0..<30 {
            let isTakenBack = random.below(4) == 0
            let raws = (0..<(1 + random.below(40))).map { _ in rawName(&random) }
            let days = (0..<raws.count).map { _ in UInt64(19_000 + random.below(random.below(4) == 0 ? 40 : 2)) }
            let kinds = (0..<raws.count).map { _ in random.below(3) }
            do {
                try table.add(hint: batch) { (writer: inout ItemWriter) throws(StorageError) in
                    for (number, raw) in raws.enumerated() {
                        try raw.withUnsafeBufferPointer { bytes throws(StorageError) in
                            do { try name.canonicalize(raw: UnsafeRawBufferPointer(bytes)) } catch {
                                throw StorageError(.invalidArgument, "\(error)")
                            }
                            let tsid = TSID(of: name, metricID: id + UInt64(number))
                            let day = days[number]
                            let registration: TagRegistration =
                                kinds[number] == 0 ? .global : kinds[number] == 1 ? .day(day) : .globalAndDay(day)
                            if variant.isCanonical {
                                // Bytes that nobody else needs, with the slack that is promised.
                                let copy = RawBuffer(copying: name.bytes)
                                if number % 2 == 0 {
                                    try registrar.add(
                                        canonical: copy.bytes, tsid, registration: registration, to: &writer)
                                } else {
                                    let made = try registrar.addNew(
                                        canonical: copy.bytes, metricID: tsid.metricID, registration: registration,
                                        to: &writer)
                                    #expect(made == tsid)
                                }
                            } else {
                                try registrar.add(name, tsid, registration: registration, to: &writer)
                            }
                            guard !isTakenBack else { return }
                            if kinds[number] != 1 { try SeriesRows.appendGlobal(name, tsid, to: &plain) }
                            if kinds[number] != 0 {
                                try SeriesRows.appendPerDay(name, date: day, metricID: tsid.metricID, to: &plain)
                            }
                        }
                    }
                    if isTakenBack { throw StorageError(.invalidArgument, "taken back") }
                }
                #expect(!isTakenBack)
            } catch {
                #expect(isTakenBack, "\(error)")
            }
            id += UInt64(raws.count)
        }
        let expected = plain.arrays
        let wanted = try normalised(expected)
        for scope in [SearchScope.everything, .durable] {
            if scope == .durable { try table.mergeAll() }
            #expect(try normalised(table.items(scope)) == wanted, "\(scope)")
        }
        let metrics = table.metrics
        #expect(metrics.normalisedItemsAdded == UInt64(expected.count))
        #expect(metrics.normalisedBytesAdded == UInt64(expected.reduce(0) { $0 + $1.count }))
        try table.close()
    }
}
