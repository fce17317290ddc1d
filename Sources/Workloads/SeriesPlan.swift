// SeriesPlan.swift - a profile made ready for generating: what is the same for all targets is rendered once.
//
//   own names  | name and own labels of series 0 | ... of series n-1 |    n = series of a group
//   ends       UInt32 x (n + 1)                                            where each of them begins
//   bases      Double x n, kinds UInt8 x n                                 start and behaviour of the values
//
//   raw name of series k of group g of a target = tenant | own names[k] | tags(target, g)
//
// Everything random follows from hashes of (seed, slot, life), and whether a target is replaced at most from its age, too:
// each worker can ask for its own slots.
//
// Threads: immutable after init, shared by all streams of a run.

import StorageBytes
import StorageRuntime

/// How the generator makes the series of a profile under a seed.
public final class SeriesPlan: Sendable {
    /// The profile.
    public let profile: Profile
    /// Root seed.
    public let seed: UInt64

    /// Series of one group of a target.
    let ownCount: Int
    /// Bytes of tenant and tags of one group, at most.
    let tagBytesMax: Int
    private let streamSeed: UInt64
    private let replaceBelow: UInt64
    private let tagPrefixes: [[UInt8]]
    private let tenantBounds: [UInt64]

    // Filled in init and only read afterwards.
    private let own: RawBuffer
    nonisolated(unsafe) let ownBase: UnsafeRawPointer
    nonisolated(unsafe) let ownEnds: UnsafeMutablePointer<UInt32>
    nonisolated(unsafe) let bases: UnsafeMutablePointer<Double>
    nonisolated(unsafe) let kinds: UnsafeMutablePointer<UInt8>

    /// Bytes of all own names; what a recorded page of the largest size gives stays below it.
    static let ownBytesMax = 2 << 30
    static let isCounterBit: UInt8 = 1
    static let isRecordedBit: UInt8 = 2
    static let isPercentBit: UInt8 = 4

    /// Renders the names of `profile`. The same profile and seed give the same stream everywhere.
    ///
    /// - Throws: `.limitExceeded` when a raw name would be longer than the index can hold.
    public init(_ profile: Profile, seed: UInt64 = 42) throws(StorageError) {
        self.profile = profile
        self.seed = seed
        streamSeed = Seeds.derive(seed, profile.name)
        // 32 bits of the share: the last bits of a double must not decide which targets are replaced.
        let parts = UInt64((profile.churn.share * 0x1p32).rounded())
        replaceBelow = parts >= 1 << 32 ? .max : parts << 32
        tagPrefixes = profile.tags.map { RawName.length($0.key.utf8.count) + Array($0.key.utf8) }
        tagBytesMax = profile.tags.reduce(RawName.tenantBytes) {
            $0 + RawName.labelBytes + $1.key.utf8.count + $1.template.bytesMax
        }
        tenantBounds = profile.tenants.bounds

        ownCount = profile.seriesPerTarget / profile.groups
        var own = RawBuffer()
        ownEnds = .allocate(capacity: ownCount + 1)
        bases = .allocate(capacity: ownCount)
        kinds = .allocate(capacity: ownCount)
        ownEnds[0] = 0
        var index = 0
        let tagKeys = Set(profile.tags.map(\.key))
        if let page = profile.page {
            for series in page.series.prefix(ownCount) {
                RawName.append(
                    key: [], value: Array(series.name.utf8.prefix(ReplayPage.labelValueBytesMax)), to: &own)
                for label in series.labels {
                    // A label of the scrape wins, as in Prometheus: the exporter's own one is renamed.
                    let clashes = tagKeys.contains(String(decoding: label.key, as: UTF8.self))
                    RawName.append(
                        key: clashes ? Array("exported_".utf8) + label.key : label.key, value: label.value, to: &own)
                }
                ownEnds[index + 1] = UInt32(own.count)
                bases[index] = series.value
                kinds[index] = SeriesPlan.isRecordedBit | (series.kind == .counter ? SeriesPlan.isCounterBit : 0)
                index += 1
            }
        } else {
            for family in profile.families {
                var rest = family.series
                for combination in 0..<family.series {
                    if index == ownCount { break }
                    RawName.append(key: [], value: Array(family.name.utf8), to: &own)
                    var number = combination
                    rest = family.series
                    for label in family.labels {
                        rest /= label.values.count
                        let value = label.values[number / rest]
                        number %= rest
                        RawName.append(key: Array(label.key.utf8), value: Array(value.utf8), to: &own)
                    }
                    guard own.count <= SeriesPlan.ownBytesMax else {
                        throw StorageError(
                            .limitExceeded,
                            "more than \(SeriesPlan.ownBytesMax) bytes of names and own labels per group")
                    }
                    ownEnds[index + 1] = UInt32(own.count)
                    bases[index] = 0
                    kinds[index] =
                        switch family.kind {
                        case .counter: SeriesPlan.isCounterBit
                        case .gauge: 0
                        case .percent: SeriesPlan.isPercentBit
                        }
                    index += 1
                }
            }
        }
        precondition(index == ownCount, "\(index) own names for \(ownCount) series")
        ownBase = UnsafeRawPointer(own.base)
        self.own = own
        let longest = (0..<ownCount).map { Int(ownEnds[$0 + 1] - ownEnds[$0]) }.max() ?? 0
        guard longest + tagBytesMax <= 65_500 else {
            throw StorageError(
                .limitExceeded,
                "a raw name of up to \(longest + tagBytesMax) bytes: the index holds names of at most 65500 bytes")
        }
    }

    deinit {
        ownEnds.deallocate()
        bases.deallocate()
        kinds.deallocate()
    }

