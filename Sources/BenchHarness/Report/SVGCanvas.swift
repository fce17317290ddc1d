// SVGCanvas.swift - inline SVG by hand: shapes and text with classes, whose colours the page's style sheet sets, so that one
// drawing serves light and dark. Coordinates are pixels at the drawing's own width and are rounded to a tenth.
//
// Pure text building; one owner.

/// A drawing.
struct SVGCanvas {
    let width: Double
    private(set) var height: Double
    private var body = ""

    /// Width of a character of the labels (12 px, tabular digits), for layouts that must not overlap. On the safe side.
    static let characterWidth = 6.9

    /// An empty drawing.
    init(width: Double, height: Double) {
        self.width = width
        self.height = height
    }

    /// Where a text is fixed to its point.
    enum Anchor: String { case start, middle, end }

    mutating func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ style: String) {
        body += "<path class=\"\(style)\" d=\"M\(SVGCanvas.number(x1)) \(SVGCanvas.number(y1))"
        body += "L\(SVGCanvas.number(x2)) \(SVGCanvas.number(y2))\"/>"
    }

    /// A line through points; `closedAt` makes an area down to this height of it.
    mutating func path(_ points: [(x: Double, y: Double)], _ style: String, closedAt baseline: Double? = nil) {
        guard let first = points.first, let last = points.last else { return }
        var text = "M\(SVGCanvas.number(first.x)) \(SVGCanvas.number(first.y))"
        for point in points.dropFirst() {
            text += "L\(SVGCanvas.number(point.x)) \(SVGCanvas.number(point.y))"
        }
        if let baseline {
            text += "L\(SVGCanvas.number(last.x)) \(SVGCanvas.number(baseline))"
            text += "L\(SVGCanvas.number(first.x)) \(SVGCanvas.number(baseline))Z"
        }
        body += "<path class=\"\(style)\" d=\"\(text)\"/>"
    }

    /// A box with a text that shows when it is pointed at.
    mutating func rect(
        _ x: Double, _ y: Double, _ width: Double, _ height: Double, _ style: String, title: String? = nil
    ) {
        body += "<rect class=\"\(style)\" x=\"\(SVGCanvas.number(x))\" y=\"\(SVGCanvas.number(y))\""
        body += " width=\"\(SVGCanvas.number(max(0, width)))\" height=\"\(SVGCanvas.number(max(0, height)))\""
        if let title { body += "><title>\(XMLText.escape(title))</title></rect>" } else { body += "/>" }
    }

    mutating func dot(_ x: Double, _ y: Double, _ radius: Double, _ style: String, title: String? = nil) {
        body += "<circle class=\"\(style)\" cx=\"\(SVGCanvas.number(x))\" cy=\"\(SVGCanvas.number(y))\""
        body += " r=\"\(SVGCanvas.number(radius))\""
        if let title { body += "><title>\(XMLText.escape(title))</title></circle>" } else { body += "/>" }
    }

    mutating func text(_ x: Double, _ y: Double, _ text: String, _ anchor: Anchor = .start, _ style: String = "t") {
        body += "<text class=\"\(style)\" x=\"\(SVGCanvas.number(x))\" y=\"\(SVGCanvas.number(y))\""
        if anchor != .start { body += " text-anchor=\"\(anchor.rawValue)\"" }
        body += ">\(XMLText.escape(text))</text>"
    }

    /// Makes the drawing higher.
    mutating func grow(to height: Double) { self.height = max(self.height, height) }

    /// The element. `label` says to a screen reader what it shows.
    func svg(label: String) -> String {
        let size = "\(SVGCanvas.number(width)) \(SVGCanvas.number(height))"
        return "<svg viewBox=\"0 0 \(size)\" style=\"max-width:\(SVGCanvas.number(width))px\" role=\"img\""
            + " aria-label=\"\(XMLText.escape(label))\">\(body)</svg>"
    }

    /// Pixels that a text takes at most.
    static func textWidth(_ text: String) -> Double { Double(text.count) * characterWidth }

    /// One decimal at most, no `-0`.
    static func number(_ value: Double) -> String {
        guard value.isFinite else { return "0" }
        let tenths = Int((min(max(value, -1e6), 1e6) * 10).rounded())
        if tenths % 10 == 0 { return "\(tenths / 10)" }
        return (tenths < 0 ? "-" : "") + "\(abs(tenths) / 10).\(abs(tenths) % 10)"
    }
}
