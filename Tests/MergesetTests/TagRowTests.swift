// TagRowTests.swift - the parser of tag rows and the escaping of tags.

import Foundation
import Mergeset
import StorageBytes
import StorageRuntime
import TestSupport
import Testing

@Suite struct TagRowTests {
    private struct Vectors: Decodable {
        struct Text: Decodable { var hex: String }
        struct Vector: Decodable {
            var name: String
            var hex: String
            var expectedNamespace: UInt8
            var error: String?
            var accountID: UInt32?
            var projectID: UInt32?
            var date: UInt64?
            var key: Text?
            var value: Text?
            var metricIDs: [String]?
        }
        var vectors: [Vector]
    }

    private func unescaped(_ bytes: UnsafeRawBufferPointer) throws -> [UInt8] {
        var buffer = RawBuffer(capacity: bytes.count)
        buffer.commit(try TagEscape.unescape(bytes, at: buffer.end))
        return buffer.array()
    }

    private func escaped(_ bytes: [UInt8]) -> [UInt8] {
        withExactCopy(bytes) { source in
            var buffer = RawBuffer(capacity: 2 * source.count + TagEscape.storeSlack)
            if let start = source.baseAddress {
                buffer.commit(TagEscape.store(start, source.count, readableTo: start + source.count, at: buffer.end))
            }
            return buffer.array()
        }
    }

