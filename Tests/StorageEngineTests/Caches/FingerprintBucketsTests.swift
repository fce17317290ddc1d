// FingerprintBucketsTests.swift - the memory of a shard: tags, load before it is full, growth in place.

import StorageBytes
import StorageRuntime
import TestSupport
import Testing

@testable import StorageEngine

@Suite struct FingerprintBucketsTests {
    @Test(arguments: TestSeeds.thisRun) func candidatesCoverEveryEqualTag(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        for _ in 0..<20_000 {
            let tag = UInt64(random.below(127) + 1)
            // Few different tags, and bits above them that must not matter.
            let tags = (0..<Bucket.slots).map { _ in
                [tag, 0, tag ^ 1, tag ^ 64, UInt64(random.below(128))][random.below(5)]
            }
            var head = random.next() << 42
            for slot in 0..<Bucket.slots { head |= tags[slot] << UInt64(7 * slot) }
            var candidates = Bucket.candidates(head, tag)
            var slots: [Int] = []
            while candidates != 0 {
                slots.append(Bucket.slot(candidates))
                candidates &= candidates - 1
            }
            let equal = tags.indices.filter { tags[$0] == tag }
            #expect(Set(equal).isSubset(of: slots))
            #expect(slots.first == equal.first, "the first candidate is never a wrong one")
            #expect(slots == slots.sorted() && slots.allSatisfy { $0 < Bucket.slots })
        }
    }

    @Test func tagsAreNotZero() {
        for high in UInt64(0)..<256 {
            let tag = Bucket.tag(Fingerprint(high: high, low: 0))
            #expect((1...127).contains(tag))
        }
    }

    private func entry(_ number: UInt64) -> CacheEntry {
        CacheEntry(fingerprint: TestSeries.fingerprint(number), value: TestSeries.value(number), stamp: 4)
    }

    private func find(_ buckets: FingerprintBuckets, _ number: UInt64) -> CachedTSID? {
        if buckets.bucketCount == 0 { return nil }
        let fingerprint = TestSeries.fingerprint(number)
        var value = TestSeries.value(0)
        let first = buckets.range.primary(fingerprint)
        if Bucket.find(first, fingerprint, into: &value) >= 0 { return value }
        guard Bucket.head(first) & Bucket.overflowBit != 0 else { return nil }
        return Bucket.find(buckets.range.secondary(fingerprint), fingerprint, into: &value) >= 0 ? value : nil
    }

    /// Everything that was put stays to be found while entries move and the shard grows; what was not put is not.
    @Test(arguments: [0, 1, 2, 15, 16, 17, 100, 1000]) func growthKeepsEverything(bucketCountMax: Int) {
        let buckets = FingerprintBuckets(bucketCountMax: bucketCountMax)
        #expect(buckets.bucketCount <= bucketCountMax)
        var count: UInt64 = 0
        var growths = 0
        while true {
            if buckets.put(entry(count)) == .added {
                count += 1
                continue
            }
            let before = buckets.bucketCount
            let (hasGrown, dropped) = buckets.grow()
            #expect(dropped == 0)
            guard hasGrown else { break }
            growths += 1
            #expect(buckets.bucketCount > before && buckets.bucketCount <= bucketCountMax)
            #expect(buckets.entryCount == Int(count))
            if growths % 4 == 0 || bucketCountMax < 200 {
                for number in 0..<count { #expect(find(buckets, number) == TestSeries.value(number)) }
            }
        }
        #expect(buckets.isLargest && buckets.bucketCount == bucketCountMax)
        for number in 0..<count { #expect(find(buckets, number) == TestSeries.value(number)) }
        for number in count..<count + 1000 { #expect(find(buckets, number) == nil) }
        #expect(buckets.entryCount == Int(count))
        if bucketCountMax >= 100 { #expect(Double(count) > 0.9 * Double(bucketCountMax * Bucket.slots)) }

        buckets.removeAll()
        #expect(buckets.entryCount == 0 && buckets.bucketCount <= 16)
        for number in 0..<count { #expect(find(buckets, number) == nil) }
        if bucketCountMax > 0 {
            #expect(buckets.put(entry(7)) == .added)
            #expect(find(buckets, 7) == TestSeries.value(7))
        }
    }

    /// Fingerprints that all want the same bucket fill two buckets and no more.
    @Test func crowdedBuckets() {
        let buckets = FingerprintBuckets(bucketCountMax: 16)
        for number in UInt64(0)..<12 {
            let fingerprint = Fingerprint(high: number, low: number + 1 << 63)
            let entry = CacheEntry(fingerprint: fingerprint, value: TestSeries.value(number), stamp: 4)
            #expect(buckets.place(of: fingerprint) == nil)
            #expect(buckets.put(entry) == .added)
            #expect(buckets.place(of: fingerprint) != nil)
        }
        let last = Fingerprint(high: 99, low: 99 + 1 << 63)
        let late = CacheEntry(fingerprint: last, value: TestSeries.value(0), stamp: 4)
        #expect(buckets.put(late) == .noRoom)
        // The stamp 4 is of generation 1: old in generation 3.
        #expect(buckets.put(late, generation: 2) == .noRoom)
        #expect(buckets.put(late, generation: 3) == .replacedOld)
        #expect(buckets.entryCount == 12)
    }
}
