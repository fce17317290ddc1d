// FoldedStacks.swift - profiles as text: one line a stack, outermost frame first, with its weight behind it.
//
//   main;ingest;addRows;sort 1234
//
// The form that perf scripts, jeprof --collapsed, speedscope and flame graph tools have in common. Weights are samples,
// instructions, bytes or nanoseconds; only their proportion matters here. Equal stacks may occur any number of times.
//
// Threads: values.

import StorageBytes
import StorageFiles
import StorageRuntime

/// A tree of frames with weights.
public struct FoldedStacks: Sendable {
    /// A frame reached by one path.
    struct Node: Sendable {
        var name: Int
        var parent: Int
        /// Weight of stacks that end here, and of all that pass through.
        var own = 0.0, total = 0.0
        /// The same of the profile compared with.
        var baseOwn = 0.0, baseTotal = 0.0
        var children: [Int] = []
        var depth: Int
    }

    /// Frames deeper than this are cut off.
    static let depthMax = 400
    static let fileBytesMax = 1 << 30

    private(set) var names: [String] = []
    private(set) var nodes: [Node] = [Node(name: -1, parent: -1, depth: 0)]
    private var numbers: [String: Int] = [:]
    private struct Edge: Hashable {
        var parent: Int
        var name: Int
    }
    private var edges: [Edge: Int] = [:]
    /// Lines that are no stacks.
    public private(set) var linesSkipped = 0
    /// Whether a base was added.
    public private(set) var hasBase = false

    /// No stacks.
    public init() {}

    /// Weight of all stacks, and of all stacks of the base.
    public var total: Double { nodes[0].total }
    /// Weight of all stacks of the base.
    public var baseTotal: Double { nodes[0].baseTotal }

    /// Reads a file.
    ///
    /// - Parameter asBase: Whether it is what the others are compared with.
    /// - Throws: `.badInput` when there is no such file, when it is too large, or when no line of it is a stack.
    public mutating func read(_ path: String, asBase: Bool = false, files: any FileSystem) throws(HarnessError) {
        let text: RawBuffer
        do throws(StorageError) { text = try files.readAll(path, limitBytes: FoldedStacks.fileBytesMax) } catch {
            throw HarnessError(.badInput, "cannot read the stacks: \(error)")
        }
        let before = asBase ? baseTotal : total
        add(text.bytes, asBase: asBase)
        if (asBase ? baseTotal : total) <= before {
            throw HarnessError(.badInput, "no stacks in \(path); lines of the form `outer;inner 123` are expected")
        }
    }

    /// Adds the lines of a text.
    public mutating func add(_ text: UnsafeRawBufferPointer, asBase: Bool = false) {
        if asBase { hasBase = true }
        for line in text.split(separator: 0x0A) where !add(line: line, asBase) { linesSkipped += 1 }
    }

    private mutating func add(line: Slice<UnsafeRawBufferPointer>, _ asBase: Bool) -> Bool {
        var line = line
        while line.last == UInt8(ascii: " ") || line.last == UInt8(ascii: "\r") { line.removeLast() }
        guard let blank = line.lastIndex(of: UInt8(ascii: " ")),
            let weight = Double(String(decoding: line[(blank + 1)...], as: UTF8.self)), weight.isFinite, weight >= 0
        else { return false }
        let frames = line[..<blank].split(separator: UInt8(ascii: ";"))
        guard !frames.isEmpty else { return false }
        var node = 0
        add(weight, to: node, asBase)
        for frame in frames.prefix(FoldedStacks.depthMax) {
            node = child(of: node, named: String(decoding: frame, as: UTF8.self))
            add(weight, to: node, asBase)
        }
        if asBase { nodes[node].baseOwn += weight } else { nodes[node].own += weight }
        return true
    }

    private mutating func add(_ weight: Double, to node: Int, _ asBase: Bool) {
        if asBase { nodes[node].baseTotal += weight } else { nodes[node].total += weight }
    }

    private mutating func child(of parent: Int, named text: String) -> Int {
        let name: Int
        if let known = numbers[text] {
            name = known
        } else {
            name = names.count
            names.append(text)
            numbers[text] = name
        }
        let edge = Edge(parent: parent, name: name)
        if let known = edges[edge] { return known }
        let number = nodes.count
        nodes.append(Node(name: name, parent: parent, depth: nodes[parent].depth + 1))
        nodes[parent].children.append(number)
        edges[edge] = number
        return number
    }

    // MARK: by frame

    /// What a frame costs, over all stacks it is in.
    public struct Frame: Sendable, Equatable {
        /// The name.
        public var name: String
        /// Weight of stacks that end in it, and of stacks that contain it (once each).
        public var own: Double, total: Double
        /// The same of the base.
        public var baseOwn: Double, baseTotal: Double
    }

    /// All frames, by their own weight, heaviest first; with a base by how much it has changed.
    public func frames() -> [Frame] {
        var frames = names.map { Frame(name: $0, own: 0, total: 0, baseOwn: 0, baseTotal: 0) }
        for node in nodes.dropFirst() {
            frames[node.name].own += node.own
            frames[node.name].baseOwn += node.baseOwn
            // A recursive frame is in a stack more than once; its outermost occurrence has all of it.
            if !hasAncestor(node, named: node.name) {
                frames[node.name].total += node.total
                frames[node.name].baseTotal += node.baseTotal
            }
        }
        func key(_ frame: Frame) -> Double { hasBase ? abs(frame.own - frame.baseOwn) : frame.own }
        return frames.sorted { (key($1), $0.name) < (key($0), $1.name) }
    }

    private func hasAncestor(_ node: Node, named name: Int) -> Bool {
        var number = node.parent
        while number > 0 {
            if nodes[number].name == name { return true }
            number = nodes[number].parent
        }
        return false
    }

    /// The heaviest frames as a table: own share, share with everything called, name.
    public func top(_ count: Int) -> String {
        var text = ""
        let scale = hasBase ? max(baseTotal, 1e-300) : max(total, 1e-300)
        func percent(_ value: Double) -> String { TextFormat.right(TextFormat.fixed(value / scale * 100, 1) + " %", 9) }
        func signed(_ value: Double) -> String {
            let text = TextFormat.fixed(value / scale * 100, 1) + " %"
            return TextFormat.right(value > 0 ? "+" + text : text, 9)
        }
        if hasBase {
            text += "   change      base       now   function (own weight, of the base's total)\n"
            for frame in frames().prefix(count) {
                text += signed(frame.own - frame.baseOwn) + percent(frame.baseOwn) + " " + percent(frame.own)
                text += "   " + frame.name + "\n"
            }
            text += signed(total - baseTotal) + "   all together\n"
        } else {
            text += "      own      with   function (with: and what it calls)\n"
            for frame in frames().prefix(count) where frame.own > 0 {
                text += percent(frame.own) + percent(frame.total) + "   " + frame.name + "\n"
            }
        }
        return text
    }
}
