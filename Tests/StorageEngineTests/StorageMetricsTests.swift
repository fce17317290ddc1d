// StorageMetricsTests.swift - the plain values of the engine.

import StorageEngine
import Testing

@Suite struct StorageMetricsTests {
    @Test func hitRatioNeedsRequests() {
        var metrics = CacheMetrics()
        #expect(metrics.hitRatio == nil)
        metrics.requests = 4
        metrics.misses = 1
        #expect(metrics.hitRatio == 0.75)
    }
}
