// DecoderProbes.swift - the decoders of this room as functions of bytes, for fuzzing.
//
// A probe decodes its input as if it came from disk. Where the input is accepted, what must hold then is checked: a
// violation stops the process.
//
// Threads: any.

import SeriesIndex
import StorageBytes

/// Entry points for fuzzing. Not for use in programs.
public enum EngineProbes {
    /// A file of an hour's ids; the hour that it names is the expected one. Returns the number of ids.
    public static func hourIDs(_ input: UnsafeRawBufferPointer) throws(DecodeError) -> Int {
        let hour = input.count >= 16 ? number(input, at: 8) : 0
        let ids = try decoded { () throws(IDFileRefusal) in try HourIDFile.decode(input, hour: hour) }
        require(ids.count <= (input.count - 32) / 8, "more ids than bytes")
        var again = RawBuffer()
        HourIDFile.encode(
            hour: hour, isFull: number(input, at: 0) == 1, ids: ids, tenants: [(Tenant(bits: 1), ids)], into: &again)
        let second = try decoded { () throws(IDFileRefusal) in try HourIDFile.decode(again.bytes, hour: hour) }
        require(second == ids, "the ids change when they are written again")
        return ids.count
    }

    /// A file of the next day's ids; the date that it names is the expected one. Returns the number of ids.
    public static func nextDayIDs(_ input: UnsafeRawBufferPointer) throws(DecodeError) -> Int {
        let date = input.count >= 8 ? number(input, at: 0) : 0
        let ids = try decoded { () throws(IDFileRefusal) in try NextDayIDFile.decode(input, date: date) }
        require(ids.count <= (input.count - 16) / 8, "more ids than bytes")
        var again = RawBuffer()
        NextDayIDFile.encode(date: date, ids: ids, into: &again)
        require(again.count == 16 + 8 * ids.count, "another length")
        let second = try decoded { () throws(IDFileRefusal) in try NextDayIDFile.decode(again.bytes, date: date) }
        require(second == ids && Array(second) == Array(ids).sorted(), "the ids change when they are written again")
        return ids.count
    }

    private static func number(_ input: UnsafeRawBufferPointer, at offset: Int) -> UInt64 {
        UInt64(bigEndian: input.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    private static func decoded(
        _ decode: () throws(IDFileRefusal) -> MetricIDSet
    ) throws(DecodeError) -> MetricIDSet {
        do {
            return try decode()
        } catch {
            guard case .broken(let reason) = error else { fatalError("\(error)") }
            throw reason
        }
    }

    private static func require(_ condition: Bool, _ message: @autoclosure () -> String) {
        if !condition { fatalError(message()) }
    }
}
