// StorageError.swift - the one error type that leaves the storage rooms.
//
// The decoders at the bottom throw one-byte enums without allocating (StorageBytes.DecodeError). The first layer that
// knows the file and the place turns them into a StorageError. A caller branches on `kind`; a person reads the rest.

/// Why an operation of the storage failed, with the place and a text that helps.
public struct StorageError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What a caller can branch on.
    public enum Kind: Sendable, Hashable {
        /// Bytes break the format; trying again will not help.
        case corrupted
        /// The system refused; trying again may help. The value is the errno of the call.
        case io(errno: Int32)
        /// No room on the device. Nothing written before is lost; trying again after freeing space is safe.
        case noSpace
        /// Another process, or another open in this process, holds the directory.
        case locked
        /// Beyond what the format can hold (an item above 64 KiB); nothing was changed.
        case limitExceeded
        /// The file or directory does not exist.
        case notFound
        /// The file or directory exists already.
        case alreadyExists
        /// The table or file has been closed, or is being closed.
        case closed
        /// A value given by the caller cannot be used.
        case invalidArgument
        /// Too many calls at once; nothing was changed. Trying again later may help.
        case overloaded
        /// The storage takes no rows because the disk is nearly full; nothing was changed. Trying again after freeing space
        /// helps.
        case readOnly
        /// The deadline of a search has passed.
        case deadlineExceeded
        /// The simulated machine has crashed (tests only).
        case crashed
    }

    /// What a caller can branch on.
    public var kind: Kind
    /// What went wrong and, where there is something to do, what to do.
    public var message: String
    /// The file or directory, as it was given to the call.
    public var path: String?
    /// Byte position in `path`.
    public var offset: Int?

    /// An error of the given kind. `path` and `offset` are filled in by the layer that knows them.
    public init(_ kind: Kind, _ message: String, path: String? = nil, offset: Int? = nil) {
        self.kind = kind
        self.message = message
        self.path = path
        self.offset = offset
    }

    /// One line: place, reason and kind.
    public var description: String {
        var text = ""
        if let path {
            text += path
            if let offset { text += " at byte \(offset)" }
            text += ": "
        }
        text += message
        switch kind {
        case .corrupted: text += " (corrupted)"
        case .io(let errno): text += " (errno \(errno))"
        default: break
        }
        return text
    }

    /// The same error with the context of an outer layer put before its message.
    public func adding(_ context: String) -> StorageError {
        var copy = self
        copy.message = context + ": " + message
        return copy
    }

    /// The same error with the place filled in, where it was not known yet.
    public func at(path: String, offset: Int? = nil) -> StorageError {
        var copy = self
        if copy.path == nil {
            copy.path = path
            copy.offset = offset
        }
        return copy
    }
}
