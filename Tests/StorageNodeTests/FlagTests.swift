// FlagTests.swift - the command line: syntax, values, environment, mistakes.

import Glibc
import TestSupport
import Testing

@testable import StorageNode

@Suite struct FlagTests {
    private func parse(_ arguments: [String], _ environment: [String: String] = [:]) -> FlagOutcome {
        FlagParser.parse(arguments) { environment[$0] }
    }

    private func values(_ arguments: [String], _ environment: [String: String] = [:]) throws -> FlagValues {
        guard case .values(let values) = parse(arguments, environment) else {
            throw TestSupportError("refused: \(parse(arguments, environment))")
        }
        return values
    }

    @Test func formsOfFlags() throws {
        let flags = try values([
            "-vminsertAddr=:1", "--vmselectAddr", ":2", "-logNewSeries", "-precisionBits", "0x20", "-vminsertAddr=:3",
            "-tls=F", "rest", "-unknown",
        ])
        #expect(flags["vminsertAddr"] == ":3")
        #expect(flags["vmselectAddr"] == ":2")
        #expect(flags.bool("logNewSeries"))
        #expect(!flags.bool("tls"))
        #expect(flags.int("precisionBits") == 32)
        #expect(flags["retentionPeriod"] == "1")
        #expect(try values(["--", "-unknown"]).explicit == [:])
        #expect(try values(["-"]).explicit == [:])
    }

