// ComparisonPlots.swift - the plots without an axis of time: horizontal bars, latency by percentile, points in a plane.

import Glibc
import Histogram

/// Horizontal bars with a name on top of each and the value behind it: readable at any width.
struct BarPlot {
    /// One bar.
    struct Bar {
        var name: String
        var value: Double
        /// What stands behind the bar.
        var text: String
        /// Index of the colour.
        var color = 0
    }

    var bars: [Bar]
    /// The end of the axis; nil takes the greatest value.
    var high: Double?

    /// The drawing at a width.
    func svg(width: Double, label: String) -> String {
        let row = 38.0
        let high = max(high ?? bars.map(\.value).max() ?? 1, 1e-12)
        // Values are bold.
        let textRoom = (bars.map { SVGCanvas.textWidth($0.text) * 1.15 }.max() ?? 0) + 12
        let room = max(40, width - textRoom - 2)
        var canvas = SVGCanvas(width: width, height: Double(bars.count) * row + 4)
        for (index, bar) in bars.enumerated() {
            let y = Double(index) * row
            let length = max(1.5, min(1, bar.value / high) * room)
            canvas.text(0, y + 11, bar.name, .start, "t")
            canvas.rect(0, y + 17, room, 13, "bg")
            canvas.rect(0, y + 17, length, 13, "f\(bar.color)", title: "\(bar.name): \(bar.text)")
            canvas.text(room + 8, y + 28, bar.text, .start, "v")
        }
        return canvas.svg(label: label)
    }
}

/// Latency by percentile: the axis of percentiles has equal room for 90, 99, 99.9 ...
struct LatencyPlot {
    let records: [LatencyRecord]
    /// What is counted.
    var unit = "blocks"

    /// The drawing at a width.
    func svg(width: Double) -> String {
        let curves = records.map { record in
            record.histogram().percentiles(ticksPerHalfDistance: 5).map {
                (percentile: $0.percentileLevelIteratedTo, us: Double($0.value) / 1000)
            }
        }
        let values = curves.flatMap { $0.map(\.us) }.filter { $0 > 0 }
        let legend = Double(records.count) * 17
        let top = legend + 14
        let bottom = top + 210
        var canvas = SVGCanvas(width: width, height: bottom + 40)
        let nines = max(2, log10(Double(records.map(\.count).max() ?? 1)).rounded(.up))
        let x = PlotScale(low: 0, high: nines, isLogarithmic: false, start: 64, end: width - 22)
        let y = PlotScale.logarithmic(
            low: values.min() ?? 1, high: values.max() ?? 10, start: bottom, end: top)
        for tick in y.ticks(6) {
            canvas.line(x.start, y.pixel(tick), x.end, y.pixel(tick), "g")
            canvas.text(x.start - 6, y.pixel(tick) + 4, AxisText.microseconds(tick), .end)
        }
        for nine in 0...Int(nines) {
            let label = nine == 0 ? "0" : TextFormat.plain(100 - pow(10, Double(2 - nine)))
            canvas.line(x.pixel(Double(nine)), top, x.pixel(Double(nine)), bottom, "g")
            if nine <= 4 || width > 500 { canvas.text(x.pixel(Double(nine)), bottom + 16, label, .middle) }
        }
        canvas.text(x.end, bottom + 34, "% of the \(unit)", .end, "h")
        for (index, curve) in curves.enumerated() {
            // Of n blocks no more than n - 1 can be told from the longest one.
            let last = log10(Double(max(2, records[index].count)))
            let points = curve.map { point in
                (
                    x: x.pixel(point.percentile >= 100 ? last : min(last, -log10(1 - point.percentile / 100))),
                    y: y.pixel(point.us)
                )
            }
            canvas.path(points, "s\(index % 6)")
            let place = Double(index) * 17 + 8
            canvas.line(4, place, 26, place, "s\(index % 6)")
            canvas.text(32, place + 4, records[index].title + ", \(records[index].count) \(unit)")
        }
        return canvas.svg(
            label: unit == "blocks" ? "Latency of insert blocks by percentile" : "Latency of searches by percentile")
    }
}

/// Points with names in a plane; both axes begin at 0.
struct PointPlot {
    /// One point.
    struct Point {
        var x: Double, y: Double
        var name: String
        /// Index of the colour.
        var color = 0
    }

