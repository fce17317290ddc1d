// BenchText.swift - bench.txt: all figures in the format of Go benchmarks, for benchstat.
//
//   key: value                                  configuration that holds for the lines below
//   Unit NAME better=lower assume=exact         what a unit is: each figure is its own unit
//   Benchmark<Profile>/size=m/mode=live-2 1 6.31 cpu_us_per_new_series ...
//
// Names of figures serve as units, so nothing is lost and nothing is rescaled. `assume=exact` stands at figures that repeat
// to the digit. The number of iterations is 1: a run is one sample; several runs go into one file with `cat`.

/// Makes bench.txt.
enum BenchText {
    /// The text of some runs; units once, then one benchmark a run.
    static func text(_ records: [RunRecord]) -> String {
        guard let first = records.first else { return "" }
        let provenance = first.provenance
        var text = ""
        for (key, value) in [
            ("goos", "linux"), ("goarch", goArchitecture(provenance.architecture)), ("cpu", provenance.cpu),
            ("toolchain", provenance.toolchain), ("allocator", provenance.allocator), ("build", provenance.build),
            ("commit", provenance.commit ?? ""),
        ] where !value.isEmpty {
            text += "\(key): \(oneLine(value))\n"
        }
        text += "\n"
        for definition in FigureCatalogue.groups.flatMap(\.figures) {
            let values = records.compactMap { $0.figures[definition.name] }
            guard let value = values.first else { continue }
            var properties = value.better == .none ? "" : " better=\(value.better.rawValue)"
            if values.allSatisfy({ $0.kind == .exact }) { properties += " assume=exact" }
            if !properties.isEmpty { text += "Unit \(definition.name)\(properties)\n" }
        }
        text += "\n"
        for record in records { text += line(record) }
        return text
    }

    /// `BenchmarkK8sPods/size=m/mode=live-2`; settings that were given follow as further parts.
    static func name(_ record: RunRecord) -> String {
        var name = "Benchmark"
        for word in record.profile.split(whereSeparator: { !$0.isLetter && !$0.isNumber }) {
            name += word.prefix(1).uppercased() + word.dropFirst()
        }
        name += "/size=\(record.size)/mode=\(record.mode)"
        if record.observed.kind != "rows" { name += "/path=\(record.observed.kind)" }
        for (key, value) in record.settings.sorted(by: { $0.key < $1.key }) {
            name += "/" + word(key) + "=" + word(value)
        }
        return name + "-\(record.threads)"
    }

    private static func line(_ record: RunRecord) -> String {
        var text = name(record) + " 1"
        for definition in FigureCatalogue.groups.flatMap(\.figures) {
            if let value = record.figures[definition.name]?.value { text += " \(number(value)) \(definition.name)" }
        }
        return text + "\n"
    }

    /// Without an exponent for whole numbers, in the shortest exact form otherwise.
    static func number(_ value: Double) -> String {
        if value == value.rounded(), abs(value) < 1e15 { return "\(Int64(value))" }
        return "\(value)"
    }

    /// No white space and no slash: they end a name.
    private static func word(_ text: String) -> String {
        String(text.map { $0.isWhitespace || $0 == "/" || $0 == "=" ? "_" : $0 })
    }

    private static func oneLine(_ text: String) -> String {
        text.split(whereSeparator: \.isNewline).joined(separator: " ")
    }

    private static func goArchitecture(_ name: String) -> String {
        switch name {
        case "x86_64": "amd64"
        case "aarch64": "arm64"
        default: name
        }
    }
}
