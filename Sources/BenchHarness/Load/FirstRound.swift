// FirstRound.swift - the rows that loads send: the first round of a profile, prepared once and sent again and again.

import StorageRuntime
import Workloads

extension RoundFeed {
    /// A feed that stands on the first round of a profile, in the order of the scrape: one row of each series. Its rows, and the
    /// names they point to, live as long as the feed: whoever uses ``rows`` keeps it.
    ///
    /// - Throws: `.badInput` when the profile makes no rows; what generating it throws.
    static func firstRound(of profile: Profile, seed: UInt64) throws(HarnessError) -> RoundFeed {
        let source: RowSource
        do throws(StorageError) {
            let plan = try SeriesPlan(profile, seed: seed)
            source = RowSource(plan, try SeriesPool(plan))
        } catch { throw HarnessError(error, while: "generating \(profile.name)") }
        var feed: RoundFeed
        do throws(StorageError) {
            feed = try RoundFeed(source, order: .scrape, seed: seed)
        } catch { throw HarnessError(error, while: "preparing rows") }
        guard feed.next() else { throw HarnessError(.badInput, "\(profile.name) makes no rows") }
        return feed
    }
}
