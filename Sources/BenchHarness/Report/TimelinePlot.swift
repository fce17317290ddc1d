// TimelinePlot.swift - what happened when: panels above one axis of time.
//
//   phases     |ingest       |settle|rounds ...        |  bands behind all panels, their names on top
//   rows/s     line          new series/s   line
//   parts      steps         pending        area
//   memory     resident, allocated
//   merges     bars: one for each flush and merge, in as many rows as run at once
//
// Drawn from the intervals and the parts of the record alone. Long runs are thinned: of neighbouring intervals the one with
// the greatest value is kept.

/// How much is drawn.
struct PlotDetail {
    /// Points of a line, bars of flushes and merges, parts of a lineage.
    let pointsMax: Int, barsMax: Int, partsMax: Int

    /// For a page of so many runs.
    init(runs: Int) {
        pointsMax = max(60, 400 / runs)
        barsMax = max(20, 300 / runs)
        partsMax = max(15, 90 / runs)
    }
}

/// The timeline of a run.
struct TimelinePlot {
    let intervals: [IntervalRecord]
    let parts: [PartRecord]
    /// What rows are: rows, series or items.
    let unit: String
    var detail = PlotDetail(runs: 1)

    private static let left = 64.0
    private static let panelHeight = 82.0
    private static let gap = 22.0

    /// Whether there is anything to draw.
    var isEmpty: Bool { intervals.count < 2 }

    private var end: Double {
        max(intervals.last?.seconds ?? 0, parts.map(\.endSeconds).filter { $0 <= lastMoment }.max() ?? 0)
    }

    /// Parts made after the last interval belong to later steps of the run, such as the forced merge.
    private var lastMoment: Double { (intervals.last?.seconds ?? 0) + 0.3 }

    private struct Panel {
        var title: String
        var format: (Double) -> String
        var lines: [(style: String, isStep: Bool, isArea: Bool, value: (IntervalRecord) -> Double)]
    }

    /// The drawing at a width.
    func svg(width: Double) -> String {
        let right = width - 10
        let time = PlotScale.linear(high: end, start: TimelinePlot.left, end: right, roundsUp: false)
        var canvas = SVGCanvas(width: width, height: 10)
        let panels = panels()
        let bars = PlotBars(parts.filter { $0.endSeconds <= lastMoment }, keeping: detail.barsMax)
        let barHeight = bars.lanes > 0 ? Double(bars.lanes) * 11 + 8 : 0
        let top = 22.0
        let bottom =
            top + Double(panels.count) * (TimelinePlot.panelHeight + TimelinePlot.gap)
            + (barHeight > 0 ? barHeight + TimelinePlot.gap : 0)
        canvas.grow(to: bottom + 22)
        drawPhases(&canvas, time, top: top - 4, bottom: bottom - TimelinePlot.gap + 4)
        var y = top
        for panel in panels {
            draw(panel, &canvas, time, top: y + 22, bottom: y + TimelinePlot.panelHeight)
            y += TimelinePlot.panelHeight + TimelinePlot.gap
        }
        if barHeight > 0 {
            canvas.rect(4, y + 2, 10, 9, "f0")
            canvas.text(18, y + 10, "flushes", .start, "h")
            canvas.rect(72, y + 2, 10, 9, "f1")
            canvas.text(86, y + 10, "merges" + bars.note, .start, "h")
            for bar in bars.bars {
                let x = time.pixel(bar.part.startSeconds)
                canvas.rect(
                    x, y + 17 + Double(bar.lane) * 11, max(1.5, time.pixel(bar.part.endSeconds) - x), 9,
                    bar.part.isFlush ? "f0" : "f1", title: bar.part.text)
            }
            y += barHeight + TimelinePlot.gap
        }
        for tick in time.ticks(width < 500 ? 4 : 8) {
            canvas.text(time.pixel(tick), bottom + 2, TextFormat.plain(tick), .middle)
            canvas.line(time.pixel(tick), top, time.pixel(tick), bottom - TimelinePlot.gap + 8, "g")
        }
        canvas.text(right, bottom + 17, "seconds since the start of the ingest", .end, "h")
        return canvas.svg(label: "Rate, parts, pending items, memory and merges against time")
    }

