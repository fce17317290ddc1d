// PartMetadataTests.swift - names of parts, metadata.json, and the JSON reader under it.

import StorageBytes
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import Mergeset

@Suite struct PartMetadataTests {
    private static func parse(_ text: String, name: String) throws -> PartMetadata {
        try PartMetadata.parse(Array(text.utf8), name: PartName(path: "/t/" + name), path: "/t/\(name)/metadata.json")
    }

    @Test func goldenTextsAreWrittenAndReadBack() throws {
        let cases = try Golden.json("mergeset/part_header.json")["good"].array
        #expect(!cases.isEmpty)
        for golden in cases {
            let metadata = PartMetadata(
                itemsCount: try golden["items_count"].uint64, blocksCount: try golden["blocks_count"].uint64,
                firstItem: try golden["first_item"].bytes, lastItem: try golden["last_item"].bytes)
            #expect(metadata.text == (try golden["metadata_json"].string))
            let suffix = try #require(UInt64(try golden["suffix"].string, radix: 16))
            let name = metadata.partName(suffix: suffix)
            #expect(name == (try golden["dir_name"].string))
            #expect(try Self.parse(metadata.text, name: name) == metadata)
        }
    }

    @Test func goldenNamesAndTextsAreAcceptedAndRefused() throws {
        let cases = try Golden.json("mergeset/part_header.json")["parse"].array
        #expect(cases.count > 20)
        for golden in cases {
            let description = try golden["description"].string
            let name = try golden["dir_name"].string
            let text = try golden["metadata_json"].string
            // Stricter than the reference, as the specification asks (section 20, 4).
            let isStricter = description.hasPrefix("BlocksCount in metadata differs from the name")
            guard golden["parsed"].isPresent, !isStricter else {
                #expect(throws: StorageError.self, "\(description)") { try Self.parse(text, name: name) }
                continue
            }
            let parsed = golden["parsed"]
            let expected = PartMetadata(
                itemsCount: try parsed["items_count"].uint64, blocksCount: try parsed["blocks_count"].uint64,
                firstItem: try parsed["first_item"].bytes, lastItem: try parsed["last_item"].bytes)
            #expect(try Self.parse(text, name: name) == expected, "\(description)")
        }
    }

    @Test func metadataOfGoldenPartsIsReadAndWrittenAlike() throws {
        let files = RealFileSystem()
        for table in ["arbitrary", "index", "pending_txn"] {
            let directory = Golden.path("mergeset/tables/" + table)
            let names = try files.list(directory).filter { $0.kind == .directory }.map(\.name)
            for name in names
            where name != PartTransaction.directoryName && name != PartTransaction.temporaryDirectoryName {
                let part = Paths.join(directory, name)
                let metadata = try PartMetadata.read(directory: part, on: files)
                let stored = try files.readAll(Paths.join(part, "metadata.json"), limitBytes: 1 << 20).array()
                #expect(Array(metadata.text.utf8) == stored)
                let suffix = try #require(UInt64(try PartName(path: part).suffix, radix: 16))
                #expect(metadata.partName(suffix: suffix) == name)
            }
        }
    }

    @Test func longestItemsFit() throws {
        let files = SimulatedFileSystem()
        let item = [UInt8](repeating: 0xFF, count: Limits.itemBytesMax)
        let metadata = PartMetadata(itemsCount: .max, blocksCount: .max, firstItem: item, lastItem: item)
        let directory = "/t/" + metadata.partName(suffix: .max)
        try files.makeDirectory(directory, parents: true)
        try metadata.write(into: directory, on: files)
        #expect(try PartMetadata.read(directory: directory, on: files) == metadata)
        #expect(throws: StorageError.self) { try metadata.write(into: directory, on: files) }  // never overwritten
    }

    @Test func impossibleBoundsAreRefused() throws {
        let long = String(repeating: "ab", count: Limits.itemBytesMax + 1)
        for bounds in [("62", "61"), ("61", ""), ("", long)] {
            let text = #"{"ItemsCount":3,"BlocksCount":2,"FirstItem":"\#(bounds.0)","LastItem":"\#(bounds.1)"}"#
            let error = #expect(throws: StorageError.self) { try Self.parse(text, name: "3_2_1") }
            #expect(error?.kind == .corrupted)
            #expect(error?.path == "/t/3_2_1/metadata.json")
        }
    }

    @Test func lastKeyWinsAndNullCountsChangeNothing() throws {
        let text =
            #"{"ItemsCount":1,"itemscount":3,"ITEMSCOUNT":null,"BlocksCount":2,"#
            + #""FirstItem":"ff","firstitem":"61","LastItem":"\u0036\u0032"}"#
        let expected = PartMetadata(itemsCount: 3, blocksCount: 2, firstItem: [0x61], lastItem: [0x62])
        #expect(try Self.parse(text, name: "3_2_1") == expected)
    }