    var points: [Point]
    var xTitle: String, yTitle: String
    var xFormat: (Double) -> String = AxisText.count
    var yFormat: (Double) -> String = AxisText.count

    /// The drawing at a width.
    func svg(width: Double, label: String) -> String {
        let top = 24.0
        let bottom = 254.0
        var canvas = SVGCanvas(width: width, height: bottom + 40)
        let x = PlotScale.linear(high: points.map(\.x).max() ?? 1, start: 56, end: width - 24)
        let y = PlotScale.linear(high: points.map(\.y).max() ?? 1, start: bottom, end: top)
        for tick in y.ticks(4) {
            canvas.line(x.start, y.pixel(tick), x.end, y.pixel(tick), "g")
            canvas.text(x.start - 6, y.pixel(tick) + 4, yFormat(tick), .end)
        }
        for tick in x.ticks(width < 500 ? 4 : 6) {
            canvas.line(x.pixel(tick), top, x.pixel(tick), bottom, "g")
            canvas.text(x.pixel(tick), bottom + 16, xFormat(tick), .middle)
        }
        canvas.text(4, 12, yTitle, .start, "h")
        canvas.text(x.end, bottom + 34, xTitle, .end, "h")
        // Names go to the right of their points, or to the left near the border; what would overlap is left to the
        // text that shows when the point is pointed at.
        var taken: [(left: Double, right: Double, y: Double)] = []
        for point in points.sorted(by: { $0.y > $1.y }) {
            let px = x.pixel(point.x)
            let py = y.pixel(point.y)
            canvas.dot(px, py, 4, "f\(point.color)", title: "\(point.name): \(xFormat(point.x)), \(yFormat(point.y))")
            let size = SVGCanvas.textWidth(point.name)
            for isRight in [true, false] {
                let left = isRight ? px + 8 : px - 8 - size
                guard left > x.start, left + size < width else { continue }
                let isFree =
                    !taken.contains { abs($0.y - py) < 13 && $0.left < left + size && left < $0.right }
                    && !points.contains {
                        let (qx, qy) = (x.pixel($0.x), y.pixel($0.y))
                        return abs(qy - py) < 9 && qx > left - 4 && qx < left + size + 4 && (qx, qy) != (px, py)
                    }
                guard isFree else { continue }
                taken.append((left, left + size, py))
                canvas.text(isRight ? px + 8 : px - 8, py + 4, point.name, isRight ? .start : .end)
                break
            }
        }
        return canvas.svg(label: label)
    }
}

/// Lines over a whole number, such as rounds.
struct SeriesPlot {
    var lines: [(name: String, points: [(x: Double, y: Double)])]
    var xTitle: String, yTitle: String
    var yFormat: (Double) -> String = AxisText.count

    /// The drawing at a width.
    func svg(width: Double, label: String) -> String {
        let top = 20 + Double(lines.count > 1 ? lines.count : 0) * 17
        let bottom = top + 170
        var canvas = SVGCanvas(width: width, height: bottom + 40)
        let all = lines.flatMap(\.points)
        let x = PlotScale.linear(
            low: all.map(\.x).min() ?? 0, high: all.map(\.x).max() ?? 1, start: 56, end: width - 14, roundsUp: false)
        let y = PlotScale.linear(high: all.map(\.y).max() ?? 1, start: bottom, end: top)
        for tick in y.ticks(4) {
            canvas.line(x.start, y.pixel(tick), x.end, y.pixel(tick), "g")
            canvas.text(x.start - 6, y.pixel(tick) + 4, yFormat(tick), .end)
        }
        for tick in x.ticks(width < 500 ? 4 : 8) where tick == tick.rounded() {
            canvas.text(x.pixel(tick), bottom + 16, AxisText.count(tick), .middle)
        }
        canvas.text(4, 12, yTitle, .start, "h")
        canvas.text(x.end, bottom + 34, xTitle, .end, "h")
        for (index, line) in lines.enumerated() {
            if lines.count > 1 {
                let place = 24 + Double(index) * 17
                canvas.line(4, place, 26, place, "s\(index % 6)")
                canvas.text(32, place + 4, line.name)
            }
            let points = line.points.map { (x: x.pixel($0.x), y: y.pixel($0.y)) }
            canvas.path(points, "s\(index % 6)")
            if points.count <= 60 { for point in points { canvas.dot(point.x, point.y, 2.5, "f\(index % 6)") } }
        }
        return canvas.svg(label: label)
    }
}
