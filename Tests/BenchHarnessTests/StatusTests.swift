// StatusTests.swift - what is told while a run works, and how settings and errors are read.

import StorageRuntime
import Testing

@testable import BenchHarness

@Suite struct StatusTests {
    private static func snapshot() -> StatusSnapshot {
        var snapshot = StatusSnapshot(phase: "ingest", done: 43_200, total: 172_800, unit: "series")
        snapshot.elapsedSeconds = 1.25
        var interval = IntervalRecord()
        interval.perSecond = 64_800
        interval.itemsPerSecond = 3_500_000
        interval.parts = 4
        interval.pendingBytes = 31_000_000
        interval.activeMerges = 1
        interval.merges = 2
        interval.rssBytes = 180_000_000
        snapshot.interval = interval
        return snapshot
    }

    @Test func theBlock() {
        #expect(
            Self.snapshot().block() == [
                "ingest     [######..................]  25 %  43,200 of 173 k series",
                "           64,800 series/s, 3.50 M items/s, 1.25 s, 2.00 s to go",
                "           parts 4, pending 31.0 MB, merges 1 running 2 done, rss 180 MB",
            ])
        #expect(StatusSnapshot(phase: "settle", done: 0, total: 0, unit: "").block().count == 3)
    }

    @Test func theLine() {
        #expect(
            Self.snapshot().line()
                == "ingest: 43200 of 172800 series, 64,800/s, parts 4, pending 31.0 MB, rss 180 MB")
    }

    @Test func aTerminalBlockIsRedrawnAndRemoved() {
        let text = Protected("")
        let display = StatusDisplay(style: .terminal) { piece in text.withLock { $0 += piece } }
        display.show(Self.snapshot())
        display.show(Self.snapshot())
        display.clear()
        display.clear()
        let written = text.withLock { $0 }
        #expect(written.components("\u{1B}[3A") == 3)
        #expect(written.components("\n") == 9)
        #expect(written.hasSuffix("\u{1B}[3A\r"))
    }

    @Test func plainLinesComeOncePerPhaseAndQuietSaysNothing() {
        let text = Protected("")
        let plain = StatusDisplay(style: .plain) { piece in text.withLock { $0 += piece } }
        plain.show(Self.snapshot())
        plain.show(Self.snapshot())
        plain.show(StatusSnapshot(phase: "settle", done: 0, total: 0, unit: ""))
        plain.clear()
        #expect(text.withLock { $0 }.components("\n") == 2)
        let quiet = StatusDisplay(style: .quiet) { _ in Issue.record("quiet has said something") }
        quiet.show(Self.snapshot())
        quiet.clear()
    }

    @Test func settingsOfTheHarness() throws {
        var options = RunOptions()
        #expect(try options.set("seeks", "5"))
        #expect(try options.set("table.flush_interval_ms", "20"))
        #expect(try options.set("table.tag_row_merging", "blockwise"))
        #expect(try options.set("table.gathers_tag_rows", "false"))
        #expect(try !options.set("series", "5"))
        #expect(options.seeks == 5 && options.table.flushIntervalNanoseconds == 20_000_000)
        #expect(options.table.tagRowMerging == .blockwise && !options.table.gathersTagRows)
        #expect(options.settings.count == 4)
        for (key, _) in RunOptions.settableKeys {
            let error = #expect(throws: HarnessError.self) { try options.set(key, "lots") }
            #expect(error?.status == .usage)
            #expect(error?.message.hasPrefix("--set \(key)=lots: ") == true)
        }
    }

    @Test func storageErrorsHaveTheirCodes() {
        func status(_ kind: StorageError.Kind) -> BenchHarness.ExitStatus {
            HarnessError(StorageError(kind, "reason", path: "/x"), while: "reading").status
        }
        #expect(status(.corrupted) == .checkFailed)
        #expect(status(.locked) == .locked)
        #expect(status(.io(errno: 5)) == .inputOutput)
        #expect(status(.noSpace) == .inputOutput)
        #expect(
            HarnessError(StorageError(.noSpace, "reason", path: "/x"), while: "reading").message
                == "reading: /x: reason")
    }

    @Test func exitCodesAreTheDocumentedOnes() {
        #expect(BenchHarness.ExitStatus.allCases.map(\.rawValue) == [0, 2, 3, 4, 64, 65, 66, 69, 70, 73, 74, 75, 130])
    }
}

extension String {
    /// How often `part` occurs.
    fileprivate func components(_ part: String) -> Int {
        var count = 0
        var rest = self[...]
        while let range = rest.firstRange(of: part) {
            count += 1
            rest = rest[range.upperBound...]
        }
        return count
    }
}
