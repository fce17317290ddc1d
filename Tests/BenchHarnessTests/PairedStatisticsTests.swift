// PairedStatisticsTests.swift - the statistics of the gate against published series and against simulated noise.

import Foundation
import StorageRuntime
import TestSupport
import Testing

@testable import BenchHarness

@Suite struct SignedRankTests {
    @Test func smallDistributions() {
        #expect(SignedRank.probabilities(0) == [1])
        #expect(SignedRank.probabilities(4).map { $0 * 16 } == [1, 1, 1, 2, 2, 2, 2, 2, 1, 1, 1])
        for n in 0...SignedRank.exactMax {
            #expect(abs(SignedRank.probabilities(n).reduce(0, +) - 1) < 1e-12)
        }
    }

    /// Every sign of every rank, for all n up to 12.
    @Test(arguments: 1...12) func equalsEnumeration(n: Int) {
        var counts = [Int](repeating: 0, count: n * (n + 1) / 2 + 1)
        for signs in 0..<(1 << n) {
            counts[(1...n).reduce(0) { $0 + (signs >> ($1 - 1) & 1) * $1 }] += 1
        }
        #expect(SignedRank.probabilities(n) == counts.map { Double($0) / Double(1 << n) })
    }

    /// One-sided critical values of 0.005, as printed in tables of Wilcoxon's test.
    @Test(arguments: [(8, 0), (9, 1), (10, 3), (15, 15), (20, 37), (25, 68), (30, 109), (40, 220)])
    func publishedCriticalValues(n: Int, value: Int) { #expect(SignedRank.critical(n, alpha: 0.005) == value) }

    @Test func tooFewRanksHaveNoCriticalValue() {
        for n in 0...7 { #expect(SignedRank.critical(n, alpha: 0.005) == nil) }
        #expect(SignedRank.cumulative(5, -1) == 0 && SignedRank.cumulative(5, 15) == 1)
    }

    @Test func theNormalApproximationContinuesTheExactValues() throws {
        let exact = SignedRank.cumulative(100, 1800)
        let above = SignedRank.cumulative(101, 1840)
        #expect(abs(exact - 0.0064) < 0.001 && abs(above - 0.0064) < 0.002)
        let critical = try #require(SignedRank.critical(150, alpha: 0.005))
        #expect(SignedRank.cumulative(150, critical) <= 0.005 && SignedRank.cumulative(150, critical + 2) > 0.005)
        #expect(abs(Normal.quantile(0.005) + 2.575829303548901) < 1e-9)
    }
}

@Suite struct HodgesLehmannTests {
    /// Depression before and after a therapy, Hollander and Wolfe, examples 3.1, 3.3, 3.4: estimate -0.46, and the
    /// interval (-0.786, -0.010) of 96 %.
    static let depression = zip(
        [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29],
        [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
    ).map { $0 - $1 }
    /// Darwin's maize, crossed minus selfed, eighths of an inch.
    static let maize = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48].map(Double.init)

    @Test func depressionScale() {
        let result = HodgesLehmann(Self.depression, confidence: 0.98)
        #expect(abs(result.estimate + 0.46) < 1e-12)
        #expect(abs(result.lower + 0.786) < 1e-12 && abs(result.upper + 0.010) < 1e-12)
    }

    @Test func maize() {
        let wide = HodgesLehmann(Self.maize, confidence: 0.995)
        #expect(wide.estimate == 25 && wide.lower == -13 && wide.upper == 49)
        let narrow = HodgesLehmann(Self.maize, confidence: 0.975)
        #expect(narrow.lower == 4 && narrow.upper == 41.5)
        #expect(wide.halfWidth == 31)
    }

    @Test func fewDifferencesHaveNoBounds() {
        let result = HodgesLehmann([1, 2, 3])
        #expect(result.estimate == 2 && result.lower == -.infinity && result.upper == .infinity)
        #expect(HodgesLehmann([5]).estimate == 5)
    }

    @Test func ratios() {
        let same = PairedRatio((1...10).map { (Double($0), Double($0) * 1.1) })
        #expect(abs(same.change - 0.1) < 1e-12 && abs(same.lower - 0.1) < 1e-12 && abs(same.upper - 0.1) < 1e-12)
    }

    /// The median of the Walsh averages by definition, and what shifting, scaling and turning do to the bounds.
    @Test(arguments: TestSeeds.thisRun) func followsItsDefinition(seed: UInt64) {
        var noise = Noise(seed: seed)
        for count in 8...30 {
            let values = (0..<count).map { _ in noise.normal() }
            let result = HodgesLehmann(values)
            var averages: [Double] = []
            for i in values.indices { for j in i..<count { averages.append((values[i] + values[j]) / 2) } }
            averages.sort()
            let critical = SignedRank.critical(count, alpha: 1 - 0.995)!
            #expect(result.lower == averages[critical] && result.upper == averages[averages.count - 1 - critical])
            let turned = HodgesLehmann(values.map { -$0 })
            #expect(turned.lower == -result.upper && abs(turned.estimate + result.estimate) < 1e-12)
            let moved = HodgesLehmann(values.map { $0 * 2 + 3 })
            #expect(abs(moved.estimate - (result.estimate * 2 + 3)) < 1e-9)
        }
    }

    /// Bounds of 97.5 % each miss the centre in 2.5 % of samples, or a little less: the statistic is discrete.
    @Test func coverageUnderSimulatedNoise() {
        var noise = Noise(seed: 7)
        var below = 0
        var above = 0
        let trials = 4000
        for _ in 0..<trials {
            let result = HodgesLehmann((0..<20).map { _ in noise.heavyTailed() }, confidence: 0.975)
            if result.lower > 0 { above += 1 }
            if result.upper < 0 { below += 1 }
        }
        // 100 are expected of each; the standard deviation is 10.
        #expect((55...140).contains(above) && (55...140).contains(below), "\(above), \(below)")
    }
}

@Suite struct PairedRuleTests {
    @Test func thueMorse() {
        // The first sixteen terms, as everywhere in the literature.
        let bits = (0..<16).map { ThueMorse.isSwapped($0) ? 1 : 0 }
        #expect(bits == [0, 1, 1, 0, 1, 0, 0, 1, 1, 0, 0, 1, 0, 1, 1, 0])
        // In 2^k terms, drift of degree below k cancels (Prouhet).
        for degree in 0..<4 {
            let sum = (0..<16).reduce(0.0) { $0 + (bits[$1] == 0 ? 1 : -1) * pow(Double($1), Double(degree)) }
            #expect(sum == 0)
        }
    }

    private let rule = PairedRule()

    @Test func looksOnlyWhenItIsTime() {
        #expect(rule.judge([Double](repeating: 0, count: 9)) == .undecided)
        #expect(rule.judge([Double](repeating: 0, count: 11)) == .undecided)
        #expect(rule.judge([Double](repeating: 0, count: 10)) == .pass)
        #expect(rule.judge([Double](repeating: 0.1, count: 10)) == .undecided)
        #expect(rule.judge([Double](repeating: 0.1, count: 20)) == .undecided)
        #expect(rule.judge([Double](repeating: 0.1, count: 40)) == .candidate)
    }

    @Test func bordersOfTheLastLook() {
        func constant(_ change: Double) -> [Double] { [Double](repeating: log1p(change), count: 40) }
        #expect(rule.judge(constant(0.021)) == .candidate)
        #expect(rule.judge(constant(0.019)) == .pass)
        #expect(rule.judge(constant(-0.5)) == .pass)
        let noisy = (0..<40).map { (Double($0) - 19.5) / 19.5 * 0.6 }
        #expect(rule.judge(noisy) == .inconclusive)
        // Noise as great, and better in spite of it.
        #expect(rule.judge(noisy.map { $0 - 0.3 }) == .pass)
        // Noise as great, and all of it worse: the lower bound decides first.
        #expect(rule.judge(noisy.map { $0 + 0.9 }) == .candidate)
    }

    @Test func decidesAtTheFirstLookThatCan() {
        #expect(rule.decide([Double](repeating: 0.01, count: 40)) == (.pass, 10))
        #expect(rule.decide([Double](repeating: 0.06, count: 40)) == (.candidate, 40))
        var early = [Double](repeating: 0.2, count: 40)
        for index in 0..<40 where index >= 3 { early[index] = 0 }
        #expect(rule.decide(early).verdict == .pass)
    }
}

@Suite struct ResamplingTests {
    /// Timings with drift, bursts and outliers; the same program on both sides.
    static func timings(_ count: Int, seed: UInt64, spread: Double) -> [Double] {
        var noise = Noise(seed: seed)
        var level = 0.0
        return (0..<count).map { index in
            level = 0.9 * level + 0.3 * spread * noise.normal()
            let burst = noise.uniform() < 0.03 ? 0.5 : 0
            return exp(level + spread * noise.normal() + burst + 0.05 * sin(Double(index) / 60))
        }
    }

    @Test func aProgramAgainstItselfDoesNotFail() {
        let rates = Resampling.rates(Self.timings(1000, seed: 11, spread: 0.03), step: 6)
        #expect(rates.windows == 141 && rates.failed == 0 && rates.candidates == 0)
        #expect(rates.passed * 100 >= rates.windows * 95 && rates.pairsMean < 30, "\(rates)")
    }

    @Test func aSlowdownIsFound() {
        let timings = Self.timings(1000, seed: 11, spread: 0.03)
        let slower = Resampling.rates(timings, slowdown: 1.1, step: 6)
        #expect(slower.failed * 100 >= slower.windows * 95 && slower.passed * 100 <= slower.windows, "\(slower)")
        let faster = Resampling.rates(timings, slowdown: 0.9, step: 6)
        #expect(faster.failed == 0 && faster.passed * 100 >= faster.windows * 95, "\(faster)")
    }

    @Test func tooMuchNoiseIsInconclusive() {
        let rates = Resampling.rates(Self.timings(1000, seed: 5, spread: 0.5), step: 7)
        #expect(rates.failed == 0 && rates.inconclusive > rates.windows / 2, "\(rates)")
    }

    /// Independent pairs of one program: how often the first measurement is a candidate is what the confidence allows.
    @Test func falseCandidatesAreRare() {
        var noise = Noise(seed: 3)
        var candidates = 0
        for _ in 0..<2000 {
            let pairs = (0..<40).map { _ in 0.05 * noise.normal() }
            if PairedRule().decide(pairs).verdict == .candidate { candidates += 1 }
        }
        #expect(candidates <= 4, "\(candidates) of 2000")
    }

    @Test func theOldHabitsCryWolfWhereTheMachineDrifts() {
        let timings = Self.timings(1000, seed: 11, spread: 0.08)
        #expect(Resampling.blockwiseUTestRate(timings, size: 10) > 0.1)
        #expect(Resampling.medianRate(timings, size: 10) > 0.1)
        let still = [Double](repeating: 1, count: 100)
        #expect(Resampling.medianRate(still, size: 10) == 0 && Resampling.blockwiseUTestRate(still, size: 10) == 0)
    }

    @Test func ranksShareTies() {
        #expect(Ranks.of([3, 1, 3, 2]) == [3.5, 1, 3.5, 2])
        #expect(Ranks.of([]).isEmpty)
    }
}

@Suite struct ChangePointTests {
    /// Flow of the Nile at Aswan, 1871-1970: the level changed after 1898. Pettitt's statistic is 1617, p 3.591e-07.
    static let nile: [Double] = [
        1120, 1160, 963, 1210, 1160, 1160, 813, 1230, 1370, 1140, 995, 935, 1110, 994, 1020, 960, 1180, 799, 958, 1140,
        1100, 1210, 1150, 1250, 1260, 1220, 1030, 1100, 774, 840, 874, 694, 940, 833, 701, 916, 692, 1020, 1050, 969,
        831, 726, 456, 824, 702, 1120, 1100, 832, 764, 821, 768, 845, 864, 862, 698, 845, 744, 796, 1040, 759, 781, 865,
        845, 944, 984, 897, 822, 1010, 771, 676, 649, 846, 812, 742, 801, 1040, 860, 874, 848, 890, 744, 749, 838, 1050,
        918, 986, 797, 923, 975, 815, 1020, 906, 901, 1170, 912, 746, 919, 718, 714, 740,
    ]

    @Test func theNileAtAswan() throws {
        let strongest = try #require(ChangePoints.strongest(Self.nile))
        #expect(strongest.index == 28 && strongest.statistic == 1617)
        #expect(abs(strongest.probability - 3.591e-7) < 1e-10)
        let changes = ChangePoints.find(Self.nile)
        #expect(changes.map(\.index) == [28])
        #expect(changes.first?.before == 1130 && changes.first?.after == 842.5)
    }

    @Test func noChangeInNothing() {
        #expect(ChangePoints.find([]).isEmpty && ChangePoints.find([1]).isEmpty)
        #expect(ChangePoints.find([Double](repeating: 4, count: 50)).isEmpty)
    }

    @Test func cleanStepsNeedFourteenValues() {
        func step(_ half: Int) -> [Double] { (0..<(2 * half)).map { $0 < half ? 1 : 2 } }
        #expect(ChangePoints.find(step(6)).isEmpty)
        #expect(ChangePoints.find(step(8)).map(\.index) == [8])
    }

    @Test func severalLevels() {
        var noise = Noise(seed: 9)
        let levels = [(40, 1.0), (30, 1.1), (40, 0.9)]
        let values = levels.flatMap { count, level in (0..<count).map { _ in level * (1 + 0.01 * noise.normal()) } }
        let changes = ChangePoints.find(values)
        #expect(changes.count == 2)
        for (change, index) in zip(changes, [40, 70]) { #expect(abs(change.index - index) <= 2, "\(changes)") }
        #expect(abs(changes[0].change - 0.1) < 0.02)
    }

    /// Noise with outliers has few changes: 1 % of the series at most, whatever their length.
    @Test func falseChangesAreRare() {
        var noise = Noise(seed: 1)
        var found = 0
        for trial in 0..<600 {
            let values = (0..<(10 + trial % 60)).map { _ in noise.heavyTailed() }
            if !ChangePoints.find(values).isEmpty { found += 1 }
        }
        #expect(found <= 8, "\(found) of 600")
    }
}

/// Noise for simulations.
struct Noise {
    private var random: SplitMix64

    init(seed: UInt64) { random = SplitMix64(seed: seed) }

    /// In [0, 1).
    mutating func uniform() -> Double { Double(random.next() >> 11) * 0x1p-53 }

    mutating func normal() -> Double {
        let radius = (-2 * log(1 - uniform())).squareRoot()
        return radius * cos(2 * .pi * uniform())
    }

    /// Normal, and now and then ten times as wide.
    mutating func heavyTailed() -> Double { normal() * (uniform() < 0.1 ? 10 : 1) }
}
