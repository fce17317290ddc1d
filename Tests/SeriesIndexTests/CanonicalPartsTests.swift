// CanonicalPartsTests.swift - the parts of a canonical name found in one pass are those that CanonicalName knows.

import Mergeset
import StorageBytes
import StorageRuntime
import TestSupport
import Testing

@testable import SeriesIndex

@Suite struct CanonicalPartsTests {
    /// Compares with the workspace that holds the name.
    private func check(
        _ parts: inout CanonicalParts, _ name: borrowing CanonicalName, _ context: @autoclosure () -> String
    ) {
        let bytes = [UInt8](name.bytes)
        let hasEscapes = bytes.dropFirst(8).contains(0)
        withExactCopy(bytes) { copy in
            let isFound = parts.find(copy)
            #expect(isFound != hasEscapes, "\(context())")
            guard isFound else { return }
            var isRight = parts.tenant == name.tenant && [UInt8](parts.group) == [UInt8](name.group)
            isRight = isRight && parts.tagCount == name.tagCount
            guard isRight else {
                Issue.record("\(context())")
                return
            }
            for index in 0..<parts.tagCount {
                let span = parts.spans[index]
                let tag = bytes[Int(span.offset)..<Int(span.offset + span.length)]
                isRight = isRight && tag.elementsEqual(name.tag(index))
                isRight = isRight && parts.value(index).elementsEqual(name.value(index))
            }
            isRight = isRight && TSID(of: parts, metricID: 9) == TSID(of: name, metricID: 9)
            #expect(isRight, "\(context())")
        }
    }

    @Test(arguments: TestSeeds.thisRun) func randomNames(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        var parts = CanonicalParts()
        var name = CanonicalName()
        for round in 0..<1500 {
            let hasEscapes = random.below(4) == 0
            func bytes(_ countMax: Int) -> [UInt8] {
                var bytes: [UInt8] = []
                for _ in 0..<random.below(countMax + 1) {
                    let isEscaped = hasEscapes && random.below(40) == 0
                    bytes.append(isEscaped ? UInt8(random.below(3)) : UInt8(3 + random.below(253)))
                }
                return bytes
            }
            let tagCount = [random.below(4), random.below(20), 60 + random.below(10), 120 + random.below(200)][
                random.below(20) / 6]
            var tags: [MetricName.Tag] = []
            for number in 0..<tagCount {
                let ending = [UInt8(97 + number % 26), UInt8(97 + number / 26)]
                tags.append(.init(key: bytes(12) + ending, value: bytes(40)))
            }
            let fields = MetricName(tenant: Tenant(bits: random.next()), group: bytes(50), tags: tags)
            try withExactCopy(fields.raw) { raw in
                try name.canonicalize(raw: raw)
                check(&parts, name, "round \(round), \(tagCount) tags")
            }
        }
    }

    /// Terminators and escapes at every place of the vector steps.
    @Test func everyLength() throws {
        var parts = CanonicalParts()
        var name = CanonicalName()
        for groupCount in 0..<40 {
            for valueCount in 0..<40 {
                for escapeAt in [-1, 0, 7, 15, 16, 17, 31] where escapeAt < valueCount {
                    var value = [UInt8](repeating: 3, count: valueCount)
                    if escapeAt >= 0 { value[escapeAt] = UInt8(escapeAt % 3) }
                    let fields = MetricName(
                        tenant: Tenant(bits: 0), group: [UInt8](repeating: 255, count: groupCount),
                        tags: [.init(key: [107], value: value)])
                    try withExactCopy(fields.raw) { raw in
                        try name.canonicalize(raw: raw)
                        check(&parts, name, "\(groupCount), \(valueCount), \(escapeAt)")
                    }
                }
            }
        }
    }

    @Test func whatIsNoCanonicalNameIsRefused() {
        var parts = CanonicalParts()
        let tenant: [UInt8] = [0, 0, 0, 1, 0, 0, 0, 1]
        for bytes in [[], tenant, Array(tenant.dropLast())] { #expect(!withExactCopy(bytes) { parts.find($0) }) }
        for rest in ["a", "\u{1}b\u{1}", "a\u{1}b\u{1}c", "a\u{1}b", "a\u{1}b\u{1}c\u{1}d\u{1}"] {
            #expect(!withExactCopy(tenant + Array(rest.utf8)) { parts.find($0) }, "\(rest)")
        }
        for rest in ["\u{1}", "a\u{1}", "a\u{1}b\u{1}c\u{1}", "\u{1}b\u{1}\u{1}"] {
            #expect(withExactCopy(tenant + Array(rest.utf8)) { parts.find($0) }, "\(rest)")
        }
    }
}
