// ValueTemplate.swift - how a label value follows from the identity of the target that carries it.
//
//   template     text and placeholders:  "svc-{slot.of:300:3}-{target.alnum:5}"
//   placeholder  {scope.kind:argument:width#salt}
//
//   scope   slot     the place of a target: stays when the target is replaced
//           target   one life of a target: a replaced target is another one
//           group    one group (container) of a target
//   kind    num          slot: its index; target: how often the slot was replaced; group: its index
//           num:3        the same with at least 3 digits
//           part:30:3    slot only: index / 30, so that 30 neighbours share the value
//           of:300:3     a number below 300 that follows from the identity, with at least 3 digits
//           hex:64       64 hexadecimal digits      alnum:5   5 of a-z 0-9
//           uuid         a random (version 4) UUID  pick:a|b  one of the words
//   salt    values with the same scope, kind and salt are the same in all labels; another salt gives another value
//
// Values depend on nothing but the seed and the identity: a template needs no state and its length is bounded, which
// is what lets the stream keep the rendered labels of each target in a fixed area.

import StorageRuntime

/// Who carries a label: the numbers and hashes that its values follow from.
struct TargetIdentity {
    var slot: Int
    var slotHash: UInt64
    var life: Int
    var targetHash: UInt64
    var group: Int
    var groupHash: UInt64
}

/// A compiled label value.
struct ValueTemplate: Sendable {
    enum Scope: String, Sendable { case slot, target, group }

    enum Piece: Sendable {
        case text([UInt8])
        case number(Scope, width: Int)
        case part(Int, width: Int)
        case below(Scope, Int, width: Int, salt: UInt64)
        case hex(Scope, Int, salt: UInt64)
        case alnum(Scope, Int, salt: UInt64)
        case uuid(Scope, salt: UInt64)
        case pick(Scope, [[UInt8]], salt: UInt64)
    }

    private let pieces: [Piece]
    /// The most bytes that a value can have.
    let bytesMax: Int

    /// Compiles a template; the text of the error completes "expected ...".
    static func compile(_ text: String) -> Result<ValueTemplate, TemplateError> {
        var pieces = [Piece]()
        var rest = Substring(text)
        while !rest.isEmpty {
            guard let open = rest.firstIndex(of: "{") else {
                if rest.contains("}") { return .failure(TemplateError("a '{' before each '}'")) }
                pieces.append(.text(Array(rest.utf8)))
                break
            }
            if rest[..<open].contains("}") { return .failure(TemplateError("a '{' before each '}'")) }
            if open != rest.startIndex { pieces.append(.text(Array(rest[..<open].utf8))) }
            guard let close = rest[open...].firstIndex(of: "}") else { return .failure(TemplateError("a closing '}'")) }
            let inside = rest[rest.index(after: open)..<close]
            guard let piece = placeholder(inside) else {
                return .failure(
                    TemplateError(
                        "a placeholder {slot|target|group.num|part|of|hex|alnum|uuid|pick:...}, found '{\(inside)}'"))
            }
            pieces.append(piece)
            rest = rest[rest.index(after: close)...]
        }
        return .success(ValueTemplate(pieces: pieces))
    }

    private init(pieces: [Piece]) {
        self.pieces = pieces
        bytesMax = pieces.reduce(0) { $0 + ValueTemplate.bytesMax($1) }
    }

    private static func placeholder(_ text: Substring) -> Piece? {
        let saltParts = text.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
        let fields = saltParts[0].split(separator: ":", omittingEmptySubsequences: false)
        let head = fields[0].split(separator: ".", omittingEmptySubsequences: false)
        guard head.count == 2, let scope = Scope(rawValue: String(head[0])) else { return nil }
        let kind = head[1]
        func argument(_ index: Int, _ range: ClosedRange<Int>, _ fallback: Int? = nil) -> Int? {
            guard index < fields.count else { return fallback }
            return Int(fields[index]).flatMap { range.contains($0) ? $0 : nil }
        }
        // The kind is part of the salt, and a number drawn below 40 is another one than a number drawn below 60.
        let name = String(kind) + (kind == "of" && fields.count > 1 ? String(fields[1]) : "")
        let salt = Seeds.derive(0, name + "#" + (saltParts.count > 1 ? String(saltParts[1]) : ""))
        switch kind {
        case "num" where fields.count <= 2:
            return argument(1, 1...18, 1).map { .number(scope, width: $0) }
        case "part" where fields.count <= 3 && scope == .slot:
            guard let size = argument(1, 1...1_000_000_000), let width = argument(2, 1...18, 1) else { return nil }
            return .part(size, width: width)
        case "of" where fields.count <= 3:
            guard let bound = argument(1, 1...1_000_000_000), let width = argument(2, 1...18, 1) else { return nil }
            return .below(scope, bound, width: width, salt: salt)
        case "hex" where fields.count == 2: return argument(1, 1...4096).map { .hex(scope, $0, salt: salt) }
        case "alnum" where fields.count == 2: return argument(1, 1...4096).map { .alnum(scope, $0, salt: salt) }
        case "uuid" where fields.count == 1: return .uuid(scope, salt: salt)
        case "pick" where fields.count == 2:
            let words = fields[1].split(separator: "|").map { Array($0.utf8) }
            return words.isEmpty ? nil : .pick(scope, words, salt: salt)
        default: return nil
        }
    }

