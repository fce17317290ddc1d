// TSID.swift - the id under which the samples of a series are stored (docs/format/series-index.md, 3).
//
//   offset 0   accountID      u32   \ tenant
//          4   projectID      u32   /
//          8   metricGroupID  u64   xxh64 of the metric group
//         16   jobID          u32   low half of xxh64 of the first tag's value, 0 without tags
//         20   instanceID     u32   the same of the second tag's value, 0 with fewer than two tags
//         24   metricID       u64   unique on the node
//
// The order of the fields is the order of the stored bytes. The hashes only bring series together that are read
// together: they are never recomputed and compared, since old data holds stray values there.

/// A time series id.
@frozen public struct TSID: Hashable, Comparable, Sendable {
    /// Whose series it is.
    public var tenant: Tenant
    /// Hash of the metric group.
    public var metricGroupID: UInt64
    /// Hash of the value of the first tag.
    public var jobID: UInt32
    /// Hash of the value of the second tag.
    public var instanceID: UInt32
    /// The id of the series on its node.
    public var metricID: UInt64

    /// Bytes of the stored form.
    public static let storedBytes = 32

    /// A TSID of the given fields.
    @inlinable public init(tenant: Tenant, metricGroupID: UInt64, jobID: UInt32, instanceID: UInt32, metricID: UInt64) {
        self.tenant = tenant
        self.metricGroupID = metricGroupID
        self.jobID = jobID
        self.instanceID = instanceID
        self.metricID = metricID
    }

    /// Reads the stored form from the first 32 of `bytes`; what follows is not looked at. Throws `.truncated`.
    @inlinable public init(_ bytes: UnsafeRawBufferPointer) throws(DecodeError) {
        guard bytes.count >= TSID.storedBytes, let start = bytes.baseAddress else { throw .truncated }
        self.init(loading: start)
    }

    /// Reads the stored form. The caller guarantees 32 readable bytes.
    @inlinable public init(loading start: UnsafeRawPointer) {
        self.init(
            tenant: Tenant(bits: BigEndian.load64(start)), metricGroupID: BigEndian.load64(start + 8),
            jobID: BigEndian.load32(start + 16), instanceID: BigEndian.load32(start + 20),
            metricID: BigEndian.load64(start + 24))
    }

    /// Writes the stored form. The caller guarantees room for 32 bytes.
    @inlinable public func store(at target: UnsafeMutableRawPointer) {
        BigEndian.store64(tenant.bits, at: target)
        BigEndian.store64(metricGroupID, at: target + 8)
        BigEndian.store32(jobID, at: target + 16)
        BigEndian.store32(instanceID, at: target + 20)
        BigEndian.store64(metricID, at: target + 24)
    }

    /// Order of the stored bytes.
    @inlinable public static func < (a: TSID, b: TSID) -> Bool {
        if a.tenant != b.tenant { return a.tenant < b.tenant }
        if a.metricGroupID != b.metricGroupID { return a.metricGroupID < b.metricGroupID }
        if a.jobID != b.jobID { return a.jobID < b.jobID }
        if a.instanceID != b.instanceID { return a.instanceID < b.instanceID }
        return a.metricID < b.metricID
    }
}
