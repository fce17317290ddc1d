// SetCase.swift - micro set: sets of metric ids, ours, as a sorted array with binary search, and the standard library's.
//
// Two inputs: a million ids in three dense ranges, as a node has them after two restarts, and 100 k ids far apart. Each
// kind of set answers the same questions, and the digests of the answers must agree.

import SeriesIndex
import StorageRuntime

/// A kind of set.
protocol BenchedSet {
    static var kind: String { get }
    /// The set of `ids`, which come in the order in which they were made.
    static func make(_ ids: [UInt64]) -> Self
    /// How many of `ids` are in the set.
    func hits(_ ids: [UInt64]) -> Int
    func united(_ other: Self) -> Self
    func common(_ other: Self) -> Self
    /// The wrapping sum of id times position in ascending order.
    func walk() -> UInt64
    var idCount: Int { get }
    var bytes: Int { get }
}

extension MetricIDSet: BenchedSet {
    static let kind = "engine"

    static func make(_ ids: [UInt64]) -> MetricIDSet {
        var set = MetricIDSet()
        for id in ids { set.insert(id) }
        return set
    }

    func hits(_ ids: [UInt64]) -> Int {
        withReader { reader in
            var count = 0
            for id in ids { count &+= reader.contains(id) ? 1 : 0 }
            return count
        }
    }

    func united(_ other: MetricIDSet) -> MetricIDSet { union(other) }
    func common(_ other: MetricIDSet) -> MetricIDSet { intersection(other) }

    func walk() -> UInt64 {
        var sum: UInt64 = 0
        var position: UInt64 = 0
        forEach { id in
            position &+= 1
            sum &+= id &* position
        }
        return sum
    }

    var idCount: Int { count }
    var bytes: Int { memoryBytes }
}

/// Ascending ids, each once.
struct SortedIDs: BenchedSet {
    static let kind = "sorted array"
    var ids: [UInt64]

    static func make(_ ids: [UInt64]) -> SortedIDs { SortedIDs(ids: ids.sorted()) }

    func hits(_ wanted: [UInt64]) -> Int {
        ids.withUnsafeBufferPointer { ids in
            var count = 0
            for id in wanted {
                var first = 0
                var length = ids.count
                while length > 1 {
                    let half = length &>> 1
                    first = ids[first &+ half &- 1] < id ? first &+ half : first
                    length &-= half
                }
                count &+= length == 1 && ids[first] == id ? 1 : 0
            }
            return count
        }
    }

    func united(_ other: SortedIDs) -> SortedIDs { merged(other, keepsSingles: true) }
    func common(_ other: SortedIDs) -> SortedIDs { merged(other, keepsSingles: false) }

    private func merged(_ other: SortedIDs, keepsSingles: Bool) -> SortedIDs {
        var result: [UInt64] = []
        result.reserveCapacity(keepsSingles ? ids.count + other.ids.count : min(ids.count, other.ids.count))
        var (left, right) = (0, 0)
        while left < ids.count, right < other.ids.count {
            let (a, b) = (ids[left], other.ids[right])
            if a == b || keepsSingles { result.append(min(a, b)) }
            left &+= a <= b ? 1 : 0
            right &+= b <= a ? 1 : 0
        }
        if keepsSingles { result += ids[left...] + other.ids[right...] }
        return SortedIDs(ids: result)
    }

    func walk() -> UInt64 {
        var sum: UInt64 = 0
        for index in ids.indices { sum &+= ids[index] &* UInt64(index &+ 1) }
        return sum
    }

    var idCount: Int { ids.count }
    var bytes: Int { ids.capacity * 8 }
}

extension Set<UInt64>: BenchedSet {
    static var kind: String { "Set" }

    static func make(_ ids: [UInt64]) -> Set<UInt64> {
        var set: Set<UInt64> = []
        for id in ids { set.insert(id) }
        return set
    }

    func hits(_ ids: [UInt64]) -> Int {
        var count = 0
        for id in ids where contains(id) { count &+= 1 }
        return count
    }

