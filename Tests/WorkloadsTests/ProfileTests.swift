// ProfileTests.swift - loading, size steps, overrides, and the errors of profile files.

import Testing

@testable import StorageRuntime
@testable import Workloads

@Suite struct ProfileTests {
    @Test func listsTheProfiles() throws {
        let listings = try Profile.list(Place.profiles)
        #expect(Set(listings.map(\.name)) == Set(Catalogue.names))
        for listing in listings { #expect(listing.title != nil, "\(listing.problem ?? "")") }
    }

    @Test(arguments: Catalogue.names, ProfileSize.allCases)
    func everyProfileLoadsInEverySize(name: String, size: ProfileSize) throws {
        let profile = try Catalogue.load(name, size: size)
        #expect(profile.name == name)
        if !["rolling-deploy", "midnight-rotation", "backfill-ooo"].contains(name) {
            #expect(profile.startMs == 1_640_995_800_000)
        }
        #expect(!profile.sources.isEmpty)
        let text = profile.description
        for source in profile.sources { #expect(text.contains(source)) }
        #expect(text.contains("\(profile.series) active in \(profile.targets) targets"))
        if size == .s, !["rows-short", "backfill-ooo"].contains(name) {
            #expect((1900...20_000).contains(profile.series))
        }
    }

    @Test func theConfiguredFiguresOfTheSpecification() throws {
        let node = try Catalogue.load("node-steady", size: .m)
        #expect(node.targets == 160 && node.seriesPerTarget == 1230 && node.intervalMs == 10_000)
        #expect(node.churn.share == 0 && node.tags.count == 4)
        #expect(abs(try SeriesPlan(node).counterShare - 0.6) < 0.01)
        let pods = try Catalogue.load("k8s-pods", size: .m)
        #expect(pods.targets == 1800 && pods.groups == 2 && pods.seriesPerTarget == 96 && pods.series == 172_800)
        #expect(pods.intervalMs == 30_000 && pods.churn.lifeMs == 21_600_000)
        #expect(
            pods.tags.map(\.key) == [
                "container", "id", "image", "name", "namespace", "pod", "instance", "job", "cluster", "metrics_path",
                "node", "service",
            ])
        #expect(try Catalogue.load("k8s-pods", size: .s).series == 2000)
        let searches = try #require(try Catalogue.load("read-write", size: .m).searches)
        #expect(searches.perSecond == 20 && searches.windowMs == 300_000 && searches.wideShare == 0.05)
        #expect(searches.load == 0.5 && pods.searches == nil)
        #expect(try Catalogue.load("read-write", size: .l).searches?.perSecond == 50)
        let storm = try Catalogue.load("churn-storm", size: .m)
        #expect(storm.series == 200_000 && storm.newPerRow == 0.11 && storm.churn.untilMs == 900_000)
        let wide = try Catalogue.load("wide-labels", size: .m)
        #expect(wide.series == 20_000 && wide.tags.count == 30)
        let churn = try Catalogue.load("node-churn", size: .m)
        #expect(churn.targets == 160 && churn.churn.everyMs == 600_000 && abs(churn.newPerRow - 0.01 / 60) < 1e-12)
        let deploy = try Catalogue.load("rolling-deploy", size: .m)
        #expect(deploy.series == 100_000 && deploy.churn.deploys?.burstAtMs == 64_800_000)
        #expect(abs(deploy.churnShare - 0.01) < 1e-12)
        let ids = try Catalogue.load("id-label", size: .m)
        #expect(ids.seriesPerTarget == 70 && ids.churn.scrapes == 1...3 && abs(ids.churnShare - 0.49) < 0.02)
        #expect(try Catalogue.load("tenants-zipf", size: .m).tenants.count == 1000)
        let midnight = try Catalogue.load("midnight-rotation", size: .m)
        #expect(midnight.series == 300_000 && midnight.rotateAtMs == [2_700_000])
        #expect(midnight.startMs + Int64(midnight.rounds / 2) * midnight.intervalMs == 1_641_081_600_000)
        let starved = try Catalogue.load("cache-starved", size: .m)
        #expect(starved.series == pods.series && starved.tsidCacheShare == 0.5 && starved.churn.lifeMs == nil)
        #expect((0..<starved.rounds).filter { starved.isChurnRound($0) } == [8])
        let prom = try Catalogue.load("prom-20k", size: .l)
        #expect(prom.series == 10_000 && prom.rounds == 3000 && prom.intervalMs == 30_000)
        #expect(try Catalogue.load("names-two-tags").perDay == false)
        #expect(try Catalogue.load("rows-short", size: .m).series == 1000)
    }

    @Test func overridesReachEveryField() throws {
        let grown = try Catalogue.load("k8s-pods", ["series=500000"])
        #expect(grown.series == 500_000 && grown.targets == 5209)
        let churned = try Catalogue.load("k8s-pods", ["churn.rate=0.05"])
        #expect(churned.churn.share == 0.05 && churned.churn.lifeMs == nil && churned.newPerRow == 0.05)
        let aged = try Catalogue.load("churn-storm", ["churn.life=1h"])
        #expect(aged.churn.lifeMs == 3_600_000 && abs(aged.churn.share - 0.008299) < 1e-6)
        let slow = try Catalogue.load("node-steady", ["churn.rate=0.01", "churn.every=10m"])
        #expect(abs(slow.newPerRow - 0.01 / 60) < 1e-12)
        for count in [2, 35, 45] {
            let wide = try Catalogue.load("wide-labels", ["labels=\(count)"])
            #expect(wide.tags.count == count)
            #expect(wide.expect.nameBytes == nil && wide.expect.labels == nil)
        }
        let listed = try Catalogue.load(
            "rows-short",
            [
                "tags=[{key: a, value: 'x{slot.num}'}]", "families=[{name: m, labels: {l: 7}}]", "start=0",
                "interval=1m", "rounds=9", "targets=3", "tenants.count=5", "tenants.zipf=1.1", "per_day=false",
                "values.idle_counters=1", "expect.name_bytes=[1, 2]",
            ])
        #expect(listed.tags.map(\.key) == ["a"] && listed.series == 21 && listed.startMs == 0)
        #expect(listed.intervalMs == 60_000 && listed.rounds == 9 && listed.tenants.count == 5)
        #expect(listed.expect.nameBytes == 1...2 && listed.values.idleCounters == 1)
        #expect(listed.overrides.count == 11)
        let sized = try Catalogue.load("k8s-pods", ["series=1_000_000"])
        #expect(sized.series == 1_000_000)
    }

    @Test func aBaseGivesWhatTheProfileDoesNotSay() throws {
        let directory = Place.profiles + "/"
        func load(_ text: String, size: ProfileSize = .m) throws -> Profile {
            try Profile.parse("name: x\ntitle: t\nsources: [s]\n" + text, path: directory + "x.yaml", size: size)
        }
        let plain = try load("base: k8s-pods\n")
        #expect(plain.series == 172_800 && plain.churn.lifeMs == 21_600_000 && plain.sources == ["s"])
        #expect(try load("base: k8s-pods\n", size: .s).series == 2000)
        let changed = try load("base: k8s-pods\nseries: 500\nchurn: {scrapes: [2, 2]}\nsizes: {s: {rounds: 3}}\n")
        #expect(changed.series == 500 && changed.churn.scrapes == 2...2 && changed.churn.lifeMs == nil)
        // A size step replaces the one of the base.
        let small = try load("base: k8s-pods\nseries: 500\nsizes: {s: {rounds: 3}}\n", size: .s)
        #expect(small.series == 500 && small.rounds == 3)
        #expect(problem { _ = try load("base: node-churn\n") }.contains("expected a profile that has no base itself"))
        #expect(problem { _ = try load("base: [k8s-pods]\n") }.contains("'base': expected the name of a profile"))
    }

    @Test func deploysReplaceAServiceStepByStep() throws {
        let profile = try Catalogue.load("rolling-deploy", size: .m)
        let deploys = try #require(profile.churn.deploys)
        #expect(deploys.steps == 4)
        let rounds = (0..<profile.rounds).filter { profile.isChurnRound($0) }
        // 17:00, 18:00 and 19:00, counted from 16:30 in rounds of 30 s.
        #expect(rounds == [60, 61, 62, 63, 180, 181, 182, 183, 300, 301, 302, 303])
        func replaced(_ deploy: Int64, _ step: Int) -> [Int] {
            (0..<profile.targets).filter {
                deploys.replaces(slot: $0, targets: profile.targets, deploy: deploy, step: step, seed: 7)
            }
        }
        let evening = profile.startMs / deploys.everyMs + 2
        for deploy in [evening - 1, evening] {
            let count = deploy == evening ? 10 : 1
            #expect(deploys.serviceCount(deploy: deploy) == count)
            var all = [Int]()
            for step in 0..<4 {
                let slots = replaced(deploy, step)
                #expect(slots.count == 5 * count && slots.allSatisfy { $0 % 20 / 5 == step })
                all += slots
            }
            // Whole services, each replica once.
            #expect(Set(all).count == 20 * count && Set(all.map { $0 / 20 }).count == count)
        }
        #expect(Set((0..<200).map { replaced($0, 0)[0] / 20 }).count > 60)
    }

    @Test func overrideErrorsNameTheOverrideAndTheValidKeys() {
        func failure(_ override: String, _ name: String = "k8s-pods") -> String {
            problem { _ = try Catalogue.load(name, [override]) }
        }
        let valid = Profile.settableKeys.joined(separator: ", ")
        #expect(failure("sereis=5") == "--set sereis=5: unknown key 'sereis'; valid keys: \(valid)")
        #expect(
            failure("churn.rte=1")
                == "--set churn.rte=1: unknown key 'churn.rte'; valid keys: churn.rate, churn.life, churn.every, "
                + "churn.from, churn.until, churn.scrapes, churn.deploys")
        #expect(
            failure("series=many")
                == "--set series=many: 'series': expected a whole number from 1 to 200000000, found 'many'")
        #expect(failure("series").hasPrefix("--set series: expected key=value; valid keys: "))
        #expect(failure("=5").hasPrefix("--set =5: expected key=value"))
        #expect(failure("sizes.s=5").contains("unknown key 'sizes.s'"))
        #expect(failure("a..b=5").contains("unknown key 'a..b'"))
        #expect(failure("churn=5").contains("'churn': expected a map of keys and values, found '5'"))
        #expect(failure("series.x=5").contains("'series': expected a whole number"))
        #expect(failure("churn.rate=2").contains("'churn.rate': expected a number from 0.0 to 1.0, found '2'"))
        #expect(failure("interval=5 minutes").contains("'interval': expected a time span such as 250ms"))
        #expect(failure("labels=13").contains("and no 'filler'"))
        #expect(failure("tags=[").hasPrefix("--set tags=[: not valid YAML"))
        #expect(failure("groups=7").contains("groups") == false)
        #expect(failure("churn.rate=0.1", "rows-short").contains("no tag tells a replaced target"))
        #expect(failure("groups=2", "rows-short").contains("no tag tells the groups apart"))
        #expect(failure("labels=1", "rows-short").contains("no error"))
        #expect(problem { _ = try Catalogue.load("rows-short", ["labels=1", "targets=2"]) }.contains("apart"))
        #expect(failure("page=" + Place.page).contains("exclude each other"))
    }

    @Test func unknownProfilesNameTheKnownOnes() {
        let text = problem { _ = try Profile.load("k8s-pdos", directory: Place.profiles) }
        #expect(text.hasPrefix("unknown profile 'k8s-pdos'; "))
        for name in Catalogue.names { #expect(text.contains(name)) }
        #expect(problem { _ = try Profile.load("x", directory: "/nonexistent") }.contains("/nonexistent"))
        #expect(problem { _ = try Profile.load("./none.yaml", directory: Place.profiles) }.contains("./none.yaml"))
        #expect(problem { _ = try Profile.load("replay", directory: Place.profiles) }.contains("--file FILE"))
        #expect(!problem { _ = try Profile.load("/etc/", directory: Place.profiles) }.contains("\n"))
    }

    static let head = "name: x\ntitle: t\ninterval: 10s\n"

    @Test(arguments: [
        ("name: x\n title: [\n", "f.yaml: line 2: not valid YAML"),
        ("", "f.yaml: line 1: expected a map of keys and values, found nothing"),
        ("- a\n", "f.yaml: line 1: expected a map of keys and values, found a list"),
        ("just text\n", "expected a map of keys and values, found 'just text'"),
        ("name: x\nname: y\n", "the key 'name' is given twice"),
        ("title: t\n", "line 1: the key 'name' is missing"),
        ("name: Big Name\n", "line 1: 'name': expected a name of the characters"),
        ("name: x\n", "the key 'title' is missing: expected text"),
        ("name: x\ntitle: t\n", "the key 'interval' is missing: expected a time span"),
        (head + "series: 10\n", "the profile has no series: expected 'families' or a 'page'"),
        (head + "families: [m]\n", "expected one of 'series' and 'targets', found none"),
        (head + "families: [m]\nseries: 1\ntargets: 1\n", "expected one of 'series' and 'targets', found both"),
        (head + "families: m\n", "line 4: 'families': expected a list, found 'm'"),
        (head + "families:\n  - m\n  - 9x\n", "line 6: 'families.name': expected a metric name"),
        (head + "families: [m, m]\nseries: 1\n", "the metric name 'm' is there twice"),
        (head + "families: [m]\nseries: 1\ncolour: red\n", "line 6: unknown key 'colour'; valid keys: name, "),
        (head + "families:\n  - {name: m, kind: gauge}\n", "line 5: unknown key 'families.kind'; valid keys: "),
        (
            head + "families:\n  - {name: m, type: meter}\n",
            "'families.type': expected counter, gauge or percent, found 'meter'"
        ),
        (head + "families:\n  - {name: m, labels: [a]}\n", "'families.labels': expected a map, found a list"),
        (head + "families:\n  - {name: m, labels: {a: 0}}\n", "the own label 'a': expected a count"),
        (head + "families:\n  - {name: m, labels: {a: [x, x]}}\n", "the own label 'a': expected distinct values"),
        (head + "families:\n  - {name: m, labels: {a-b: 3}}\n", "the own label 'a-b': expected a label name"),
        (head + "families:\n  - {name: m, labels: {a: {value: q, count: 2}}}\n", "expected {n} or {n:width}"),
        (head + "families:\n  - {name: m, labels: {a: 2000, b: 2000}}\n", "more than 1000000 series per group"),
        (head + "families: [m]\nseries: 1\ntags: [{key: a}]\n", "line 6: the key 'tags.value' is missing"),
        (head + "families: [m]\nseries: 1\ntags:\n  - {key: 1a, value: b}\n", "line 7: the tag key '1a'"),
        (head + "families: [m]\nseries: 1\ntags:\n  - {key: a, value: \"{b}\"}\n", "line 7: the value of tag 'a': "),
        (head + "families: [m]\nseries: 1\ntags:\n  - {key: a, value: \"x{slot.num\"}\n", "expected a closing '}'"),
        (head + "families: [m]\nseries: 1\ntags:\n  - {key: a, value: \"x}\"}\n", "expected a '{' before each '}'"),
        (
            head + "families: [m]\nseries: 1\ntags:\n  - {key: a, value: b}\n  - {key: a, value: c}\n",
            "'a' is there twice"
        ),
        (head + "families: [m]\nseries: 2\n", "no tag tells the targets apart"),
        (head + "families: [m]\nseries: 1\nseries_per_target: 2\n", "'series_per_target': expected a multiple of 1"),
        (head + "families: [m]\nseries: 1\nchurn: {rate: 0.1, life: 1h}\n", "line 6: 'churn': expected 'rate'"),
        (head + "families: [m]\nseries: 1\nchurn: {rate: 0.1, scrapes: [1, 2]}\n", "expected one of 'rate' or 'life'"),
        (head + "families: [m]\nseries: 1\nchurn: {scrapes: [0, 2]}\n", "'churn.scrapes': expected whole numbers"),
        (head + "families: [m]\nseries: 1\nchurn: {scrapes: [1, 2.5]}\n", "'churn.scrapes': expected whole numbers"),
        (head + "families: [m]\nseries: 1\nchurn: {deploys: {every: 1h}}\n", "'churn.deploys.services' is missing"),
        (
            head + "families: [m]\nseries: 1\nchurn: {deploys: {services: 2, every: 1h, burst_at: noon}}\n",
            "'churn.deploys.burst_at': expected a time of the day such as 18:00, found 'noon'"
        ),
        (head + "families: [m]\nseries: 1\nrotate_at: [5m, soon]\n", "'rotate_at': expected time spans such as 45m"),
        (head + "families: [m]\nseries: 1\nspread: 11s\n", "'spread': expected a time span"),
        (head + "families: [m]\nseries: 1\ncache: {tsid_share: 0}\n", "'cache.tsid_share': expected a number"),
        (head + "base: /etc/passwd\n", "line 4: 'base': expected the name of a profile of the same directory"),
        (head + "base: none\n", "line 4: 'base': expected the name of a profile of the same directory"),
        (head + "families: [m]\nseries: 1\nchurn: {rate: 0.1, every: 1s}\n", "'churn.every': expected a time span"),
        (head + "families: [m]\nseries: 1\nstart: yesterday\n", "line 6: 'start': expected a moment such as 2022"),
        (head + "families: [m]\nseries: 1\nstart: 2022-02-30T00:00:00Z\n", "line 6: 'start': expected a moment"),
        (head + "families: [m]\nseries: 1\nper_day: maybe\n", "'per_day': expected true or false, found 'maybe'"),
        (
            head + "families: [m]\nseries: 1\nexpect: {labels: 3}\n",
            "'expect.labels': expected a list [lowest, highest]"
        ),
        (head + "families: [m]\nseries: 1\nexpect: {labels: [3, 2]}\n", "'expect.labels': expected a list"),
        (head + "families: [m]\nseries: 1\nexpect: {value_bytes: {q: [1, 2]}}\n", "unknown key 'expect.value_bytes.q'"),
        (head + "families: [m]\nseries: 1\nsizes: {x: {}}\n", "line 6: unknown key 'sizes.x'; valid keys: sizes.s"),
        (head + "families: [m]\nseries: 1\nsizes: {s: 3}\n", "'sizes.s': expected a map of keys and values, found '3'"),
        (head + "families: [m]\nseries: 1\nsizes: 3\n", "'sizes': expected a map with the keys s, m, l"),
        (head + "families: [m]\nseries: 1\ntenants: {count: 0}\n", "'tenants.count': expected a whole number from 1"),
        (head + "page: /nonexistent\nseries: 1\n", "/nonexistent: no such file"),
        (head + "a: &x [1]\nb: *y\n", "not valid YAML"),
        (head + "\u{1}", "not valid YAML"),
    ])
    func badFilesGiveOneLineWithThePlace(text: String, expected: String) {
        let message = problem { _ = try Profile.parse(text, path: "f.yaml") }
        #expect(message.contains(expected), "\(message)")
        #expect(!message.contains("\n"), "\(message)")
    }

    @Test func hostileFilesAreRefused() {
        let deep = String(repeating: "[", count: 100_000)
        #expect(problem { _ = try Profile.parse(deep, path: "f") }.contains("not valid YAML"))
        let dashes = String(repeating: "- ", count: 100_000)
        #expect(problem { _ = try Profile.parse(dashes, path: "f") } != "no error")
        var laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1..<9 {
            let refs = Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ")
            laughs += "a\(level): &a\(level) [\(refs)]\n"
        }
        #expect(problem { _ = try Profile.parse(laughs, path: "f") }.contains("more than 100000 values"))
    }

    @Test func oversizedTextsAreRefused() {
        let long = String(repeating: "x", count: 70_000)
        func failure(_ families: String) -> String {
            problem {
                _ = try SeriesPlan(Profile.parse(ProfileTests.head + "series: 1\nfamilies: \(families)\n", path: "f"))
            }
        }
        #expect(failure("[{name: m, labels: {a: \(long)}}]").contains("values of at most 65535"))
        #expect(failure("[{name: m, labels: {a: [\(long)]}}]").contains("the own label 'a': expected a text"))
        #expect(failure("[{name: m, labels: {a: {value: '\(long){n}', count: 2}}}]").contains("at most 65535"))
        #expect(failure("[{name: m, labels: {\(long.prefix(300)): 2}}]").contains("a key of at most 256 bytes"))
        #expect(failure("[\(long)]").contains("expected a metric name"))
        #expect(failure("[{name: m, labels: {a: \(long.prefix(65_535))}}]").contains("at most 65500 bytes"))
        #expect(failure("[{name: m, labels: {a: 1000, b: 1000, c: 2}}]").contains("more than 1000000 series"))
        let churn = ["series=100000000", "churn.rate=1", "rounds=60", "churn.every=30s"]
        #expect(
            problem { _ = try RowStream(SeriesPlan(Catalogue.load("k8s-pods", churn))) }.contains(
                "more than 2^32 series"))
    }

    @Test func mutatedFilesNeverTrap() throws {
        let original = bytes(
            ProfileTests.head + "targets: 3\ntags:\n  - {key: a, value: \"x{slot.num:3}\"}\nchurn: {rate: 0.1}\n"
                + "families:\n  - {name: \"m_{n:2}\", repeat: 3, labels: {a: 2, b: [x, y]}}\n"
                + "expect: {labels: [1, 2]}\nsizes: {s: {targets: 2}}\n")
        for seed in 0..<400 as Range<UInt64> {
            var random = SplitMix64(seed: seed)
            var copy = original
            for _ in 0...random.below(4) {
                let index = random.below(copy.count)
                switch random.below(3) {
                case 0: copy[index] = UInt8(truncatingIfNeeded: random.next())
                case 1: copy.remove(at: index)
                default: copy.insert(copy[random.below(copy.count)], at: index)
                }
            }
            let text = String(decoding: copy, as: UTF8.self)
            let message = problem { _ = try Profile.parse(text, path: "f", size: .s) }
            #expect(!message.contains("\n"), "seed \(seed): \(message)")
        }
    }

    @Test func timesAndFigures() {
        #expect(TimeText.parseSpan("1.5h") == 5_400_000 && TimeText.parseSpan("250ms") == 250)
        #expect(TimeText.parseSpan("1") == nil && TimeText.parseSpan("s") == nil && TimeText.parseSpan("0.1ms") == nil)
        #expect(TimeText.span(5_400_000) == "90m" && TimeText.span(86_400_000) == "1d" && TimeText.span(0) == "0s")
        #expect(TimeText.parseMoment("2022-01-01T00:10:00Z") == 1_640_995_800_000)
        #expect(TimeText.parseMoment("2022-1-01T00:10:00Z") == nil && TimeText.parseMoment("-1") == nil)
        var random = SplitMix64(seed: 7)
        for _ in 0..<2000 {
            let moment = Int64(random.below(4_102_444_800)) * 1000
            #expect(TimeText.parseMoment(TimeText.moment(moment)) == moment)
        }
        #expect(TimeText.moment(951_782_400_000) == "2000-02-29T00:00:00Z")
        #expect(Figures.short(0.11) == "0.11" && Figures.short(-0.5) == "-0.5" && Figures.short(1052) == "1052")
        #expect(abs(Exponential.minus(1) - 0.36787944117144233) < 1e-14)
        #expect(abs(Exponential.minus(30) / 9.357622968840175e-14 - 1) < 1e-12 && Exponential.minus(0) == 1)
        #expect(abs(Logarithm.of(10) - 2.302585092994046) < 1e-12 && Logarithm.of(1) == 0)
    }

    @Test func templatesRenderWhatTheySay() throws {
        func render(_ text: String, slot: Int = 65, life: Int = 2, group: Int = 1) throws -> String {
            let template = try ValueTemplate.compile(text).get()
            let identity = TargetIdentity(
                slot: slot, slotHash: SplitMix64.mix(UInt64(slot)), life: life,
                targetHash: SplitMix64.mix(UInt64(slot * 100 + life)), group: group,
                groupHash: SplitMix64.mix(UInt64(slot * 1000 + life * 10 + group)))
            return String(unsafeUninitializedCapacity: template.bytesMax) {
                template.render(identity, to: UnsafeMutableRawPointer($0.baseAddress!))
            }
        }
        #expect(try render("a{slot.num:4}-{target.num}{group.num:2}z") == "a0065-201z")
        #expect(try render("{slot.part:30:2}") == "02")
        let uuid = try render("{target.uuid}")
        #expect(uuid.wholeMatch(of: /[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/) != nil)
        #expect(try render("{group.hex:64}").wholeMatch(of: /[0-9a-f]{64}/) != nil)
        #expect(try render("{target.alnum:9}").wholeMatch(of: /[0-9a-z]{9}/) != nil)
        #expect(try render("{slot.of:40:3}") == render("{slot.of:40:3}", life: 9, group: 7))
        #expect(try render("{target.uuid}") == render("{target.uuid}", group: 3))
        #expect(try render("{target.uuid}") != render("{target.uuid}", life: 3))
        #expect(try render("{target.uuid#b}") != render("{target.uuid}"))
        #expect(["red", "blue"].contains(try render("{slot.pick:red|blue}")))
        for bad in [
            "{n}", "{slot}", "{slot.num:0}", "{target.part:3}", "{slot.of}", "{slot.hex:5000}", "{slot.pick:|}",
        ] {
            #expect(throws: TemplateError.self) { try render(bad) }
        }
    }
}
