// FigureTests.swift - the catalogue is complete, documented and consistent.

import Foundation
import Testing

@testable import BenchHarness

@Suite struct FigureTests {
    /// REWRITE=1 writes the file anew instead.
    @Test func theDocumentIsTheCatalogue() throws {
        let path = repositoryPath("docs/figures.md")
        if ProcessInfo.processInfo.environment["REWRITE"] == "1" {
            try FigureCatalogue.markdown().write(toFile: path, atomically: true, encoding: .utf8)
        }
        let text = try String(contentsOfFile: path, encoding: .utf8)
        #expect(text == FigureCatalogue.markdown(), "run the test with REWRITE=1, or `mergeset-bench list --figures`")
    }

    @Test func namesAreUniqueAndSnakeCase() {
        let names = FigureCatalogue.groups.flatMap(\.figures).map(\.name)
        #expect(Set(names).count == names.count)
        for name in names {
            #expect(name.allSatisfy { $0.isLowercase || $0.isNumber || $0 == "_" }, "\(name)")
        }
    }

    @Test func everyFigureHasAFormula() {
        for figure in FigureCatalogue.groups.flatMap(\.figures) {
            #expect(!figure.formula.isEmpty && !figure.formula.contains("|") && !figure.unit.isEmpty, "\(figure.name)")
            // What repeats to the digit live does so in deterministic mode, too.
            if figure.kindLive == .exact { #expect(figure.kind == .exact, "\(figure.name)") }
        }
    }

    @Test func aSetKnowsTheModeAndLeavesOutWhatIsNoNumber() {
        var live = FigureSet(isDeterministic: false)
        live.set("flushes", 3 as UInt64)
        live.set("normalised_items_added", 10 as UInt64)
        live.set("cpu_us_per_new_series", 1.0 / 0)
        live.set("item_merge_amplification_ratio", 0.0 / 0)
        #expect(live.values["flushes"] == FigureValue(value: 3, unit: "count", better: .none, kind: .near))
        #expect(live.values["normalised_items_added"]?.kind == .exact)
        #expect(live["cpu_us_per_new_series"] == nil && live["item_merge_amplification_ratio"] == nil)
        var deterministic = FigureSet(isDeterministic: true)
        deterministic.set("flushes", 3 as UInt64)
        #expect(deterministic.values["flushes"]?.kind == .exact)
    }

    @Test func aFigureOutsideTheCatalogueStopsTheProcess() async {
        await #expect(processExitsWith: .failure) {
            var figures = FigureSet(isDeterministic: true)
            figures.set("something_new", 1.0)
        }
    }
}

/// A path in the repository, from this file's own.
func repositoryPath(_ path: String, file: String = #filePath) -> String {
    URL(fileURLWithPath: file).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent(path).path
}
