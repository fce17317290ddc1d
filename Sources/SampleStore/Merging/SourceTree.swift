// SourceTree.swift - which of many sources has the next block: a tournament of losers.
//
//   inner node   the source that lost there        winner   the source that lost nowhere
//
// When the winner has moved on, only the matches on its way to the root are played again: log2 k comparisons. The keys
// (series and first timestamp) are kept side by side here, not in the sources.
//
// Order: series by TSID; blocks of one series, which is the same metric id, by MinTimestamp alone; equal keys by the number of the source.
//
// Threads: one owner.

import StorageBytes

/// A tournament of sources.
struct SourceTree: ~Copyable {
    private struct Key {
        var tsid: TSID
        var minTimestamp: Int64
        var isEnded: Bool
    }

    private let count: Int
    private let keys: UnsafeMutablePointer<Key>
    private let losers: UnsafeMutablePointer<Int>
    /// The source with the smallest key.
    private(set) var winner = 0

    /// A tournament of `count` sources, 1 or more, all of them ended so far: set their keys, then call ``start()``.
    init(count: Int) {
        precondition(count > 0, "a tournament of nobody")
        self.count = count
        let nothing = TSID(tenant: Tenant(bits: 0), metricGroupID: 0, jobID: 0, instanceID: 0, metricID: 0)
        keys = .allocate(capacity: count)
        keys.initialize(repeating: Key(tsid: nothing, minTimestamp: 0, isEnded: true), count: count)
        losers = .allocate(capacity: count)
        losers.initialize(repeating: 0, count: count)
    }

    deinit {
        keys.deallocate()
        losers.deallocate()
    }

    /// Tells whether all sources have ended.
    var isEmpty: Bool { keys[winner].isEnded }

    /// Sets the key of a source; nil when it has ended.
    @inline(__always) func set(_ source: Int, _ header: SampleBlockHeader?) {
        guard let header else {
            keys[source].isEnded = true
            return
        }
        keys[source] = Key(tsid: header.tsid, minTimestamp: header.minTimestamp, isEnded: false)
    }

    /// Plays all matches.
    mutating func start() { winner = play(1) }

    private func play(_ node: Int) -> Int {
        if node >= count { return node - count }
        let left = play(2 * node)
        let right = play(2 * node + 1)
        let leftWins = beats(left, right)
        losers[node] = leftWins ? right : left
        return leftWins ? left : right
    }

    /// Plays the matches of the winner again, whose key has changed.
    @inline(__always) mutating func replay() {
        var best = winner
        var node = (best &+ count) &>> 1
        while node > 0 {
            let other = losers[node]
            if beats(other, best) {
                losers[node] = best
                best = other
            }
            node &>>= 1
        }
        winner = best
    }

    @inline(__always) private func beats(_ a: Int, _ b: Int) -> Bool {
        if keys[a].isEnded || keys[b].isEnded { return !keys[a].isEnded || (keys[b].isEnded && a < b) }
        if keys[a].tsid.metricID == keys[b].tsid.metricID {
            if keys[a].minTimestamp != keys[b].minTimestamp { return keys[a].minTimestamp < keys[b].minTimestamp }
            return a < b
        }
        return keys[a].tsid < keys[b].tsid
    }
}