    /// Share of the counters among the series.
    public var counterShare: Double {
        Double((0..<ownCount).count { kinds[$0] & SeriesPlan.isCounterBit != 0 }) / Double(ownCount)
    }

    /// Series of a slot: all the same but for the last one.
    func seriesCount(slot: Int) -> Int {
        min(profile.seriesPerTarget, profile.series - slot * profile.seriesPerTarget)
    }

    /// Virtual time at which a slot is scraped in a round: the slots are spread over a part of the interval.
    func timestampMs(slot: Int, round: Int) -> Int64 {
        profile.startMs + Int64(profile.visit.isBackward ? -round : round) * profile.intervalMs
            + Int64(slot) * profile.spreadMs / Int64(profile.targets)
    }

    func slotHash(_ slot: Int) -> UInt64 {
        SplitMix64.mix(streamSeed &+ UInt64(truncatingIfNeeded: slot) &* 0x9E37_79B9_7F4A_7C15)
    }

    func targetHash(_ slotHash: UInt64, life: Int) -> UInt64 {
        SplitMix64.mix(slotHash ^ (UInt64(truncatingIfNeeded: life) &+ 1) &* 0xD1B5_4A32_D192_ED03)
    }

    /// Tells whether the target of a slot is replaced at the beginning of `round`, a round in which that may happen.
    ///
    /// - Parameters:
    ///   - targetHash: Of the target that the slot has.
    ///   - age: Rounds since that target began.
    func isReplaced(slot: Int, slotHash: UInt64, targetHash: UInt64, age: Int, round: Int) -> Bool {
        let churn = profile.churn
        if let scrapes = churn.scrapes {
            let drawn = SplitMix64.mix(targetHash ^ 0x9D3F_1C05_27EA_6B71).multipliedFullWidth(
                by: UInt64(scrapes.count))
            return age >= scrapes.lowerBound + Int(drawn.high)
        }
        if let deploys = churn.deploys {
            let now = profile.startMs + Int64(round) * profile.intervalMs
            var isReplaced = false
            deploys.forEachStep(after: now - profile.intervalMs, to: now) { deploy, step in
                isReplaced = deploys.replaces(
                    slot: slot, targets: profile.targets, deploy: deploy, step: step, seed: streamSeed)
                return !isReplaced
            }
            return isReplaced
        }
        return SplitMix64.mix(slotHash ^ SplitMix64.mix(UInt64(truncatingIfNeeded: round) &+ 0x7C6D_0BE6_1F1A_95C3))
            < replaceBelow
    }

    /// Writes tenant and tags of a group of a target; `target` has room for ``tagBytesMax`` bytes. Returns the length.
    func renderTags(slot: Int, slotHash: UInt64, life: Int, group: Int, to target: UnsafeMutableRawPointer) -> Int {
        let targetHash = targetHash(slotHash, life: life)
        let identity = TargetIdentity(
            slot: slot, slotHash: slotHash, life: life, targetHash: targetHash, group: group,
            groupHash: SplitMix64.mix(targetHash &+ UInt64(group) &* 0x8CB9_2BA7_2F3D_8DD7 &+ 1))
        BigEndian.store32(UInt32(tenant(slotHash)), at: target)
        BigEndian.store32(0, at: target + 4)
        var length = RawName.tenantBytes
        for (index, tag) in profile.tags.enumerated() {
            tagPrefixes[index].withUnsafeBytes {
                (target + length).copyMemory(from: $0.baseAddress.unsafelyUnwrapped, byteCount: $0.count)
            }
            length += tagPrefixes[index].count
            let count = tag.template.render(identity, to: target + length + 2)
            (target + length).storeBytes(of: UInt16(count).bigEndian, as: UInt16.self)
            length += 2 + count
        }
        return length
    }

    /// Account of a slot: tenant 0 has the most targets.
    private func tenant(_ slotHash: UInt64) -> Int {
        if tenantBounds.isEmpty { return 0 }
        let drawn = SplitMix64.mix(slotHash ^ 0x2545_F491_4F6C_DD1D) >> 24
        var low = 0
        var high = tenantBounds.count - 1
        while low < high {
            let middle = (low + high) / 2
            if drawn < tenantBounds[middle] { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

extension Profile.Tenants {
    /// Share of the targets that tenant 0, the largest one, has.
    var largestShare: Double { bounds.first.map { Double($0) / 0x1p40 } ?? 1 }

    /// Upper bounds, of 2^40, of the shares of the tenants; none for a single tenant.
    var bounds: [UInt64] {
        if count == 1 { return [] }
        var weights = [Double]()
        for rank in 1...count { weights.append(Exponential.minus(zipf * Logarithm.of(Double(rank)))) }
        let total = weights.reduce(0, +)
        var sum = 0.0
        var bounds = weights.map { weight -> UInt64 in
            sum += weight
            return UInt64((sum / total * 0x1p40).rounded())
        }
        bounds[bounds.count - 1] = 1 << 40
        return bounds
    }
}

/// The natural logarithm without the system's mathematics library, so that every machine gives the same bits.
enum Logarithm {
    /// ln x for finite `x >= 1`; absolute error below 1e-12.
    static func of(_ x: Double) -> Double {
        // x = m 2^e with m in [1, 2); ln m = 2 artanh((m - 1) / (m + 1)).
        let ratio = (x.significand - 1) / (x.significand + 1)
        let square = ratio * ratio
        var power = ratio
        var sum = 0.0
        for step in 0..<30 {
            sum += power / Double(2 * step + 1)
            power *= square
        }
        return 2 * sum + Double(x.exponent) * 0.693_147_180_559_945_3
    }
}
