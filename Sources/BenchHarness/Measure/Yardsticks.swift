// Yardsticks.swift - what the machine and the libraries can do, measured in the same run on the same data. A rate of the
// engine means little without them: they move with the machine and its other users.

import Glibc
import StorageBytes
import StorageRuntime

/// Measurements of the machine.
struct Yardsticks {
    var memcpyBytesPerSecond = 0.0
    var randomReadNanoseconds = 0.0
    var zstdBytesPerSecond = 0.0
    var zstdRatio = 0.0
    var plainSortNanoseconds = 0.0
    var itemSortNanoseconds = 0.0

    /// Measures all of them, those with items on a sample of the run's own (at least one item).
    static func measure(
        _ sample: borrowing ItemSample, level: Int, memoryBytes: Int
    ) throws(HarnessError) -> Yardsticks {
        var result = Yardsticks()
        result.memcpyBytesPerSecond = memcpyRate(bytes: memoryBytes, rounds: 5)
        result.randomReadNanoseconds = randomRead(bytes: memoryBytes, steps: 200_000, rounds: 3)
        try Interrupt.check()
        (result.zstdBytesPerSecond, result.zstdRatio) = sample.zstd(level: level, rounds: 3)
        try Interrupt.check()
        result.plainSortNanoseconds = sample.sortNanoseconds(runItems: 10_000, rounds: 3, plain: true)
        result.itemSortNanoseconds = sample.sortNanoseconds(runItems: 10_000, rounds: 3, plain: false)
        return result
    }

    /// Bytes a second of the best round of copying `bytes` bytes.
    static func memcpyRate(bytes: Int, rounds: Int) -> Double {
        let a = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 4096)
        let b = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 4096)
        defer {
            a.deallocate()
            b.deallocate()
        }
        memset(a, 1, bytes)
        memset(b, 2, bytes)
        var best = Double.infinity
        for _ in 0..<rounds {
            let start = WallClock.nanoseconds
            memcpy(b, a, bytes)
            best = min(best, WallClock.seconds(since: start))
        }
        return Double(bytes) / best
    }

    /// Nanoseconds of a load that depends on the one before, at random places.
    static func randomRead(bytes: Int, steps: Int, rounds: Int) -> Double {
        let count = bytes / 4
        let next = UnsafeMutablePointer<UInt32>.allocate(capacity: count)
        defer { next.deallocate() }
        for index in 0..<count { next[index] = UInt32(index) }
        // Sattolo's shuffle: one cycle through all places.
        var random = SplitMix64(seed: 1)
        for index in stride(from: count - 1, to: 0, by: -1) {
            let other = random.below(index)
            let kept = next[index]
            next[index] = next[other]
            next[other] = kept
        }
        var best = Double.infinity
        var place: UInt32 = 0
        for _ in 0..<rounds {
            let start = WallClock.nanoseconds
            for _ in 0..<steps { place = next[Int(place)] }
            best = min(best, WallClock.seconds(since: start))
        }
        return place == .max ? 0 : best * 1e9 / Double(steps)
    }
}

/// Items in arrival order in one buffer, with their places: what the yardsticks and micro-benchmarks work on.
struct ItemSample: ~Copyable {
    var bytes = RawBuffer(capacity: 1 << 20)
    var refs: [ItemRef] = []

    mutating func append(_ item: UnsafeRawBufferPointer) {
        refs.append(ItemRef(key: 0, offset: UInt32(bytes.count), length: UInt32(item.count)))
        bytes.append(item)
    }

    /// Sorts one run in place.
    /// - Parameter plain: With the standard library and memcmp instead of the engine's sort.
    func sort(
        _ run: UnsafeMutableBufferPointer<ItemRef>, _ scratch: UnsafeMutableBufferPointer<ItemRef>, plain: Bool
    ) {
        let base = UnsafeRawPointer(bytes.base)
        if plain {
            var run = run
            run.sort { a, b in
                Bytes.compare(base + Int(a.offset), Int(a.length), base + Int(b.offset), Int(b.length)) < 0
            }
        } else {
            ItemSort.sort(run, base: base, scratch: scratch)
        }
    }

    /// XXH64 over the items in the order of `refs`, each preceded by its length.
    func digest(_ refs: UnsafeBufferPointer<ItemRef>) -> UInt64 {
        let digest = Digest()
        for ref in refs {
            digest.addItem(UnsafeRawBufferPointer(start: bytes.base + Int(ref.offset), count: Int(ref.length)))
        }
        return digest.value
    }

    /// Nanoseconds an item of the best round of sorting the sample in runs of `runItems`.
    func sortNanoseconds(runItems: Int, rounds: Int, plain: Bool) -> Double {
        let work = UnsafeMutableBufferPointer<ItemRef>.allocate(capacity: refs.count)
        let scratch = UnsafeMutableBufferPointer<ItemRef>.allocate(capacity: min(runItems, refs.count))
        scratch.initialize(repeating: ItemRef(key: 0, offset: 0, length: 0))
        _ = work.initialize(from: refs)
        defer {
            work.deallocate()
            scratch.deallocate()
        }
        var best = Double.infinity
        for _ in 0..<rounds {
            _ = work.update(from: refs)
            let start = WallClock.nanoseconds
            for first in stride(from: 0, to: refs.count, by: runItems) {
                let end = min(first + runItems, refs.count)
                sort(UnsafeMutableBufferPointer(rebasing: work[first..<end]), scratch, plain: plain)
            }
            best = min(best, WallClock.seconds(since: start))
        }
        return best * 1e9 / Double(refs.count)
    }

    /// Bytes a second and ratio of compressing the sorted items in blocks of 64 KiB.
    func zstd(level: Int, rounds: Int) -> (bytesPerSecond: Double, ratio: Double) {
        let sorted = UnsafeMutableBufferPointer<ItemRef>.allocate(capacity: refs.count)
        let scratch = UnsafeMutableBufferPointer<ItemRef>.allocate(capacity: refs.count)
        _ = sorted.initialize(from: refs)
        scratch.initialize(repeating: ItemRef(key: 0, offset: 0, length: 0))
        defer {
            sorted.deallocate()
            scratch.deallocate()
        }
        sort(sorted, scratch, plain: false)
        var plain = RawBuffer(capacity: bytes.count)
        for ref in sorted {
            plain.append(UnsafeRawBufferPointer(start: bytes.base + Int(ref.offset), count: Int(ref.length)))
        }
        var target = RawBuffer(capacity: plain.count)
        var best = Double.infinity
        var written = 0
        for _ in 0..<rounds {
            target.removeAll()
            let start = WallClock.nanoseconds
            for first in stride(from: 0, to: plain.count, by: 65_536) {
                let count = min(65_536, plain.count - first)
                Zstd.compress(
                    UnsafeRawBufferPointer(start: plain.base + first, count: count), level: level, into: &target)
            }
            best = min(best, WallClock.seconds(since: start))
            written = target.count
        }
        return (Double(plain.count) / best, Double(plain.count) / Double(max(1, written)))
    }
}