    private static func bytesMax(_ piece: Piece) -> Int {
        switch piece {
        case .text(let bytes): bytes.count
        case .number, .part, .below: 20
        case .hex(_, let count, _), .alnum(_, let count, _): count
        case .uuid: 36
        case .pick(_, let words, _): words.reduce(0) { max($0, $1.count) }
        }
    }

    /// No two slots ever have the same value (for random values of 60 bits and more: with overwhelming probability).
    var distinguishesSlots: Bool {
        contains { if case .number(.slot, _) = $0 { true } else { false } }
            || randomBits([.slot, .target, .group]) >= 60
    }

    /// A replaced target has another value.
    var distinguishesLives: Bool {
        contains { if case .number(.target, _) = $0 { true } else { false } } || randomBits([.target, .group]) >= 40
    }

    /// Two groups of a target have different values.
    var distinguishesGroups: Bool {
        contains { if case .number(.group, _) = $0 { true } else { false } } || randomBits([.group]) >= 40
    }

    private func contains(_ isWanted: (Piece) -> Bool) -> Bool { pieces.contains(where: isWanted) }

    /// Random bits of the value that follow from the given scopes. Pieces with one salt repeat the same characters:
    /// the longest of them counts.
    private func randomBits(_ scopes: [Scope]) -> Int {
        var bits = [String: Int]()
        for piece in pieces {
            switch piece {
            case .hex(let scope, let count, let salt) where scopes.contains(scope):
                bits["hex \(scope) \(salt)", default: 0] = max(bits["hex \(scope) \(salt)"] ?? 0, 4 * count)
            case .alnum(let scope, let count, let salt) where scopes.contains(scope):
                bits["alnum \(scope) \(salt)", default: 0] = max(bits["alnum \(scope) \(salt)"] ?? 0, 5 * count)
            case .uuid(let scope, let salt) where scopes.contains(scope): bits["uuid \(scope) \(salt)"] = 122
            default: break
            }
        }
        return bits.values.reduce(0, +)
    }

    /// Writes the value to `target`, which has room for ``bytesMax`` bytes; returns its length.
    func render(_ identity: borrowing TargetIdentity, to target: UnsafeMutableRawPointer) -> Int {
        var length = 0
        for piece in pieces {
            let place = target + length
            switch piece {
            case .text(let bytes):
                bytes.withUnsafeBytes { place.copyMemory(from: $0.baseAddress.unsafelyUnwrapped, byteCount: $0.count) }
                length += bytes.count
            case .number(let scope, let width):
                let number: Int
                switch scope {
                case .slot: number = identity.slot
                case .target: number = identity.life
                case .group: number = identity.group
                }
                length += Decimal.write(UInt64(number), width: width, to: place)
            case .part(let size, let width):
                length += Decimal.write(UInt64(identity.slot / size), width: width, to: place)
            case .below(let scope, let bound, let width, let salt):
                let drawn = SplitMix64.mix(hash(identity, scope) ^ salt).multipliedFullWidth(by: UInt64(bound)).high
                length += Decimal.write(drawn, width: width, to: place)
            case .hex(let scope, let count, let salt):
                var stream = SplitMix64(seed: hash(identity, scope) ^ salt)
                RandomText.hex(&stream, count, to: place)
                length += count
            case .alnum(let scope, let count, let salt):
                var stream = SplitMix64(seed: hash(identity, scope) ^ salt)
                RandomText.alnum(&stream, count, to: place)
                length += count
            case .uuid(let scope, let salt):
                var stream = SplitMix64(seed: hash(identity, scope) ^ salt)
                RandomText.uuid(&stream, to: place)
                length += 36
            case .pick(let scope, let words, let salt):
                let drawn = SplitMix64.mix(hash(identity, scope) ^ salt).multipliedFullWidth(by: UInt64(words.count))
                let word = words[Int(drawn.high)]
                word.withUnsafeBytes { place.copyMemory(from: $0.baseAddress.unsafelyUnwrapped, byteCount: $0.count) }
                length += word.count
            }
        }
        return length
    }

    private func hash(_ identity: borrowing TargetIdentity, _ scope: Scope) -> UInt64 {
        switch scope {
        case .slot: identity.slotHash
        case .target: identity.targetHash
        case .group: identity.groupHash
        }
    }
}

/// What a template should have had.
struct TemplateError: Error {
    let expected: String
    init(_ expected: String) { self.expected = expected }
}

/// The number placeholder `{n}` / `{n:3}` of repeated families and labels.
enum RepeatTemplate {
    /// `text` with every `{n}` and `{n:width}` replaced by `number`; nil when a placeholder is malformed.
    static func expand(_ text: String, _ number: Int) -> String? {
        var result = ""
        var rest = Substring(text)
        while let open = rest.firstRange(of: "{n") {
            result += rest[..<open.lowerBound]
            let tail = rest[open.upperBound...]
            guard let close = tail.firstIndex(of: "}") else { return nil }
            var width = 1
            if close != tail.startIndex {
                guard tail.first == ":", let given = Int(tail[tail.index(after: tail.startIndex)..<close]),
                    (1...18).contains(given)
                else { return nil }
                width = given
            }
            let digits = String(number)
            result += String(repeating: "0", count: max(0, width - digits.count)) + digits
            rest = tail[tail.index(after: close)...]
        }
        return result + rest
    }
}