    private func panels() -> [Panel] {
        var panels = [
            Panel(title: "\(unit) a second", format: AxisText.count, lines: [("s0", false, false, \.perSecond)])
        ]
        if intervals.contains(where: { $0.newSeriesPerSecond > 0 }) {
            panels.append(
                Panel(
                    title: "new series a second", format: AxisText.count,
                    lines: [("s1", false, false, \.newSeriesPerSecond)]))
        }
        if intervals.contains(where: { $0.tsidCacheHitRatio > 0 }) {
            panels.append(
                Panel(
                    title: "TSID cache, % of lookups hit", format: AxisText.count,
                    lines: [("s3", false, false, { $0.tsidCacheHitRatio * 100 })]))
        }
        return panels + [
            Panel(
                title: "file parts", format: AxisText.count, lines: [("s0", true, false, { Double($0.parts) })]),
            Panel(
                title: "pending: bytes in memory, not yet in parts", format: AxisText.bytes,
                lines: [("a2", false, true, { Double($0.pendingBytes) })]),
            Panel(
                title: "resident memory (line) and allocated (area)", format: AxisText.bytes,
                lines: [
                    ("a4", false, true, { Double($0.heapAllocatedBytes) }),
                    ("s4", false, false, { Double($0.rssBytes) }),
                ]),
        ]
    }

    private func draw(_ panel: Panel, _ canvas: inout SVGCanvas, _ time: PlotScale, top: Double, bottom: Double) {
        let high = panel.lines.map { line in intervals.map(line.value).max() ?? 0 }.max() ?? 0
        let scale = PlotScale.linear(high: high, start: bottom, end: top, ticks: 2)
        for tick in scale.ticks(2) {
            canvas.line(time.start, scale.pixel(tick), time.end, scale.pixel(tick), "g")
            canvas.text(time.start - 6, scale.pixel(tick) + 4, panel.format(tick), .end)
        }
        canvas.text(4, top - 11, panel.title, .start, "h")
        for line in panel.lines {
            let values = intervals.map { ($0.seconds, line.value($0)) }
            let points = TimelinePlot.thinned(values, to: detail.pointsMax).map { seconds, value in
                (x: time.pixel(seconds), y: scale.pixel(value))
            }
            canvas.path(
                line.isStep ? TimelinePlot.steps(points) : points, line.style, closedAt: line.isArea ? bottom : nil)
        }
    }

    private func drawPhases(_ canvas: inout SVGCanvas, _ time: PlotScale, top: Double, bottom: Double) {
        var start = 0.0
        var index = 0
        var number = 0
        while index < intervals.count {
            let phase = intervals[index].phase
            while index < intervals.count, intervals[index].phase == phase { index += 1 }
            let end = index < intervals.count ? intervals[index - 1].seconds : self.end
            let x = time.pixel(start)
            let width = time.pixel(end) - x
            canvas.rect(x, top, width, bottom - top, number % 2 == 0 ? "p0" : "p1", title: phase)
            if SVGCanvas.textWidth(phase) < width { canvas.text(x + width / 2, top - 5, phase, .middle, "h") }
            start = end
            number += 1
        }
    }

    /// At most so many points; of each group the one with the greatest value.
    static func thinned(_ points: [(Double, Double)], to pointsMax: Int) -> [(Double, Double)] {
        guard points.count > pointsMax else { return points }
        let group = (points.count + pointsMax - 1) / pointsMax
        return stride(from: 0, to: points.count, by: group).compactMap { start in
            points[start..<min(start + group, points.count)].max { $0.1 < $1.1 }
        }
    }

    private static func steps(_ points: [(x: Double, y: Double)]) -> [(x: Double, y: Double)] {
        var steps: [(x: Double, y: Double)] = []
        for point in points {
            if let last = steps.last { steps.append((x: point.x, y: last.y)) }
            steps.append(point)
        }
        return steps
    }
}

/// Parts as bars in rows, none over another.
struct PlotBars {
    struct Bar {
        var part: PartRecord
        var lane: Int
    }

    private(set) var bars: [Bar] = []
    private(set) var lanes = 0
    /// Says how many were left out.
    private(set) var note = ""

    /// Bars of the work on parts; of too many the longest are kept.
    init(_ parts: [PartRecord], keeping most: Int) {
        var kept = parts
        if kept.count > most {
            kept = Array(kept.sorted { $0.endSeconds - $0.startSeconds > $1.endSeconds - $1.startSeconds }.prefix(most))
            note = ": the longest \(most) of \(parts.count)"
        }
        var ends: [Double] = []
        for part in kept.sorted(by: { ($0.startSeconds, $0.number) < ($1.startSeconds, $1.number) }) {
            let lane = ends.firstIndex { $0 <= part.startSeconds } ?? ends.count
            if lane == ends.count { ends.append(0) }
            ends[lane] = part.endSeconds
            bars.append(Bar(part: part, lane: lane))
        }
        lanes = ends.count
    }
}

extension PartRecord {
    /// What it is, for people.
    var text: String {
        let work = isFlush ? "flush" : "merge of " + TextFormat.many(Double(sources.count), "part")
        return "\(work): \(TextFormat.many(Double(items), "item")), \(TextFormat.bytes(Double(bytes))), "
            + "\(TextFormat.fixed(startSeconds, 2)) to \(TextFormat.fixed(endSeconds, 2)) s"
    }
}
