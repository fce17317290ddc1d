// Churn.swift - how targets are replaced: by a rate, by deploys of services, or after a few scrapes.
//
//   rate      at each occasion a share of the targets, drawn anew each time       churn: {rate: 0.01, every: 10m}
//   life      the same with the share that follows from a mean life               churn: {life: 6h}
//   deploys   services of neighbouring slots; a deploy replaces a share of the replicas of one service a step,
//             until all of them are new; several services at one hour of the day
//                                                        churn: {deploys: {services: 100, every: 1h, share: 0.25, ...}}
//   scrapes   every target lives for a number of scrapes drawn from a range       churn: {scrapes: [1, 3]}
//
//   a deploy at T, share 0.25, step 30 s, 20 replicas:
//
//     T         replicas 0 to 4      T + 30 s   5 to 9      T + 60 s   10 to 14      T + 90 s   15 to 19
//
// Deploys come at multiples of `every` since 1970, so that an hour of the day is one whenever the stream starts. All
// kinds answer from hashes and from the state of the one slot, so any worker can ask for its own slots.
//
// Threads: plain values.

import StorageRuntime

extension Profile {
    /// How targets are replaced.
    public struct Churn: Sendable {
        /// Share of the targets replaced at each occasion, 0...1; 0 with ``deploys`` and ``scrapes``.
        public var share = 0.0
        /// Milliseconds between the occasions, at least one interval.
        public var everyMs: Int64
        /// The virtual time, since the start, in which targets are replaced.
        public var fromMs: Int64 = 0
        /// See ``fromMs``; `Int64.max` is "to the end".
        public var untilMs: Int64 = .max
        /// Mean life of a target when the profile gives one.
        public var lifeMs: Int64?
        /// Deploys of services.
        public var deploys: Deploys?
        /// Scrapes that a target lives for, each number as likely as the others.
        public var scrapes: ClosedRange<Int>?

        /// Nothing is replaced; occasions would come at every interval.
        init(everyMs: Int64) { self.everyMs = everyMs }

        /// Whether anything is ever replaced.
        public var isActive: Bool { share > 0 || deploys != nil || scrapes != nil }
    }

    /// Deploys of services: groups of neighbouring slots.
    public struct Deploys: Sendable {
        /// Number of services; each has the same number of replicas, the last one may have fewer.
        public let services: Int
        /// Milliseconds between two deploys.
        public let everyMs: Int64
        /// Share of the replicas replaced at each step.
        public let share: Double
        /// Milliseconds between two steps.
        public let stepMs: Int64
        /// Services that are deployed at once at ``burstAtMs``.
        public let burst: Int
        /// Time of the day of the burst, in milliseconds; nil when there is none.
        public let burstAtMs: Int64?

        /// Steps until all replicas are new.
        public var steps: Int { Int((1 / share).rounded(.up)) }

        /// Services deployed at the moment `deploy * everyMs`.
        func serviceCount(deploy: Int64) -> Int {
            guard let burstAtMs else { return 1 }
            return deploy * everyMs % 86_400_000 == burstAtMs ? burst : 1
        }

        /// Calls `body` with the number of a deploy and of its step for every step after `lowMs` and up to `highMs`,
        /// both Unix milliseconds, until it returns false.
        func forEachStep(after lowMs: Int64, to highMs: Int64, _ body: (_ deploy: Int64, _ step: Int) -> Bool) {
            var deploy = max(0, (lowMs - Int64(steps - 1) * stepMs) / everyMs)
            while deploy * everyMs <= highMs {
                for step in 0..<steps {
                    let moment = deploy * everyMs + Int64(step) * stepMs
                    if moment > lowMs, moment <= highMs, !body(deploy, step) { return }
                }
                deploy += 1
            }
        }

        /// Tells whether a step of a deploy replaces the target of a slot.
        func replaces(slot: Int, targets: Int, deploy: Int64, step: Int, seed: UInt64) -> Bool {
            let replicas = (targets + services - 1) / services
            guard slot % replicas * steps / replicas == step else { return false }
            let first = SplitMix64.mix(seed ^ UInt64(bitPattern: deploy)).multipliedFullWidth(by: UInt64(services)).high
            let distance = slot / replicas - Int(first)
            return (distance < 0 ? distance + services : distance) < serviceCount(deploy: deploy)
        }
    }

