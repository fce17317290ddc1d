// ItemSortTests.swift - the sort of items against the sort of the standard library, over inputs that reach each of its
// algorithms: few and many strings, long common prefixes, proper prefixes, zero bytes, duplicates.

import StorageBytes
import TestSupport
import Testing

@Suite struct ItemSortTests {
    /// Sorts with ItemSort and gives the strings back.
    private func sorted(_ strings: [[UInt8]]) -> [[UInt8]] {
        var arena = RawBuffer()
        var refs = [ItemRef]()
        for string in strings {
            refs.append(ItemRef(key: .max, offset: UInt32(arena.count), length: UInt32(string.count)))
            arena.append(string)
        }
        let scratch = UnsafeMutableBufferPointer<ItemRef>.allocate(capacity: strings.count)
        defer { scratch.deallocate() }
        scratch.initialize(repeating: ItemRef(key: 0, offset: 0, length: 0))
        refs.withUnsafeMutableBufferPointer { ItemSort.sort($0, base: arena.base, scratch: scratch) }
        return refs.map { ref in
            [UInt8](UnsafeRawBufferPointer(start: arena.base + Int(ref.offset), count: Int(ref.length)))
        }
    }

    private func check(_ strings: [[UInt8]], _ comment: String) {
        let result = sorted(strings)
        let expected = strings.sorted(by: isSmaller)
        // Equal strings cannot be told apart, so comparing the bytes compares everything.
        if result != expected {
            let place = zip(result, expected).prefix { $0 == $1 }.count
            Issue.record("\(comment): \(strings.count) strings differ at \(place)")
        }
    }

    @Test func everyOrderOfFewStrings() {
        let strings: [[UInt8]] = [[], [0], [0, 0], [0, 1], [1], [255]]
        func permutations(_ rest: [[UInt8]], _ chosen: [[UInt8]]) {
            if rest.isEmpty { check(chosen, "permutation") }
            for index in rest.indices {
                var others = rest
                let next = others.remove(at: index)
                permutations(others, chosen + [next])
            }
        }
        permutations(strings, [])
        check([], "none")
        check([[]], "one empty")
    }

    /// Zero bytes look like the padding of a key; all strings of zeros and ones up to 9 bytes pass the key's border.
    @Test func allStringsOfTwoLetters() {
        for length in [3, 9] {
            var strings: [[UInt8]] = [[]]
            var longest = strings
            for _ in 0..<length {
                longest = longest.flatMap { [$0 + [0], $0 + [1]] }
                strings += longest
            }
            var stream = SplitMixBytes(seed: UInt64(length))
            for index in strings.indices.dropFirst() { strings.swapAt(index, Int(stream.next() % UInt64(index + 1))) }
            check(strings, "length \(length)")
            check(strings + strings, "length \(length), twice")
        }
    }

    /// Counts around the borders between the algorithms.
    @Test(arguments: TestSeeds.thisRun) func randomStringsOfManyShapes(seed: UInt64) {
        var stream = SplitMixBytes(seed: seed)
        func random(_ bound: Int) -> Int { Int(stream.next() % UInt64(bound)) }
        for count in [2, 12, 13, 40, 192, 193, 500, 3000] {
            check((0..<count).map { _ in SplitMixBytes.first(random(30), seed: stream.next()) }, "random")
            check((0..<count).map { _ in (0..<random(20)).map { _ in UInt8(random(2)) } }, "two letters")
            let prefix = SplitMixBytes.first(100, seed: stream.next())
            check(
                (0..<count).map { _ in prefix + SplitMixBytes.first(random(12), seed: stream.next()) }, "shared prefix")
            check((0..<count).map { _ in Array(prefix.prefix(random(101))) }, "prefixes of one string")
            check((0..<count).map { _ in prefix + [UInt8](repeating: 0, count: random(40)) }, "runs of zeros")
            let few = (0..<5).map { _ in SplitMixBytes.first(random(40), seed: stream.next()) }
            check((0..<count).map { _ in few[random(5)] }, "duplicates")
            check((0..<count).map { ArbitraryItems.item($0) }, "arbitrary items")
            let ascending = (0..<count).map { [UInt8](text: "item-\(100_000 + $0)") }
            check(ascending, "ascending")
            check(ascending.reversed(), "descending")
        }
    }

    /// Strings that differ only behind the depth at which the recursion ends.
    @Test func veryLongCommonPrefixes() {
        for length in [4080, 4096, 4104, 4112, 20_000] {
            let prefix = [UInt8](repeating: 0x61, count: length)
            var strings = (0..<300).map { prefix + [UInt8($0 * 7 % 256), UInt8($0 % 3)] }
            strings += (0..<20).map { Array(prefix.dropLast($0 * 3)) }
            check(strings, "prefix of \(length)")
            // Each string is a prefix of the next one: no two share their last eight bytes' depth.
            check((0..<250).map { Array(prefix.prefix($0 * length / 250)) }.reversed(), "ladder of \(length)")
        }
    }
}
