// LabelAccounts.swift - bytes, rows and values by label, while the rows of an index go by.
//
//   rows of tags   key                     label
//                  (empty)                 __name__
//                  FF                      __name__ (reversed)     names with dots, for Graphite queries
//                  FE uvarint(n) name[n] k k, composite: the tag together with the metric name
//                  k                       k
//
// Labels are found by a hash of their bytes; rows of a table come ordered by tag, so mostly it is the label of the row
// before. At most so many labels are told apart; what comes later is added up as one. Labels of real systems are some
// hundreds; data with labels by the million must not take memory without a bound.
//
// Threads: one owner.

import Mergeset
import StorageBytes

/// Accounts of labels.
struct LabelAccounts {
    /// Most labels that are told apart.
    static let labelsMax = 10_000
    static let groupLabel = "__name__"
    static let reversedLabel = "__name__ (reversed)"
    static let othersLabel = "(others)"

    /// What one label costs so far.
    struct Account {
        var label: String
        var tagBytes = 0.0, compositeBytes = 0.0, dayTagBytes = 0.0, dayCompositeBytes = 0.0, nameBytes = 0.0
        var rows: UInt64 = 0
        var values: UInt64 = 0, series: UInt64 = 0
        var top: [ValueRecord] = []

        var bytes: Double { tagBytes + compositeBytes + dayTagBytes + dayCompositeBytes + nameBytes }
    }

    private(set) var accounts: [Account] = []
    private var numbers: [UInt64: Int] = [:]
    private var lastHash: UInt64 = 0
    private var lastNumber = -1
    private var others = -1

    subscript(number: Int) -> Account {
        get { accounts[number] }
        _modify { yield &accounts[number] }
    }

    /// The account of the label that a stored key stands for.
    ///
    /// - Parameter key: Escaped, without its terminator.
    /// - Returns: The number of the account, and whether the key is a composite one. nil for a composite key that does
    ///   not decode.
    mutating func find(_ key: UnsafeRawBufferPointer) -> (number: Int, isComposite: Bool)? {
        guard let first = key.first else { return (number(of: LabelAccounts.groupLabel.utf8), false) }
        if first == 0xFF, key.count == 1 { return (number(of: LabelAccounts.reversedLabel.utf8), false) }
        guard first == 0xFE || key.contains(TagEscape.escape) else { return (number(of: key), false) }
        return withUnsafeTemporaryAllocation(byteCount: key.count, alignment: 8) { room in
            guard let base = room.baseAddress, let count = try? TagEscape.unescape(key, at: base) else { return nil }
            let plain = UnsafeRawBufferPointer(start: base, count: count)
            guard first == 0xFE else { return (number(of: plain), false) }
            var cursor = ByteCursor(UnsafeRawBufferPointer(rebasing: plain.dropFirst()))
            guard let length = try? cursor.readVarint(), length <= UInt64(cursor.remaining),
                (try? cursor.readBytes(Int(length))) != nil
            else { return nil }
            return (number(of: cursor.rest), true)
        }
    }

    private mutating func number(of label: some Collection<UInt8>) -> Int {
        let hash =
            label.withContiguousStorageIfAvailable { Hash.xxh64(UnsafeRawBufferPointer($0)) }
            ?? Array(label).withUnsafeBytes { Hash.xxh64($0) }
        if lastNumber >= 0, hash == lastHash { return lastNumber }
        if let known = numbers[hash] {
            lastHash = hash
            lastNumber = known
            return known
        }
        guard accounts.count < LabelAccounts.labelsMax else {
            if others < 0 {
                others = accounts.count
                accounts.append(Account(label: LabelAccounts.othersLabel))
            }
            return others
        }
        let number = accounts.count
        accounts.append(Account(label: String(decoding: label, as: UTF8.self)))
        numbers[hash] = number
        lastHash = hash
        lastNumber = number
        return number
    }

    /// The account of the metric name.
    mutating func groupNumber() -> Int { number(of: LabelAccounts.groupLabel.utf8) }

    /// Keeps a value among the `limit` with the most series of its label.
    mutating func addValue(
        _ number: Int, _ escaped: UnsafeRawBufferPointer, series: UInt64, rawBytes: UInt64, limit: Int
    ) {
        accounts[number].values += 1
        accounts[number].series += series
        let top = accounts[number].top
        guard limit > 0, top.count < limit || series > top[top.count - 1].series else { return }
        let value = withUnsafeTemporaryAllocation(byteCount: max(1, escaped.count), alignment: 8) { room in
            guard let base = room.baseAddress, let count = try? TagEscape.unescape(escaped, at: base) else { return "" }
            return String(decoding: UnsafeRawBufferPointer(start: base, count: count), as: UTF8.self)
        }
        // Values arrive in order, so equals stay in order, too.
        let place = top.firstIndex { $0.series < series } ?? top.count
        accounts[number].top.insert(ValueRecord(value: value, series: series, rawBytes: rawBytes), at: place)
        if accounts[number].top.count > limit { accounts[number].top.removeLast() }
    }
}