    /// Rounds in which targets may be replaced: the first has only new targets anyway.
    public func isChurnRound(_ round: Int) -> Bool {
        guard round > 0, churn.isActive else { return false }
        let now = Int64(round) * intervalMs
        guard now >= churn.fromMs, now < churn.untilMs else { return false }
        if churn.scrapes != nil { return true }
        if let deploys = churn.deploys {
            var comes = false
            deploys.forEachStep(after: startMs + now - intervalMs, to: startMs + now) { _, _ in
                comes = true
                return false
            }
            return comes
        }
        return now / churn.everyMs != (now - intervalMs) / churn.everyMs
    }

    /// Configured new series / rows in the rounds in which targets may be replaced, on average.
    public var churnShare: Double {
        if let scrapes = churn.scrapes { return Profile.renewalShare(scrapes, rounds: rounds) }
        guard let deploys = churn.deploys else { return churn.share }
        var replaced = 0.0
        var churnRounds = 0
        for round in 1..<max(2, rounds) where isChurnRound(round) {
            churnRounds += 1
            let now = startMs + Int64(round) * intervalMs
            deploys.forEachStep(after: now - intervalMs, to: now) { deploy, _ in
                replaced += Double(min(deploys.serviceCount(deploy: deploy), deploys.services))
                return true
            }
        }
        return replaced / Double(deploys.steps * deploys.services) / Double(max(1, churnRounds))
    }

    /// An upper bound, with room for chance, of the series of all rounds.
    var seriesBound: Double {
        let end = min(churn.untilMs, Int64(rounds) * intervalMs)
        let span = Double(max(0, end - churn.fromMs))
        var lives = 1.0
        if let scrapes = churn.scrapes {
            lives += Double(rounds) / Double(scrapes.lowerBound)
        } else if let deploys = churn.deploys {
            lives += (span / Double(deploys.everyMs) + 2) * Double(deploys.burst) / Double(deploys.services)
        } else {
            lives += 1.05 * (span / Double(churn.everyMs)).rounded(.down) * churn.share
        }
        return Double(series) * lives
    }

    /// Share of the targets that are new in a round when each lives for one of `scrapes` rounds and all began in
    /// round 0: the mean over the rounds from 1 on.
    private static func renewalShare(_ scrapes: ClosedRange<Int>, rounds: Int) -> Double {
        var fresh = [1.0]
        for round in 1..<max(2, min(rounds, 10_000)) {
            var sum = 0.0
            for life in scrapes where life <= round { sum += fresh[round - life] }
            fresh.append(sum / Double(scrapes.count))
        }
        return fresh.dropFirst().reduce(0, +) / Double(fresh.count - 1)
    }

    var churnText: String {
        guard churn.isActive else { return "none" }
        var text: String
        if let scrapes = churn.scrapes {
            text = "targets live for \(scrapes.lowerBound) to \(scrapes.upperBound) scrapes"
        } else if let deploys = churn.deploys {
            text = "every \(TimeText.span(deploys.everyMs)) a deploy of one of \(deploys.services) services, "
            text += "\(Figures.short(deploys.share * 100)) % of its replicas each \(TimeText.span(deploys.stepMs))"
            if let burstAtMs = deploys.burstAtMs {
                text += "; of \(deploys.burst) at \(TimeText.timeOfDay(burstAtMs))"
            }
        } else if let lifeMs = churn.lifeMs {
            text = "targets live \(TimeText.span(lifeMs)) on average (exponential)"
        } else {
            text = "\(Figures.short(churn.share * 100)) % of the targets every \(TimeText.span(churn.everyMs))"
        }
        if churn.fromMs > 0 { text += ", from \(TimeText.span(churn.fromMs))" }
        if churn.untilMs != .max { text += ", until \(TimeText.span(churn.untilMs))" }
        return text
    }
}
