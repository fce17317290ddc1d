// Tenant.swift - whose series it is: two 32-bit numbers that lead every name, TSID and row but the tombstones.
//
//   offset 0   accountID  u32     kept as one 64-bit number whose big-endian bytes are the stored form, so that
//          4   projectID  u32     comparing numbers is comparing stored bytes

/// A tenant: the account and the project within it.
@frozen public struct Tenant: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The account in the upper, the project in the lower 32 bits.
    public var bits: UInt64

    /// Bytes of the stored form.
    public static let storedBytes = 8

    /// The tenant with the given bits, see ``bits``.
    @inlinable public init(bits: UInt64) { self.bits = bits }

    /// The tenant of an account and a project.
    @inlinable public init(accountID: UInt32, projectID: UInt32) {
        bits = UInt64(accountID) << 32 | UInt64(projectID)
    }

    /// The account.
    @inlinable public var accountID: UInt32 { UInt32(truncatingIfNeeded: bits >> 32) }
    /// The project within the account.
    @inlinable public var projectID: UInt32 { UInt32(truncatingIfNeeded: bits) }

    /// Order of the stored bytes: by account, then by project.
    @inlinable public static func < (a: Tenant, b: Tenant) -> Bool { a.bits < b.bits }

    /// `account:project`.
    public var description: String { "\(accountID):\(projectID)" }
}
