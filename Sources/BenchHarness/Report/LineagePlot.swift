// LineagePlot.swift - which parts were merged into which: a bar for the life of each part, from the moment when it was
// finished to that when a merge had replaced it, and a line from each source to what it became.
//
//   flush  ######----.
//   flush    ####----+---> ############ merged once (level 1)
//   flush      ##----'
//
// The colour tells how often its items were merged: 0 after a flush, then one more than the highest of its sources.

/// The lineage of the parts of a run.
struct LineagePlot {
    let parts: [PartRecord]
    /// Last moment of the drawing, seconds.
    let end: Double
    var detail = PlotDetail(runs: 1)

    /// How often the items of each part were merged, by number.
    static func levels(_ parts: [PartRecord]) -> [Int: Int] {
        var levels: [Int: Int] = [:]
        for part in parts { levels[part.number] = (part.sources.map { (levels[$0] ?? 0) + 1 }.max() ?? 0) }
        return levels
    }

    /// The drawing at a width.
    func svg(width: Double) -> String {
        let levels = LineagePlot.levels(parts)
        let shown = Array(parts.suffix(detail.partsMax))
        var deaths: [Int: Double] = [:]
        for part in parts { for source in part.sources { deaths[source] = part.endSeconds } }
        let time = PlotScale.linear(
            low: parts.count > shown.count ? shown.first?.endSeconds ?? 0 : 0, high: max(end, 0.001), start: 12,
            end: width - 12, roundsUp: false)
        var ends: [Double] = []
        var lanes: [Int: Int] = [:]
        for part in shown {
            let lane = ends.firstIndex { $0 < part.endSeconds } ?? ends.count
            if lane == ends.count { ends.append(0) }
            ends[lane] = deaths[part.number] ?? .infinity
            lanes[part.number] = lane
        }
        let height = 14.0
        let bottom = 8 + Double(ends.count) * height + 6
        var canvas = SVGCanvas(width: width, height: bottom + 38)
        for tick in time.ticks(width < 500 ? 4 : 8) {
            canvas.line(time.pixel(tick), 4, time.pixel(tick), bottom, "g")
            canvas.text(time.pixel(tick), bottom + 15, TextFormat.plain(tick), .middle)
        }
        canvas.text(width - 12, bottom + 32, "seconds since the start of the ingest", .end, "h")
        func y(_ number: Int) -> Double? { lanes[number].map { 8 + Double($0) * height } }
        for part in shown {
            guard let top = y(part.number) else { continue }
            for source in part.sources {
                guard let from = y(source) else { continue }
                canvas.line(
                    time.pixel(part.endSeconds), from + 5, time.pixel(part.endSeconds), top + 5, "e")
            }
        }
        for part in shown {
            guard let top = y(part.number) else { continue }
            let x = time.pixel(part.endSeconds)
            let barWidth = max(2, time.pixel(deaths[part.number] ?? time.high) - x)
            canvas.rect(x, top, barWidth, 10, "f\(min(levels[part.number] ?? 0, 5))", title: part.text)
            let label = TextFormat.bytes(Double(part.bytes))
            if SVGCanvas.textWidth(label) + 6 < barWidth { canvas.text(x + 4, top + 9, label, .start, "b") }
        }
        return canvas.svg(label: "Lives of the parts and what they were merged into")
    }

    /// Says how many parts were left out.
    var note: String {
        parts.count > detail.partsMax ? " The last \(detail.partsMax) of \(parts.count) parts are shown." : ""
    }
}
