// ShortCopy.swift - copies of a few bytes without a call.
//
// Items and suffixes are mostly shorter than 32 bytes, where calling memcpy costs more than copying. The copy runs in
// steps of 16 bytes past the end of what it copies: up to 31 bytes behind the source are read and up to 31 behind the
// target are written. Both sides therefore need RawBuffer.slack, and whatever follows the target is written later.

import Glibc

/// Copies that may run past the end by less than ``RawBuffer/slack`` bytes.
public enum ShortCopy {
    /// Copies `count` bytes from `source` to `target`. They may overlap only where the bytes behind the end do.
    ///
    /// The caller guarantees: `count + 31` bytes are readable at `source` and writable at `target`, and the bytes behind
    /// `target + count` are not needed.
    @inlinable @inline(__always)
    public static func copy(_ source: UnsafeRawPointer, to target: UnsafeMutableRawPointer, _ count: Int) {
        if count <= 32 {
            let low = source.loadUnaligned(as: SIMD16<UInt8>.self)
            let high = source.loadUnaligned(fromByteOffset: 16, as: SIMD16<UInt8>.self)
            target.storeBytes(of: low, as: SIMD16<UInt8>.self)
            target.storeBytes(of: high, toByteOffset: 16, as: SIMD16<UInt8>.self)
        } else {
            memcpy(target, source, count)
        }
    }
}
