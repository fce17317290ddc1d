// FlameGraph.swift - a profile as a picture: an SVG without scripts, fonts or links to anything.
//
//   x   share of the weight; frames side by side are in the order of their names, not of time
//   y   depth; the outermost frame is at the bottom
//
// The pointer over a frame shows its name, weight and share (the title element, which browsers show as a tip). With a
// base the colour tells the change: red frames weigh more than before, blue ones less, of the base's total; frames that
// are gone have no width, so they are listed in the table of `FoldedStacks.top` only.
//
// Frames narrower than a third of a pixel are left out. Colours do not depend on anything but the name, so the same
// function looks the same in every picture.

import StorageBytes

/// Draws flame graphs.
public enum FlameGraph {
    private static let width = 1200.0, rowHeight = 17.0, margin = 10.0, head = 46.0, widthMin = 0.33
    private static let characterWidth = 6.6

    /// The picture.
    ///
    /// - Parameters:
    ///   - title: The line above it.
    ///   - unit: What the weights count: `samples`, `instructions`, `bytes`.
    public static func svg(_ stacks: FoldedStacks, title: String, unit: String) -> String {
        var frames: [String] = []
        var deepest = 0
        let scale = (width - 2 * margin) / max(stacks.total, 1e-300)
        // Depth first, with an explicit stack: (node, x).
        var pending: [(node: Int, x: Double)] = [(0, margin)]
        while let (number, x) = pending.popLast() {
            let node = stacks.nodes[number]
            if number > 0 {
                deepest = max(deepest, node.depth)
                frames.append(frame(stacks, node, x, node.total * scale, unit))
            }
            var childX = x
            let children = node.children.sorted {
                stacks.names[stacks.nodes[$0].name] < stacks.names[stacks.nodes[$1].name]
            }
            for child in children {
                let childWidth = stacks.nodes[child].total * scale
                if childWidth >= widthMin { pending.append((child, childX)) }
                childX += childWidth
            }
        }
        let height = head + Double(deepest + 1) * rowHeight + margin
        var text = """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Int(width)) \(Int(height))" \
            font-family="ui-monospace, Menlo, Consolas, monospace" font-size="11">
            <style>
            svg { background: #fff; color: #222 } text { fill: currentColor; pointer-events: none }
            g:hover rect { stroke: #000; stroke-width: 1 } .f text { fill: #222 }
            @media (prefers-color-scheme: dark) {
            svg { background: #1b1b1b; color: #ddd } g:hover rect { stroke: #fff }
            }
            </style>
            <text x="\(Int(margin))" y="18" font-size="14">\(XMLText.escape(title))</text>
            <text x="\(Int(margin))" y="35">\(XMLText.escape(subtitle(stacks, unit)))</text>

            """
        // Rows grow upwards: the group is moved down by the height of the picture.
        text += "<g transform=\"translate(0 \(Int(height - margin)))\">\n"
        text += frames.joined()
        return text + "</g>\n</svg>\n"
    }

    private static func subtitle(_ stacks: FoldedStacks, _ unit: String) -> String {
        let total = TextFormat.count(stacks.total)
        guard stacks.hasBase else { return "\(total) \(unit). Width is the share; point at a frame for its numbers." }
        let change = (stacks.total - stacks.baseTotal) / max(stacks.baseTotal, 1e-300)
        return "\(total) \(unit), base \(TextFormat.count(stacks.baseTotal)): \(change >= 0 ? "+" : "")"
            + "\(TextFormat.percent(change)). Red frames weigh more than in the base, blue ones less."
    }

    private static func frame(
        _ stacks: FoldedStacks, _ node: FoldedStacks.Node, _ x: Double, _ frameWidth: Double, _ unit: String
    ) -> String {
        let name = stacks.names[node.name]
        let y = -Double(node.depth) * rowHeight
        var tip = "\(name): \(TextFormat.count(node.total)) \(unit), "
        tip += TextFormat.percent(node.total / max(stacks.total, 1e-300))
        tip += ", own \(TextFormat.percent(node.own / max(stacks.total, 1e-300)))"
        if stacks.hasBase {
            let change = (node.total - node.baseTotal) / max(stacks.baseTotal, 1e-300)
            tip += "; base \(TextFormat.count(node.baseTotal)), \(change >= 0 ? "+" : "")\(TextFormat.percent(change))"
            tip += " of the base's total"
        }
        var text = "<g class=\"f\"><title>\(XMLText.escape(tip))</title>"
        text += "<rect x=\"\(number(x))\" y=\"\(number(y))\" width=\"\(number(max(frameWidth - 0.4, 0.2)))\" "
        text += "height=\"\(number(rowHeight - 1))\" fill=\"\(colour(stacks, node, name))\"/>"
        let room = Int((frameWidth - 6) / characterWidth)
        if room >= 3 {
            let label = name.count <= room ? name : name.prefix(room - 2) + ".."
            text += "<text x=\"\(number(x + 3))\" y=\"\(number(y + 12))\">\(XMLText.escape(String(label)))</text>"
        }
        return text + "</g>\n"
    }

    private static func colour(_ stacks: FoldedStacks, _ node: FoldedStacks.Node, _ name: String) -> String {
        guard stacks.hasBase else {
            let hash = Array(name.utf8).withUnsafeBytes { Hash.xxh64($0) }
            // Warm colours: hue 10...55, light enough for dark letters.
            return "hsl(\(10 + hash % 45) \(70 + (hash >> 8) % 20)% \(66 + (hash >> 16) % 10)%)"
        }
        // Own weight tells where the change is; what a frame only passes on stays pale.
        let change = (node.own - node.baseOwn) / max(stacks.baseTotal, 1e-300)
        let passedOn = (node.total - node.baseTotal) / max(stacks.baseTotal, 1e-300)
        let strength = min(1, (abs(change) * 3 + abs(passedOn)) * 8)
        let light = 94 - Int(34 * strength)
        return passedOn + change >= 0 ? "hsl(5 85% \(light)%)" : "hsl(215 80% \(light)%)"
    }

    private static func number(_ value: Double) -> String { TextFormat.fixed(value, 1) }
}
