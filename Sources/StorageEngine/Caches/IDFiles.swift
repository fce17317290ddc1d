// IDFiles.swift - the small cache files that hold sets of metric ids over a restart
// (docs/format/series-index.md, 7.8).
//
//   curr_hour_metric_ids, prev_hour_metric_ids
//     isFull   u64                 0 or 1
//     hour     u64                 hours since 1970
//     ids      count u64, metricID u64 x count
//     tenants  count u64, then for each: accountID u32, projectID u32, count u64, metricID u64 x count
//
//   next_day_metric_ids
//     date     u64                 days since 1970
//     ids      count u64, metricID u64 x count
//
// All numbers are big-endian; ids may come in any order and are written in ascending order. Nobody reads isFull and the
// ids of tenants: they are checked and skipped.
//
// A file that says too much would keep entries from being written to the index, a file that is dropped only costs time.
// So a file is dropped for anything odd, also where the reference lets it pass: bytes behind the tenants, and an isFull
// that is neither 0 nor 1. Counts are compared with the bytes that are there before anything is reserved for them.
//
// Threads: any.

import SeriesIndex
import StorageBytes

/// Why a file of ids is not used.
enum IDFileRefusal: Error, Equatable, Sendable {
    /// It is from another hour or day.
    case otherPeriod(UInt64)
    /// It does not decode.
    case broken(DecodeError)
}

/// The ids that had rows in an hour.
enum HourIDFile {
    static let currentName = "curr_hour_metric_ids"
    static let previousName = "prev_hour_metric_ids"

    /// Appends the file.
    ///
    /// - Parameter tenants: The ids by tenant, each tenant once. May be left out: nobody reads them.
    static func encode(
        hour: UInt64, isFull: Bool, ids: MetricIDSet, tenants: [(tenant: Tenant, ids: MetricIDSet)] = [],
        into buffer: inout RawBuffer
    ) {
        buffer.appendBigEndian(isFull ? 1 : 0 as UInt64)
        buffer.appendBigEndian(hour)
        IDList.encode(ids, into: &buffer)
        buffer.appendBigEndian(UInt64(tenants.count))
        for (tenant, ids) in tenants {
            buffer.appendBigEndian(tenant.bits)
            IDList.encode(ids, into: &buffer)
        }
    }

    /// The ids of a file that is expected to be about `hour`.
    static func decode(_ bytes: UnsafeRawBufferPointer, hour: UInt64) throws(IDFileRefusal) -> MetricIDSet {
        var cursor = ByteCursor(bytes)
        var found = hour
        do throws(DecodeError) {
            guard try cursor.readBigEndian(UInt64.self) <= 1 else { throw .unknownValue }
            found = try cursor.readBigEndian(UInt64.self)
            guard found == hour else { throw .inconsistent }
            let ids = try IDList.decode(&cursor)
            let tenants = try cursor.readBigEndian(UInt64.self)
            guard tenants <= UInt64(cursor.remaining / (Tenant.storedBytes + 8)) else { throw .truncated }
            for _ in 0..<tenants {
                _ = try cursor.readBytes(Tenant.storedBytes)
                _ = try IDList.skip(&cursor)
            }
            try cursor.finish()
            return ids
        } catch {
            throw found == hour ? .broken(error) : .otherPeriod(found)
        }
    }
}

/// The ids that have per-day entries for the next day already.
enum NextDayIDFile {
    static let name = "next_day_metric_ids"

    /// Appends the file. `date` is the day before the one that the entries are about.
    static func encode(date: UInt64, ids: MetricIDSet, into buffer: inout RawBuffer) {
        buffer.appendBigEndian(date)
        IDList.encode(ids, into: &buffer)
    }

    /// The ids of a file that is expected to be of `date`.
    static func decode(_ bytes: UnsafeRawBufferPointer, date: UInt64) throws(IDFileRefusal) -> MetricIDSet {
        var cursor = ByteCursor(bytes)
        var found = date
        do throws(DecodeError) {
            found = try cursor.readBigEndian(UInt64.self)
            guard found == date else { throw .inconsistent }
            let ids = try IDList.decode(&cursor)
            try cursor.finish()
            return ids
        } catch {
            throw found == date ? .broken(error) : .otherPeriod(found)
        }
    }
}

/// A count and that many ids.
private enum IDList {
    static func encode(_ ids: MetricIDSet, into buffer: inout RawBuffer) {
        buffer.appendBigEndian(UInt64(ids.count))
        buffer.reserve(8 * ids.count)
        var target = buffer.end
        ids.forEach { (id) throws(Never) in
            BigEndian.store64(id, at: target)
            target += 8
        }
        buffer.commit(8 * ids.count)
    }

    /// Moves behind a list; returns the bytes of its ids.
    static func skip(_ cursor: inout ByteCursor) throws(DecodeError) -> UnsafeRawBufferPointer {
        let count = try cursor.readBigEndian(UInt64.self)
        guard count <= UInt64(cursor.remaining / 8) else { throw .truncated }
        return try cursor.readBytes(8 * Int(count))
    }

    static func decode(_ cursor: inout ByteCursor) throws(DecodeError) -> MetricIDSet {
        let bytes = try skip(&cursor)
        var ids = MetricIDSet()
        guard let start = bytes.baseAddress else { return ids }
        let count = bytes.count / 8
        withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 512) { batch in
            var first = 0
            while first < count {
                let length = min(batch.count, count - first)
                for index in 0..<length { batch[index] = BigEndian.load64(start + 8 * (first + index)) }
                ids.insert(contentsOf: UnsafeBufferPointer(rebasing: batch[0..<length]))
                first += length
            }
        }
        return ids
    }
}
