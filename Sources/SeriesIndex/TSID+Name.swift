// TSID+Name.swift - the TSID that a series gets when it is registered (docs/format/series-index.md, 3.2).

import StorageBytes

extension TSID {
    /// The TSID of a new series. The source of `name` is still alive.
    public init(of name: borrowing CanonicalName, metricID: UInt64) {
        self.init(
            tenant: name.tenant, metricGroupID: Hash.xxh64(name.group),
            jobID: name.tagCount > 0 ? UInt32(truncatingIfNeeded: Hash.xxh64(name.value(0))) : 0,
            instanceID: name.tagCount > 1 ? UInt32(truncatingIfNeeded: Hash.xxh64(name.value(1))) : 0,
            metricID: metricID)
    }
}