    @Test func mistakes() {
        #expect(parse(["-x"]) == .mistake("flag provided but not defined: -x", exitCode: 2))
        #expect(parse(["-x=1"]) == .mistake("flag provided but not defined: -x", exitCode: 2))
        #expect(parse(["-vminsertAddr"]) == .mistake("flag needs an argument: -vminsertAddr", exitCode: 2))
        #expect(parse(["---a"]) == .mistake("bad flag syntax: ---a", exitCode: 2))
        for bad in [
            "-precisionBits=x", "-logNewSeries=maybe", "-http.connTimeout=5", "-memory.allowedBytes=1TB",
            "-retentionPeriod=5m", "-memory.allowedPercent=", "-finalMergeDelay=1d",
        ] {
            guard case .mistake(let text, exitCode: 2) = parse([bad]) else {
                Issue.record("accepted: \(bad)")
                continue
            }
            #expect(text.contains("for flag \(bad.prefix { $0 != "=" })"), "\(text)")
        }
        #expect(parse(["-help"]) == .help)
        #expect(parse(["-h"]) == .help)
        #expect(parse(["--help"]) == .help)
        let help = FlagParser.help("storage-node")
        for flag in FlagTable.all { #expect(help.contains("  -\(flag.name)")) }
    }

    @Test func environment() throws {
        let variables = ["FOO_storage_minFreeDiskSpaceBytes": "5KiB", "FOO_logNewSeries": "true", "FOO_tls": "x"]
        let off = try values(["-envflag.prefix=FOO_"], variables)
        #expect(off.bytes("storage.minFreeDiskSpaceBytes") == 10_000_000)
        let on = try values(
            ["-envflag.enable", "-envflag.prefix=FOO_", "-tls=false", "-logNewSeries=false"], variables)
        #expect(on.bytes("storage.minFreeDiskSpaceBytes") == 5120)
        #expect(!on.bool("logNewSeries"))
        #expect(on.explicit["storage.minFreeDiskSpaceBytes"] == "5KiB")
        guard case .mistake(_, exitCode: 1) = parse(["-envflag.enable", "-envflag.prefix=FOO_"], variables) else {
            Issue.record("a bad value in the environment")
            return
        }
    }

    @Test func textsOfValues() {
        for (text, value) in [
            ("7", 7), ("-7", -7), ("+7", 7), ("0x1F", 31), ("017", 15), ("0o17", 15), ("0b101", 5), ("1_000", 1000),
            ("9223372036854775807", Int.max), ("0", 0),
        ] { #expect(FlagText.int(text) == value, "\(text)") }
        for text in ["", "x", "1.5", "--1", "9223372036854775808", "_1", "1_", "1__0", "08", "0x"] {
            #expect(FlagText.int(text) == nil, "\(text)")
        }
        for (text, value) in [
            ("0", 0), ("30s", 30_000_000_000), ("1h15m", 4_500_000_000_000), ("1.5h", 5_400_000_000_000),
            ("-1.5s", -1_500_000_000), ("2ms", 2_000_000), ("3us", 3000), ("4µs", 4000), ("5ns", 5),
            ("1m", 60_000_000_000),
        ] as [(String, Int64)] { #expect(FlagText.duration(text) == value, "\(text)") }
        for text in ["", "1", "1d", "s", "1.s.", "1h-", "-", "9999999999h"] {
            #expect(FlagText.duration(text) == nil, "\(text)")
        }
        for (nanoseconds, text) in [
            (0, "0s"), (120_000_000_000, "2m0s"), (7_000_000_000, "7s"), (1_500_000_000, "1.5s"),
            (100_000_000, "100ms"),
            (3_600_000_000_000, "1h0m0s"), (1500, "1.5µs"), (-2_000_000_000, "-2s"),
        ] as [(Int64, String)] { #expect(FlagText.durationText(nanoseconds) == text) }
        for (text, value) in [
            ("10", 10), ("1e6", 1_000_000), ("1KB", 1000), ("1KiB", 1024), ("1.5mib", 1_572_864),
            ("2gb", 2_000_000_000),
            ("2GiB", 2 << 30), ("-1", -1), ("1000000GiB", 1_073_741_824_000_000),
        ] as [(String, Int64)] { #expect(FlagText.bytes(text) == value, "\(text)") }
        for text in ["", "KB", "1TB", "x", "1e400"] { #expect(FlagText.bytes(text) == nil, "\(text)") }
    }

    @Test func retention() throws {
        let most: Int64 = 1200 * 2_678_400_000
        for (text, value) in [
            ("1", 2_678_400_000), ("0.5", 1_339_200_000), ("1h", 3_600_000), ("1.5d", 129_600_000),
            ("2.3W", 1_391_040_000), ("100y", 3_153_600_000_000), ("0", most), ("200y", most), ("30m1h", 5_400_000),
            ("1200", most), ("1d-1h", 82_800_000), ("1i", most),
        ] as [(String, Int64)] { #expect(try FlagText.retentionMs(text) == value, "\(text)") }
        for text in ["", "foobar", "134xd", "1201", "-1", "-34h", "1m", "5m", "1h30m", "1 h"] {
            #expect(throws: FlagTextError.self, "\(text)") { try FlagText.retentionMs(text) }
        }
    }

    @Test func secretsAreHidden() throws {
        let flags = try values(["-snapshotAuthKey=abc", "-search.maxTagKeys=5", "-http.connTimeout=90s", "-enableTCP6"])
        let page = NodePages.flags(flags)
        #expect(
            page == """
                -enableTCP6="true"
                -http.connTimeout="1m30s"
                -search.maxTagKeys="secret"
                -snapshotAuthKey="secret"

                """)
    }

    @Test func loggerSettings() throws {
        #expect(throws: FlagTextError.self) { try LogSettings(try values(["-loggerLevel=info"])) }
        #expect(throws: FlagTextError.self) { try LogSettings(try values(["-loggerFormat=xml"])) }
        #expect(throws: FlagTextError.self) { try LogSettings(try values(["-loggerOutput=file"])) }
        #expect(!LogSettings.setTimeZone("Nowhere/City"))
        #expect(!LogSettings.setTimeZone("../../etc/passwd"))
        #expect(LogSettings.setTimeZone("UTC"))
        var time = timespec()
        time.tv_sec = 1_642_509_296
        time.tv_nsec = 789_123_456
        #expect(LogWriter.timestamp(time, isLocal: false) == "2022-01-18T12:34:56.789Z")
    }
}