    func united(_ other: Set<UInt64>) -> Set<UInt64> { union(other) }
    func common(_ other: Set<UInt64>) -> Set<UInt64> { intersection(other) }
    func walk() -> UInt64 { SortedIDs.make(Array(self)).walk() }
    var idCount: Int { count }
    /// A power of two of places of 8 bytes, at most three quarters of them taken, and a bit for each.
    var bytes: Int {
        var places = 1
        while places * 3 < capacity * 4 { places *= 2 }
        return places * 8 + places / 8
    }
}

/// The ids of a benchmark.
final class SetInput: Sendable {
    let name: String
    /// In the order of their making.
    let ids: [UInt64]
    /// As many others, half of which are among `ids`.
    let others: [UInt64]
    /// What is looked for: neighbours in order, and at random; half of them are there.
    let neighbours: [UInt64], scattered: [UInt64]

    private init(_ name: String, ids: [UInt64], strangers: [UInt64], _ random: inout SplitMix64) {
        self.name = name
        self.ids = ids
        let half = ids.count / 2
        others = (ids[half...] + strangers.prefix(half)).sorted()
        neighbours = others
        scattered = others.shuffled(using: &random)
    }

    static func dense(_ count: Int, seed: UInt64) -> SetInput {
        var random = SplitMix64(seed: Seeds.derive(seed, "dense ids"))
        let start: UInt64 = 1_640_995_200_000_000_000
        let third = UInt64((count + 2) / 3)
        let ids = (0..<UInt64(count)).map { start + $0 / third * 86_400_000_000_000 + $0 % third }
        return SetInput("dense", ids: ids, strangers: ids.map { $0 + 2 * third }, &random)
    }

    static func sparse(_ count: Int, seed: UInt64) -> SetInput {
        var random = SplitMix64(seed: Seeds.derive(seed, "sparse ids"))
        let ids = (0..<count).map { _ in random.next() }
        return SetInput("sparse", ids: ids, strangers: (0..<count).map { _ in random.next() }, &random)
    }
}

/// One question to one kind of set.
final class SetCase<Subject: BenchedSet>: MicroCase {
    enum Operation: String, CaseIterable {
        case insert = "insert"
        case neighbours = "contains, neighbours"
        case scattered = "contains, at random"
        case union = "union"
        case intersection = "intersection"
        case walk = "walk"
    }

    let name: String
    let unit = "id"
    let group: String
    private let operation: Operation
    private let input: SetInput
    private let set: Subject
    private let other: Subject
    private var result: Subject?
    private var answer: UInt64 = 0

    init(_ operation: Operation, _ input: SetInput, set: Subject, other: Subject) {
        self.operation = operation
        self.input = input
        self.set = set
        self.other = other
        group = "\(input.name), \(operation.rawValue)"
        name = "\(Subject.kind), \(group)"
    }

    static func all(_ input: SetInput) -> [SetCase] {
        let set = Subject.make(input.ids)
        let other = Subject.make(input.others)
        return Operation.allCases.map { SetCase($0, input, set: set, other: other) }
    }

    var operations: Int { input.ids.count }

    var counts: [(name: String, value: UInt64)] {
        guard operation == .insert, let result, result.idCount > 0 else { return [] }
        return [("bytes", UInt64(result.bytes)), ("millibytes_per_id", UInt64(result.bytes * 1000 / result.idCount))]
    }

    func prepare() { result = nil }

    func run() {
        switch operation {
        case .insert: result = Subject.make(input.ids)
        case .neighbours: answer = UInt64(set.hits(input.neighbours))
        case .scattered: answer = UInt64(set.hits(input.scattered))
        case .union: result = set.united(other)
        case .intersection: result = set.common(other)
        case .walk: answer = set.walk()
        }
    }

    func digest() -> UInt64 { result?.walk() ?? answer }
}

extension SetInput {
    static func cases(_ options: MicroOptions) throws(HarnessError) -> [any MicroCase] {
        let inputs = [
            dense(options.scaled(1_000_000), seed: options.seed),
            sparse(options.scaled(100_000), seed: options.seed),
        ]
        return inputs.flatMap { (input: SetInput) -> [any MicroCase] in
            let ours = SetCase<MetricIDSet>.all(input)
            let arrays = SetCase<SortedIDs>.all(input)
            let library = SetCase<Set<UInt64>>.all(input)
            return ours.indices.flatMap { [ours[$0], arrays[$0], library[$0]] as [any MicroCase] }
        }
    }
}
