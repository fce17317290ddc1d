// BarChart.swift - a few numbers side by side: one panel a quantity, one bar an engine, an SVG without scripts.
//
//   input    panel <tab> label <tab> value          lines in the order in which they are shown
//
// Each panel has its own scale from zero; the number stands behind its bar. A value that is not a number is shown as it is,
// without a bar: what cannot be compared has no length.

/// Draws bars.
public enum BarChart {
    private static let width = 760.0, labelWidth = 210.0, barHeight = 18.0, panelGap = 16.0

    struct Panel: Equatable {
        var title: String
        var bars: [(label: String, text: String, value: Double?)] = []

        static func == (a: Panel, b: Panel) -> Bool {
            a.title == b.title && a.bars.map(\.label) == b.bars.map(\.label) && a.bars.map(\.text) == b.bars.map(\.text)
        }
    }

    /// The panels of a text; lines without two tabs are skipped.
    static func panels(_ text: String) -> [Panel] {
        var panels: [Panel] = []
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
            guard fields.count == 3 else { continue }
            if panels.last?.title != fields[0] { panels.append(Panel(title: fields[0])) }
            let value = Double(fields[2]).flatMap { $0.isFinite && $0 >= 0 ? $0 : nil }
            let shown = value.map { $0 >= 1e5 ? TextFormat.count($0) : TextFormat.short($0) } ?? fields[2]
            panels[panels.count - 1].bars.append((fields[1], shown, value))
        }
        return panels
    }

    /// The picture.
    public static func svg(_ text: String, title: String) -> String {
        let panels = panels(text)
        // A label has the same colour in every panel.
        var labels: [String] = []
        for bar in panels.flatMap(\.bars) where !labels.contains(bar.label) { labels.append(bar.label) }
        var y = 40.0
        var body = ""
        for panel in panels {
            y += panelGap
            body += "<text x=\"10\" y=\"\(Int(y))\" font-weight=\"bold\">\(XMLText.escape(panel.title))</text>\n"
            y += 8
            let most = max(panel.bars.compactMap(\.value).max() ?? 1, 1e-300)
            for bar in panel.bars {
                let colour = (labels.firstIndex(of: bar.label) ?? 0) % 5
                let length = (bar.value ?? 0) / most * (width - labelWidth - 120)
                body += "<text x=\"\(Int(labelWidth - 8))\" y=\"\(Int(y + 13))\" text-anchor=\"end\">"
                body += XMLText.escape(bar.label) + "</text>"
                if bar.value != nil {
                    body +=
                        "<rect x=\"\(Int(labelWidth))\" y=\"\(Int(y + 2))\" width=\"\(TextFormat.fixed(max(length, 1), 1))\" "
                    body += "height=\"\(Int(barHeight - 4))\" class=\"b\(colour)\"/>"
                }
                body += "<text x=\"\(TextFormat.fixed(labelWidth + length + 6, 1))\" y=\"\(Int(y + 13))\">"
                body += XMLText.escape(bar.text) + "</text>\n"
                y += barHeight
            }
        }
        let height = Int(y + 16)
        return """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Int(width)) \(height)" \
            font-family="system-ui, sans-serif" font-size="12">
            <style>
            svg { background: #fff; color: #222 } text { fill: currentColor }
            .b0 { fill: #d1603d } .b1 { fill: #4878a8 } .b2 { fill: #6a9c5b } .b3 { fill: #8d6aa6 } .b4 { fill: #a08a4a }
            @media (prefers-color-scheme: dark) { svg { background: #1b1b1b; color: #ddd } }
            </style>
            <text x="10" y="24" font-size="15">\(XMLText.escape(title))</text>
            \(body)</svg>

            """
    }
}
