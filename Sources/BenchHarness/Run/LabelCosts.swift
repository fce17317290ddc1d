// LabelCosts.swift - which labels the bytes of the index belong to, over a sample of the series.
//
// A label of a series has a row for its tag and one for its composite tag, once globally and once per day. The bytes
// counted are those of the normalised form, one id a row; labels with few different values share their rows in the
// real table, which the share of different values tells.

import SeriesIndex
import StorageBytes
import StorageRuntime
import Workloads

/// Accounts of labels.
enum LabelCosts {
    /// Most labels that are told apart.
    static let labelsMax = 16

    /// The labels of the series, the most expensive first.
    static func measure(
        _ numbers: [Int], of input: any RunInput, perDay: Bool
    ) throws(DecodeError) -> [LabelCost] {
        struct Account {
            var nameBytes = 0, globalBytes = 0, perDayBytes = 0
            var values = Set<UInt64>()
        }
        var accounts: [String: Account] = [:]
        for number in numbers {
            let raw = input[number]
            var groupBytes = 0
            try RawName.forEachLabel(raw) { key, value in
                let isGroup = key.isEmpty
                if isGroup { groupBytes = value.count }
                // Separators and escapes are left out: they are a byte or two.
                let tag = key.count + value.count + 2
                let composite = isGroup ? 0 : tag + groupBytes + 2
                let rows = isGroup ? 1 : 2
                var account = accounts[isGroup ? "__name__" : String(decoding: key, as: UTF8.self)] ?? Account()
                account.nameBytes += key.count + value.count
                account.globalBytes += tag + composite + rows * (SeriesRow.tagHeadLength + 8)
                if perDay { account.perDayBytes += tag + composite + rows * (SeriesRow.dateTagHeadLength + 8) }
                account.values.insert(Hash.xxh64(value))
                accounts[isGroup ? "__name__" : String(decoding: key, as: UTF8.self)] = account
            }
        }
        let series = Double(max(1, numbers.count))
        let total = Double(accounts.values.reduce(0) { $0 + $1.globalBytes + $1.perDayBytes })
        var costs = accounts.map { key, account in
            var cost = LabelCost(label: key)
            cost.nameBytes = Double(account.nameBytes) / series
            cost.globalBytes = Double(account.globalBytes) / series
            cost.perDayBytes = Double(account.perDayBytes) / series
            cost.share = Double(account.globalBytes + account.perDayBytes) / max(1, total)
            cost.distinctRatio = Double(account.values.count) / series
            return cost
        }
        costs.sort { ($1.share, $0.label) < ($0.share, $1.label) }
        return Array(costs.prefix(labelsMax))
    }
}
