// TestSupportTests.swift - the helpers of the tests, checked before anything is built on them.

import Foundation
import StorageBytes
import TestSupport
import Testing

@Suite struct TestSupportTests {
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
    ])
    func sha256OfPublishedVectors(text: String, expected: String) {
        #expect(SHA256.hex([UInt8](text: text)) == expected)
    }

    @Test func sha256OfAMillionLetters() {
        let expected = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        var hash = SHA256()
        let piece = [UInt8](repeating: UInt8(ascii: "a"), count: 1000)
        for _ in 0..<1000 { piece.withUnsafeBytes { hash.update($0) } }
        #expect(hash.hex == expected)
    }

    @Test func sha256DoesNotDependOnThePieces() {
        for count in 0...200 {
            let bytes = SplitMixBytes.first(count, seed: UInt64(count))
            for cut in [0, 1, 55, 63, 64, 65, 128] where cut <= count {
                var hash = SHA256()
                bytes[..<cut].withUnsafeBytes { hash.update($0) }
                bytes[cut...].withUnsafeBytes { hash.update($0) }
                #expect(hash.hex == SHA256.hex(bytes), "\(count) bytes cut at \(cut)")
            }
        }
    }

    @Test func arbitraryItemsHaveTheHashOfTheGoldenTable() throws {
        let expected = try Golden.json("mergeset/tables/arbitrary.expected.json")["items"]
        let items = ArbitraryItems.sorted()
        #expect(try items.count == expected["Count"].int)
        #expect(try itemsHash(items) == expected["Sha256"].string)
    }

    @Test func generatedItemsHaveTheHashesOfTheGoldenBlocks() throws {
        let blocks = try Golden.json("mergeset/blocks.json")["blocks"].array
        #expect(!blocks.isEmpty)
        for block in blocks {
            let items = try Golden.items(block["items"]).sorted(by: isSmaller)
            #expect(try itemsHash(items) == block["sorted_items_sha256"].string, "\(block.path)")
        }
    }

    @Test func jsonNamesThePlaceOfAMistake() throws {
        let text = #"{"a": [1, "18446744073709551615", {"b": "0aFF"}, true, null, 1.5]}"#
        let json = try JSON(parsing: Data(text.utf8), path: "x.json")
        #expect(try json["a"][0].int == 1)
        #expect(try json["a"][1].uint64 == .max)
        #expect(try json["a"][2]["b"].bytes == [0x0A, 0xFF])
        #expect(try json["a"][3].bool)
        #expect(!json["a"][4].isPresent && !json["a"][9].isPresent && !json["z"]["y"].isPresent)
        #expect(try json["a"][5].double == 1.5)
        let error = #expect(throws: TestSupportError.self) { try json["a"][2]["b"].int }
        #expect(error?.description.hasPrefix("x.json.a[2].b is not") == true)
    }

    @Test func copiedTableNamesItsOwnPlace() throws {
        let directory = try TemporaryDirectory()
        let table = try directory.copyTable("mergeset/tables/pending_txn")
        let name = try #require(try directory.names(in: "table/txn").first)
        let text = try String(contentsOfFile: table + "/txn/" + name, encoding: .utf8)
        #expect(text.hasPrefix(table + "/") && !text.contains("{TABLE}"))
    }

    @Test func temporaryDirectoryGoesWithItsValue() throws {
        var directory: TemporaryDirectory? = try TemporaryDirectory()
        let path = try #require(directory?.path)
        try directory?.write([1, 2, 3], to: "a/b")
        #expect(FileManager.default.fileExists(atPath: path + "/a/b"))
        directory = nil
        #expect(!FileManager.default.fileExists(atPath: path))
    }
}
