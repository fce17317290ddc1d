// RecordPlots.swift - pictures of many records at once, as files of their own: what results/README.md shows.
//
//   cost.svg      CPU of a new series and of a known row, profile by profile
//   space.svg     bytes of the index for a series, bytes of a sample
//   latency.svg   insert blocks and searches of the profile with searches, by percentile
//   rounds.svg    CPU of a row, round by round, where there are rounds with more than 1 % slow inserts
//   scaling.svg   CPU of a known row and a new series against the number of series, from results/scaling/scaling.json
//
// The drawings are those of report.html; here each picture brings the colours along, for light and dark.
//
// Pure text building; one owner.

import FoundationEssentials
import StorageFiles
import StorageRuntime

/// Makes pictures of records.
public enum RecordPlots {
    private static let width = 860.0

    /// Reads the records of directories and writes the pictures.
    ///
    /// - Parameters:
    ///   - runs: Run directories; one of each profile.
    ///   - scaling: The file that Scripts/scaling wrote; nil leaves its picture out.
    ///   - out: Directory of the pictures, which is there; files of the same name are replaced.
    /// - Returns: Names of the pictures.
    /// - Throws: `.badInput` for what is not a record.
    public static func write(
        _ runs: [String], scaling: String?, out: String, files: any FileSystem
    ) throws(HarnessError) -> [String] {
        var records: [RunRecord] = []
        for run in runs { records.append(try RunReader.record(run, files)) }
        var pictures = all(records)
        if let scaling { pictures.append(("scaling.svg", try scalingPicture(scaling, files))) }
        do throws(StorageError) {
            if try files.kind(of: out) == nil { try files.makeDirectory(out, parents: true) }
        } catch { throw HarnessError(.cannotCreate, "cannot make \(out): \(error)") }
        for (name, text) in pictures {
            do throws(StorageError) { try files.replaceAtomically(Array(text.utf8), at: Paths.join(out, name)) } catch {
                throw HarnessError(.cannotCreate, "cannot write \(name) into \(out): \(error)")
            }
        }
        return pictures.map(\.0)
    }

    /// The pictures of records that have something to show, with their names.
    static func all(_ records: [RunRecord]) -> [(String, String)] {
        var pictures: [(String, String)] = []
        func add(_ name: String, _ picture: String?) {
            if let picture { pictures.append((name, picture)) }
        }
        add(
            "cost.svg",
            bars(
                records,
                [
                    ("cpu_us_per_new_series", "CPU of a new series, us: everything, flush and merges included"),
                    ("cpu_us_per_known_row", "CPU of a row of a known series, us"),
                ]))
        add(
            "space.svg",
            bars(
                records,
                [
                    ("index_bytes_per_series", "index on disk, bytes a series"),
                    ("bytes_per_sample", "samples on disk, bytes a row"),
                ]))
        add("latency.svg", latency(records))
        add("rounds.svg", rounds(records))
        return pictures
    }

    // MARK: pictures

    private static func bars(_ records: [RunRecord], _ figures: [(name: String, title: String)]) -> String? {
        var stack = PictureStack(width: width)
        for (index, figure) in figures.enumerated() {
            let bars = records.compactMap { record in
                record.figure(figure.name).map {
                    BarPlot.Bar(name: record.profile, value: $0, text: TextFormat.short($0), color: index)
                }
            }
            guard !bars.isEmpty else { continue }
            stack.add(figure.title, BarPlot(bars: bars).svg(width: width, label: figure.title))
        }
        return stack.svg
    }

