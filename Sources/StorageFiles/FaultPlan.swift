// FaultPlan.swift - what the simulated file system records, and what it is told to do wrong.
//
// Operations that change something (create, write, sync, rename, ...) are numbered 1, 2, ... in the order in which they
// arrive; those that only look (list, read, ...) have no number. A method made of several steps gives several
// operations: `makeDirectory` is a makeDirectory and a syncDirectory, `removeAll` is one for each file and directory and
// a syncDirectory. So "crash at every number" visits each state that a power failure can meet.

import Glibc
import StorageRuntime

/// One step on the simulated file system.
public struct FileOperation: Sendable, Equatable, CustomStringConvertible {
    /// What a step does.
    public enum Kind: String, Sendable, CaseIterable {
        /// Steps that change files, directories or what is durable.
        case makeDirectory, create, write, syncFile, syncDirectory, close, rename, hardLink, symbolicLink
        /// More of them.
        case removeFile, removeDirectory, lock
        /// Steps that only look; they have no number.
        case list, status, freeSpace, open, read

        /// Tells whether steps of this kind are numbered.
        public var isNumbered: Bool {
            switch self {
            case .list, .status, .freeSpace, .open, .read: false
            default: true
            }
        }
    }

    /// What the step does.
    public let kind: Kind
    /// The cleaned absolute path it works on.
    public let path: String
    /// The other path of a rename or hard link.
    public let target: String?
    /// Bytes of a read or write; otherwise 0.
    public let byteCount: Int
    /// 1, 2, ... of those that change something; otherwise 0.
    public let number: Int

    /// One line, as `rename /a -> /b` or `write /a 17 B`.
    public var description: String {
        var text = "\(kind.rawValue) \(path)"
        if let target { text += " -> \(target)" }
        if kind == .read || kind == .write { text += " \(byteCount) B" }
        return text
    }
}

/// Operations that fail, and how often.
public struct FaultRule: Sendable {
    /// Which operations it is about.
    public var matches: @Sendable (FileOperation) -> Bool
    /// The kind of the error.
    public var error: StorageError.Kind
    /// That many matching operations succeed first.
    public var skip: Int
    /// That many fail then; nil is all.
    public var times: Int?

    /// A rule. A failing write appends half of its bytes; a failing sync of a file leaves the bytes written so far
    /// unsafe for ever, as Linux may do; other failing operations do nothing.
    public init(
        error: StorageError.Kind = .io(errno: EIO), skip: Int = 0, times: Int? = nil,
        where matches: @escaping @Sendable (FileOperation) -> Bool
    ) {
        self.matches = matches
        self.error = error
        self.skip = skip
        self.times = times
    }

    /// Fails the numbered operation `number`, once.
    public static func at(_ number: Int, error: StorageError.Kind = .io(errno: EIO)) -> FaultRule {
        FaultRule(error: error) { $0.number == number }
    }

    /// Fails operations of the given kinds whose path (or target) contains `text`; an empty text is in every path.
    public static func on(
        _ kinds: FileOperation.Kind..., pathContaining text: String = "", error: StorageError.Kind = .io(errno: EIO),
        skip: Int = 0, times: Int? = nil
    ) -> FaultRule {
        FaultRule(error: error, skip: skip, times: times) { operation in
            kinds.contains(operation.kind)
                && (contains(operation.path, text) || operation.target.map { contains($0, text) } ?? false)
        }
    }

    private static func contains(_ path: String, _ text: String) -> Bool {
        var rest = path.utf8[...]
        while rest.count >= text.utf8.count {
            if rest.starts(with: text.utf8) { return true }
            rest = rest.dropFirst()
        }
        return false
    }
}

/// What goes wrong on a simulated file system.
public struct FaultPlan: Sendable {
    /// The machine crashes instead of doing this numbered operation. Of a write, any part may have happened.
    public var crashAtOperation: Int?
    /// Operations that fail. The first rule that wants an operation to fail decides.
    public var rules: [FaultRule] = []
    /// Size of the disk; a write beyond it appends what fits and throws `.noSpace`. Only bytes of files count.
    public var capacityBytes: Int?
    /// What `freeSpaceBytes` answers, whatever is free.
    public var freeSpaceBytes: UInt64?

    /// Nothing goes wrong.
    public init(
        crashAtOperation: Int? = nil, rules: [FaultRule] = [], capacityBytes: Int? = nil, freeSpaceBytes: UInt64? = nil
    ) {
        self.crashAtOperation = crashAtOperation
        self.rules = rules
        self.capacityBytes = capacityBytes
        self.freeSpaceBytes = freeSpaceBytes
    }
}

/// What becomes of everything that was not synced when the machine crashed.
public enum CrashOutcome: Sendable, CaseIterable {
    /// The seed decides, for each file and each directory.
    case bySeed
    /// All of it is lost.
    case nothingKept
    /// All of it is kept.
    case everythingKept
}