    @Test func goldenRows() throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let data = try Data(contentsOf: folder.appendingPathComponent("Golden/index/tag_row_parse.json"))
        let vectors = try JSONDecoder().decode(Vectors.self, from: data).vectors
        #expect(vectors.count == 11)
        for vector in vectors {
            let bytes = try #require(Hex.decode(vector.hex))
            if vector.error != nil {
                #expect(throws: DecodeError.self, "\(vector.name)") {
                    try withExactCopy(bytes) { _ = try TagRow($0, kind: vector.expectedNamespace) }
                }
                continue
            }
            try withExactCopy(bytes) { bytes in
                let row = try TagRow(bytes, kind: vector.expectedNamespace)
                #expect(row.kind == vector.expectedNamespace, "\(vector.name)")
                #expect(row.accountID == vector.accountID, "\(vector.name)")
                #expect(row.projectID == vector.projectID, "\(vector.name)")
                #expect(row.date == vector.date, "\(vector.name)")
                #expect(Hex.encode(try unescaped(row.escapedKey)) == vector.key?.hex, "\(vector.name)")
                #expect(Hex.encode(try unescaped(row.escapedValue)) == vector.value?.hex, "\(vector.name)")
                #expect((0..<row.idCount).map { String(row.id($0)) } == vector.metricIDs, "\(vector.name)")
                #expect(row.prefixLength == bytes.count - 8 * row.idCount, "\(vector.name)")
                #expect(row.prefix.count == row.prefixLength, "\(vector.name)")
            }
        }
    }

    @Test func errorsNameTheirReason() {
        func failure(_ bytes: [UInt8], kind: UInt8 = 1) -> DecodeError? {
            withExactCopy(bytes) { bytes in
                do throws(DecodeError) {
                    _ = try TagRow(bytes, kind: kind)
                    return nil
                } catch { return error }
            }
        }
        let head: [UInt8] = [1, 0, 0, 0, 0, 0, 0, 0, 0]
        let id: [UInt8] = [1, 1, 1, 1, 1, 1, 1, 1]
        #expect(failure([]) == .truncated)
        #expect(failure([2]) == .unknownValue)
        #expect(failure(head, kind: 6) == .unknownValue)
        #expect(failure([1, 0]) == .truncated)
        #expect(failure(head) == .missingTerminator)
        #expect(failure(head + [97]) == .missingTerminator)
        #expect(failure(head + [97, 1, 98]) == .missingTerminator)
        #expect(failure(head + [97, 1, 98, 1]) == .truncated)
        #expect(failure(head + [97, 1, 98, 1] + id) == nil)
        #expect(failure(head + [97, 1, 98, 1] + id.dropLast()) == .trailingBytes)
        #expect(failure(head + [0, 0x33, 1, 98, 1] + id) == .badEscape)
        #expect(failure(head + [97, 0, 1, 98, 1] + id) == .badEscape)
        #expect(failure(head + [97, 1, 0]) == .badEscape)
        #expect(failure(head + [2, 1, 2, 1] + id) == nil)
        _ = withExactCopy([9, 1]) { bytes in
            #expect(throws: DecodeError.unknownValue) { _ = try TagRow(bytes) }
        }
    }

    /// The parser by the words of the format, byte by byte: offset of the key's terminator, and the prefix length.
    private func model(_ row: [UInt8]) -> (Int, Int)? {
        guard let kind = row.first, kind == 1 || kind == 6 else { return nil }
        var index = kind == 1 ? 9 : 17
        guard row.count >= index else { return nil }
        var ends = [Int]()
        while ends.count < 2 {
            guard index < row.count else { return nil }
            if row[index] == 1 {
                ends.append(index)
            } else if row[index] == 0 {
                index += 1
                guard index < row.count, (0x30...0x32).contains(row[index]) else { return nil }
            }
            index += 1
        }
        guard row.count > index, (row.count - index) % 8 == 0 else { return nil }
        return (ends[0], index)
    }

    private func checkAgainstModel(_ row: [UInt8], _ note: String) {
        withExactCopy(row) { bytes in
            let parsed = try? TagRow(bytes)
            let expected = model(row)
            #expect(parsed?.keyEnd == expected?.0, "\(row) \(note)")
            #expect(parsed?.prefixLength == expected?.1, "\(row) \(note)")
            if let parsed { #expect(parsed.idCount == (row.count - parsed.prefixLength) / 8, "\(note)") }
        }
    }

    @Test func allSmallTags() {
        let alphabet: [UInt8] = [0, 1, 2, 3, 0x30, 0x61]
        let head: [UInt8] = [1, 0, 0, 0, 0, 0, 0, 0, 0]
        var tags: [[UInt8]] = [[]]
        var last = tags
        for _ in 0..<5 {
            last = last.flatMap { tag in alphabet.map { tag + [$0] } }
            tags += last
        }
        for tag in tags {
            checkAgainstModel(head + tag, "")
            checkAgainstModel(head + tag + [1, 0x61, 1, 0, 0, 0, 0, 0, 0, 0, 9], "")
        }
    }

    @Test(arguments: [1, 2, 3] as [UInt64]) func randomRows(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        for round in 0..<6_000 {
            let kind: UInt8 = random.below(2) == 0 ? 1 : 6
            var row: [UInt8] = [kind] + (0..<(kind == 1 ? 8 : 16)).map { _ in UInt8(random.below(3)) }
            for _ in 0..<2 {
                for _ in 0..<random.below(30) {
                    let byte = random.below(20) == 0 ? UInt8(random.below(3)) : UInt8(truncatingIfNeeded: random.next())
                    row += byte <= 2 ? [0, byte + 0x30] : [byte]
                }
                row.append(1)
            }
            row += (0..<(8 * random.below(9))).map { _ in UInt8(random.below(4)) }
            checkAgainstModel(row, "seed \(seed), round \(round)")
            // Broken in one place, then cut.
            row[random.below(row.count)] = UInt8(random.below(4))
            checkAgainstModel(row, "seed \(seed), round \(round)")
            checkAgainstModel(Array(row.prefix(random.below(row.count + 1))), "seed \(seed), round \(round)")
        }
    }

    @Test(arguments: [5, 6] as [UInt64]) func escapingIsUndone(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        for round in 0..<5_000 {
            let bytes = (0..<random.below(70)).map { _ in
                random.below(16) == 0 ? UInt8(random.below(4)) : UInt8(truncatingIfNeeded: random.next())
            }
            let expected = bytes.flatMap { $0 <= 2 ? [0, $0 + 0x30] : [$0] }
            let result = escaped(bytes)
            #expect(result == expected, "seed \(seed), round \(round)")
            #expect(bytes.withUnsafeBytes { TagEscape.length($0) } == expected.count)
            #expect(try withExactCopy(result) { try unescaped($0) } == bytes, "seed \(seed), round \(round)")
            let end = withExactCopy(result + [1]) { field -> Int? in
                guard let start = field.baseAddress else { return nil }
                return (try? TagEscape.fieldEnd(from: start, to: start + field.count)).map { $0 - start }
            }
            #expect(end == result.count, "seed \(seed), round \(round)")
        }
    }

    @Test func brokenEscapesAreRefused() {
        for bytes in [[0], [0x61, 0], [0, 0x33], [0, 0x2F], [0, 0], [0, 1]] as [[UInt8]] {
            #expect(throws: DecodeError.badEscape) { _ = try withExactCopy(bytes) { try unescaped($0) } }
        }
    }
}