    private static func latency(_ records: [RunRecord]) -> String? {
        guard let record = records.first(where: { ($0.latency ?? []).contains(where: \.isOfSearches) }) else {
            return nil
        }
        let latency = (record.latency ?? []).filter { $0.from == .intended }
        var stack = PictureStack(width: width)
        let blocks = latency.filter { !$0.isOfSearches }
        if !blocks.isEmpty {
            stack.add(
                "\(record.profile): insert blocks of 1000 rows, without searches (paced) and beside them (searched)",
                LatencyPlot(records: blocks).svg(width: width))
        }
        stack.add(
            "\(record.profile): searches beside rows and alone",
            LatencyPlot(records: latency.filter(\.isOfSearches), unit: "searches").svg(width: width))
        return stack.svg
    }

    private static func rounds(_ records: [RunRecord]) -> String? {
        var stack = PictureStack(width: width)
        for record in records {
            guard let rounds = record.rounds, rounds.count >= 10,
                rounds.contains(where: { $0.slowRows * 100 > $0.rows })
            else { continue }
            let plot = SeriesPlot(
                lines: [("us a row", rounds.map { (Double($0.firstRound), $0.cpuUsPerRow) })], xTitle: "round",
                yTitle: "")
            stack.add(
                "\(record.profile): CPU of a row in the ingest threads, us, round by round",
                plot.svg(width: width, label: record.profile))
        }
        return stack.svg
    }

    // MARK: scaling

    /// What is read of scaling.json.
    private struct Scaling: Decodable {
        struct Point: Decodable {
            var series: Double
            var cpuUsPerKnownRow: Double?, cpuUsPerNewSeries: Double?
        }
        var runs: [Point]
    }

    private static func scalingPicture(_ path: String, _ files: any FileSystem) throws(HarnessError) -> String {
        let scaling: Scaling = try GateJSON.read(path, "the record of Scripts/scaling", files)
        let points = scaling.runs.sorted { $0.series < $1.series }
        var stack = PictureStack(width: width)
        for (title, value) in [
            ("CPU of a new series, us, against the number of series", \Scaling.Point.cpuUsPerNewSeries),
            ("CPU of a row of a known series, us", \.cpuUsPerKnownRow),
        ] {
            let line = points.compactMap { point in point[keyPath: value].map { (x: point.series, y: $0) } }
            guard !line.isEmpty else { continue }
            let plot = SeriesPlot(lines: [("", line)], xTitle: "active series", yTitle: "")
            stack.add(title, plot.svg(width: width, label: title))
        }
        guard let picture = stack.svg else { throw HarnessError(.badInput, "\(path) has no runs") }
        return picture
    }
}

/// Drawings below each other in one file.
struct PictureStack {
    let width: Double
    private var body = ""
    private var height = 0.0

    init(width: Double) { self.width = width }

    /// Adds a drawing with a title above it.
    mutating func add(_ title: String, _ drawing: String) {
        height += 30
        body += "<text class=\"title\" x=\"0\" y=\"\(SVGCanvas.number(height - 8))\">\(XMLText.escape(title))</text>\n"
        // The drawing knows its size: `viewBox="0 0 W H"`.
        let numbers = drawing.split(separator: "\"").dropFirst().first?.split(separator: " ") ?? []
        let own = numbers.count == 4 ? Double(numbers[3]) ?? 0 : 0
        body += "<g transform=\"translate(0 \(SVGCanvas.number(height)))\">" + PictureStack.inner(drawing) + "</g>\n"
        height += own + 14
    }

    /// The file; nil when it is empty.
    var svg: String? {
        guard !body.isEmpty else { return nil }
        let size = "\(SVGCanvas.number(width + 32)) \(SVGCanvas.number(height + 16))"
        return """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="-16 0 \(size)">
            <style>
            \(HTMLTemplate.pictureStyles)
            </style>
            <rect class="ground" x="-16" y="0" width="100%" height="100%"/>
            \(body)</svg>

            """
    }

    /// What is between the tags of a drawing.
    private static func inner(_ drawing: String) -> String {
        guard let open = drawing.firstIndex(of: ">"), let close = drawing.range(of: "</svg>") else { return "" }
        return String(drawing[drawing.index(after: open)..<close.lowerBound])
    }
}
