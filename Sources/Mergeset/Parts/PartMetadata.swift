// PartMetadata.swift - what a part says about itself: its directory name and metadata.json
// (docs/format/mergeset-table.md, 5).
//
//   directory      <items count>_<blocks count>_<suffix>           4000_4_18E9E54CDCDF00ED
//   metadata.json  {"ItemsCount": 4000, "BlocksCount": 4, "FirstItem": "<hex>", "LastItem": "<hex>"}, one key a line
//
// The counts are stored twice, and both pairs must agree (the reference compares the items count only). A reader takes
// FirstItem and LastItem as bounds of the part without looking into its blocks, so an impossible pair is refused here.

import StorageBytes
import StorageFiles
import StorageRuntime

/// The name of a part's directory. The suffix is what the file system says: it is not checked, it may be empty.
struct PartName: Equatable, Sendable {
    /// Items in the part.
    let itemsCount: UInt64
    /// Blocks in the part.
    let blocksCount: UInt64
    /// What is behind the second `_`; 16 uppercase hex digits in names that we write.
    let suffix: String

    /// The last component of `path`, a part's directory, taken apart. `.corrupted` when it is not a part's name.
    init(path: String) throws(StorageError) {
        let name = Paths.lastComponent(path)
        let fields = name.utf8.split(separator: UInt8(ascii: "_"), omittingEmptySubsequences: false)
        guard fields.count == 3, let items = Self.decimal(fields[0]), let blocks = Self.decimal(fields[1]) else {
            throw StorageError(
                .corrupted, "not the name of a part; <items count>_<blocks count>_<suffix> is expected", path: path)
        }
        itemsCount = items
        blocksCount = blocks
        suffix = String(Substring(fields[2]))
    }

    /// Digits only; leading zeros are fine, a sign is not.
    private static func decimal(_ digits: Substring.UTF8View) -> UInt64? {
        guard !digits.isEmpty, digits.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }) else { return nil }
        return UInt64(Substring(digits))  // nil above 64 bits
    }
}

/// Counts and bounds of a part.
struct PartMetadata: Equatable, Sendable {
    /// The file in a part's directory.
    static let fileName = "metadata.json"
    /// Largest file that is read. The largest one with two 64 KiB items has 262 KB.
    static let fileBytesMax = 1 << 20

    /// Items in the part, at least one.
    var itemsCount: UInt64
    /// Blocks in the part, `1...itemsCount`.
    var blocksCount: UInt64
    /// First item of the first block.
    var firstItem: [UInt8]
    /// Last item of the last block; not smaller than the first.
    var lastItem: [UInt8]

    /// The name of the part's directory. The suffix is unique in the table.
    func partName(suffix: UInt64) -> String { "\(itemsCount)_\(blocksCount)_\(Hex.name(suffix))" }

    // MARK: Writing

    /// The exact text of metadata.json; it ends without a newline.
    var text: String {
        """
        {
        \t"ItemsCount": \(itemsCount),
        \t"BlocksCount": \(blocksCount),
        \t"FirstItem": "\(Hex.encode(firstItem))",
        \t"LastItem": "\(Hex.encode(lastItem))"
        }
        """
    }

    /// Writes metadata.json into a directory where there is none, atomically and durably.
    func write(into directory: String, on files: any FileSystem) throws(StorageError) {
        try files.writeAtomically(Array(text.utf8), to: Paths.join(directory, Self.fileName))
    }

    // MARK: Reading

    /// What the name of a part's directory and its metadata.json say.
    ///
    /// - Throws: `.corrupted` with the path and, inside the file, the offset: the name is not a part's, the file is
    ///   missing, too big or broken, or the two contradict each other. `.io` when it cannot be read.
    static func read(directory: String, on files: any FileSystem) throws(StorageError) -> PartMetadata {
        let name = try PartName(path: directory)
        let path = Paths.join(directory, fileName)
        let bytes: [UInt8]
        do throws(StorageError) {
            bytes = try files.readAll(path, limitBytes: fileBytesMax).array()
        } catch {
            switch error.kind {
            case .notFound: throw StorageError(.corrupted, "the part has no metadata", path: path)
            case .limitExceeded: throw StorageError(.corrupted, error.message, path: path)
            default: throw error
            }
        }
        return try parse(bytes, name: name, path: path)
    }

    /// What the bytes of metadata.json say, checked against the name of the directory. `path` is for messages.
    static func parse(_ bytes: [UInt8], name: PartName, path: String) throws(StorageError) -> PartMetadata {
        let metadata: PartMetadata
        do throws(JSONError) {
            metadata = try decoded(bytes)
        } catch {
            throw StorageError(.corrupted, error.reason, path: path, offset: error.offset)
        }
        if let problem = metadata.problem(name) { throw StorageError(.corrupted, problem, path: path) }
        return metadata
    }

    private static func decoded(_ bytes: [UInt8]) throws(JSONError) -> PartMetadata {
        var metadata = PartMetadata(itemsCount: 0, blocksCount: 0, firstItem: [], lastItem: [])
        var reader = JSONReader(bytes)
        // A key that occurs twice: the last one wins. A null count changes nothing; a null item is an error.
        try reader.object { (reader, key) throws(JSONError) in
            switch lowercased(key) {
            case "itemscount": if try !reader.null() { metadata.itemsCount = try reader.unsigned() }
            case "blockscount": if try !reader.null() { metadata.blocksCount = try reader.unsigned() }
            case "firstitem": metadata.firstItem = try item(&reader)
            case "lastitem": metadata.lastItem = try item(&reader)
            default: try reader.skipValue()
            }
        }
        try reader.end()
        return metadata
    }

    private static func item(_ reader: inout JSONReader) throws(JSONError) -> [UInt8] {
        let text = try reader.string()
        guard let item = Hex.decode(text) else { throw JSONError(reason: "not a hex string", offset: reader.position) }
        return item
    }

    /// ASCII letters made small; the names of the fields have no others.
    private static func lowercased(_ key: String) -> String {
        String(decoding: key.utf8.map { UInt8(ascii: "A")...UInt8(ascii: "Z") ~= $0 ? $0 + 32 : $0 }, as: UTF8.self)
    }

    /// Why this cannot describe a part of this name; nil when it can.
    private func problem(_ name: PartName) -> String? {
        if itemsCount != name.itemsCount {
            return "ItemsCount is \(itemsCount), but the directory's name says \(name.itemsCount)"
        }
        if blocksCount != name.blocksCount {
            return "BlocksCount is \(blocksCount), but the directory's name says \(name.blocksCount)"
        }
        if itemsCount == 0 || blocksCount == 0 { return "a part without items or blocks" }
        if blocksCount > itemsCount { return "\(blocksCount) blocks, but only \(itemsCount) items" }
        if max(firstItem.count, lastItem.count) > Limits.itemBytesMax {
            return "FirstItem or LastItem is longer than \(Limits.itemBytesMax) bytes"
        }
        if lastItem.lexicographicallyPrecedes(firstItem) { return "LastItem is smaller than FirstItem" }
        return nil
    }
}