    @Test func errorsNameThePlace() throws {
        let error = #expect(throws: StorageError.self) {
            try Self.parse(#"{"ItemsCount": 3, "BlocksCount": x}"#, name: "3_2_1")
        }
        #expect(error?.kind == .corrupted)
        #expect(error?.offset == 33)
        let files = SimulatedFileSystem()
        try files.makeDirectory("/t/3_2_1", parents: true)
        let missing = #expect(throws: StorageError.self) { try PartMetadata.read(directory: "/t/3_2_1", on: files) }
        #expect(missing?.kind == .corrupted)
        #expect(missing?.path == "/t/3_2_1/metadata.json")
        let big = [UInt8](repeating: UInt8(ascii: " "), count: PartMetadata.fileBytesMax + 1)
        try files.writeAtomically(big, to: "/t/3_2_1/metadata.json")
        let tooBig = #expect(throws: StorageError.self) { try PartMetadata.read(directory: "/t/3_2_1", on: files) }
        #expect(tooBig?.kind == .corrupted)
    }

    @Test(arguments: TestSeeds.thisRun) func damagedTextsNeverTrap(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let good = Array(
            #"{"ItemsCount":10,"X":[1.5e3,{"a":null}],"BlocksCount":2,"FirstItem":"61","LastItem":"\u00362"}"#.utf8)
        let alphabet = Array("{}[]\",:\\u0019eE+-.ntfal \u{1}\u{ff}".utf8)
        for _ in 0..<3000 {
            var text = good
            for _ in 0...random.below(4) {
                switch random.below(4) {
                case 0: text.remove(at: random.below(text.count))
                case 1: text.insert(alphabet[random.below(alphabet.count)], at: random.below(text.count + 1))
                case 2: text[random.below(text.count)] = alphabet[random.below(alphabet.count)]
                default: text.removeLast(random.below(4))
                }
            }
            do throws(StorageError) {
                let parsed = try PartMetadata.parse(text, name: PartName(path: "10_2_1"), path: "p")
                #expect(parsed.itemsCount == 10)
            } catch {
                #expect(error.kind == .corrupted)
                #expect(error.offset.map { 0...text.count ~= $0 } ?? true)
            }
        }
    }
}

@Suite struct JSONReaderTests {
    private static func accepts(_ bytes: [UInt8]) -> Bool {
        var reader = JSONReader(bytes)
        do throws(JSONError) {
            try reader.skipValue()
            try reader.end()
            return true
        } catch {
            return false
        }
    }

    private static func string(_ text: String) throws -> String {
        var reader = JSONReader(Array(text.utf8))
        let value = try reader.string()
        try reader.end()
        return value
    }

    @Test func grammar() {
        for text in [
            "0", "-0", "10", "-1.5", "1e5", "1E+5", "0.0e-0", "true", "false", "null", " \t\r\n{} ", "[]", "[ ]",
            "[1, 2 ,3]",
            #"{"a":1}"#, #"{ "a" : [ {} , [] ] , "a" : "b" }"#, #""""#, #""\"\\\/\b\f\n\r\t\u00e9""#,
        ] { #expect(Self.accepts(Array(text.utf8)), "\(text)") }
        for text in [
            "", " ", "00", "01", "+1", "-", ".5", "1.", "1e", "1e+", "0x1", "tru", "truex", "nul", "NaN", "{", "}", "[",
            "]",
            "[1,]", "[,1]", "[1 2]", #"{"a"}"#, #"{"a":}"#, #"{"a":1,}"#, #"{,}"#, #"{a:1}"#, #"{"a" 1}"#,
            #"{"a":1 "b":2}"#, "[}",
            "{]", #"""#, #""\""#, #""\x""#, #""\u12""#, #""\u12g4""#, "\"\n\"", "1 2", "{} x", "'a'", "\u{feff}{}",
        ] { #expect(!Self.accepts(Array(text.utf8)), "\(text)") }
    }

    @Test func strings() throws {
        #expect(try Self.string(#" "a\u0041\"\\\/\b\f\n\r\té" "#) == "aA\"\\/\u{8}\u{c}\n\r\té")
        #expect(try Self.string(#""\ud83d\ude00\uD83D\uDE00""#) == "😀😀")
        #expect(
            try Self.string(#""\ud83dx\ude00\ud83d\u0041\ud83d\ud83d\ude00\ud83d""#)
                == "\u{FFFD}x\u{FFFD}\u{FFFD}A\u{FFFD}😀\u{FFFD}")
        var reader = JSONReader([0x22, 0xFF, 0x41, 0x22])
        #expect(try reader.string() == "\u{FFFD}A")
    }

    @Test func unsignedNumbers() throws {
        for (text, value) in [("0", 0), ("7", 7), ("18446744073709551615", UInt64.max)] {
            var reader = JSONReader(Array(text.utf8))
            #expect(try reader.unsigned() == value)
        }
        for text in ["18446744073709551616", "99999999999999999999999", "-1", "-0", "1.0", "1e1", "\"1\"", "", "true"] {
            var reader = JSONReader(Array(text.utf8))
            #expect(throws: JSONError.self, "\(text)") { try reader.unsigned() }
        }
    }

    @Test func nestingIsBounded() {
        let deepest = JSONReader.nestingMax
        func nested(_ depth: Int) -> [UInt8] {
            Array((String(repeating: "[", count: depth) + String(repeating: "]", count: depth)).utf8)
        }
        #expect(Self.accepts(nested(deepest)))
        #expect(!Self.accepts(nested(deepest + 1)))
        #expect(!Self.accepts([UInt8](repeating: UInt8(ascii: "["), count: 1_000_000)))
        // Many beside each other are not deep.
        #expect(Self.accepts(Array(("[" + String(repeating: "[],", count: 1000) + "{}]").utf8)))
    }
}
