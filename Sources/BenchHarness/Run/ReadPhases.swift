// ReadPhases.swift - what a run reads after the ingestion: exact seeks that exercise the caches, a scan for speed, a
// scan for the digest. One thread each.

import Mergeset
import StorageBytes
import StorageRuntime

/// Exact seeks for rows of the input in random order.
struct SeekPhase {
    let subject: RunSubject
    let table: Table
    let progress: Progress
    let seed: UInt64
    /// Rows of the input to seek for; nil takes any of them.
    var among: [Int]?

    struct Result {
        var seeks = 0, found = 0
        var wallSeconds = 0.0, cpuSeconds = 0.0
    }

    /// Seeks `count` times. The keys are made before the clock starts.
    func run(_ count: Int) throws(HarnessError) -> Result {
        var result = Result()
        guard subject.input.count > 0, count > 0, among?.isEmpty != true else { return result }
        progress.begin("seek", total: count, unit: "seeks")
        var random = SplitMix64(seed: Seeds.derive(seed, "seek"))
        var ingest = IndexIngest(date: subject.date)
        var keys = RawBuffer(capacity: 1 << 20)
        var ends: [Int] = []
        ends.reserveCapacity(count)
        do throws(StorageError) {
            for _ in 0..<count {
                let number = among.map { $0[random.below($0.count)] } ?? random.below(subject.input.count)
                let row = subject.input[number]
                if subject.kind != .items { try ingest.appendNameKey(row, to: &keys) } else { keys.append(row) }
                ends.append(keys.count)
            }
            var cursor = table.cursor()
            var start = 0
            let cpu = CPUTime.ofThread()
            let wall = WallClock.nanoseconds
            for index in 0..<count {
                let end = ends[index]
                let key = UnsafeRawBufferPointer(start: keys.base + start, count: end - start)
                if try cursor.firstWithPrefix(key) { result.found += 1 }
                start = end
                if index & 1023 == 1023 {
                    progress.add(1024)
                    if Interrupt.isRequested { break }
                }
            }
            result.seeks = count
            result.wallSeconds = WallClock.seconds(since: wall)
            result.cpuSeconds = CPUTime.ofThread() - cpu
        } catch { throw HarnessError(error, while: "seeking") }
        try Interrupt.check()
        return result
    }
}

/// Passes over all items.
struct ScanPhase {
    let kind: RunSubject.Kind
    let table: Table
    let progress: Progress

    struct Pass {
        var items: UInt64 = 0
        var wallSeconds = 0.0
        /// Keeps the loop from being optimised away.
        var checksum: UInt64 = 0
    }

    struct Contents {
        var digest: UInt64
        var normalisedItems: UInt64
        var unorderedItems: UInt64
        var firstUnordered: String?
    }

    /// One pass in which the consumer hashes the first 8 bytes of each item.
    func measure(expectedItems: Int) throws(HarnessError) -> Pass {
        progress.begin("scan", total: expectedItems, unit: "items")
        var pass = Pass()
        do throws(StorageError) {
            let start = WallClock.nanoseconds
            var cursor = table.cursor()
            try cursor.seek(UnsafeRawBufferPointer(start: nil, count: 0))
            while try cursor.next() {
                let item = cursor.item
                pass.checksum ^= SplitMix64.mix(Bytes.leadingKey(item.baseAddress.unsafelyUnwrapped, item.count))
                pass.items &+= 1
                if pass.items & 0xFFFF == 0 {
                    progress.add(0x10000)
                    if Interrupt.isRequested { break }
                }
            }
            pass.wallSeconds = WallClock.seconds(since: start)
        } catch { throw HarnessError(error, while: "scanning") }
        try Interrupt.check()
        return pass
    }

    /// The digest of all items.
    func digest(expectedItems: Int) throws(HarnessError) -> Contents {
        progress.begin("digest", total: expectedItems, unit: "items")
        var digest = StoreDigest(unitesTagRows: kind != .items)
        do throws(StorageError) {
            var cursor = table.cursor()
            try cursor.seek(UnsafeRawBufferPointer(start: nil, count: 0))
            var items: UInt64 = 0
            while try cursor.next() {
                digest.add(cursor.item)
                items &+= 1
                if items & 0xFFFF == 0 {
                    progress.add(0x10000)
                    if Interrupt.isRequested { break }
                }
            }
        } catch { throw HarnessError(error, while: "scanning for the digest") }
        try Interrupt.check()
        let value = digest.finish()
        return Contents(
            digest: value, normalisedItems: digest.normalisedItems, unorderedItems: digest.unorderedItems,
            firstUnordered: digest.firstUnordered)
    }
}
