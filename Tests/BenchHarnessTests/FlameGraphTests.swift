// FlameGraphTests.swift - collapsed stacks, the table of functions, and the pictures made of them.

import Foundation
import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import BenchHarness

@Suite struct FlameGraphTests {
    private func stacks(_ text: String, base: String? = nil) -> FoldedStacks {
        var stacks = FoldedStacks()
        Array(text.utf8).withUnsafeBytes { stacks.add($0) }
        if let base { Array(base.utf8).withUnsafeBytes { stacks.add($0, asBase: true) } }
        return stacks
    }

    @Test func addsUpStacks() {
        let stacks = stacks("main;a;b 3\nmain;a 2\n\nnonsense\nmain;c x\nmain;a;b 5\nmain 1.5\n")
        #expect(stacks.total == 11.5 && stacks.linesSkipped == 2)
        let frames = Dictionary(uniqueKeysWithValues: stacks.frames().map { ($0.name, $0) })
        #expect(frames["b"]?.own == 8 && frames["b"]?.total == 8)
        #expect(frames["a"]?.own == 2 && frames["a"]?.total == 10)
        #expect(frames["main"]?.own == 1.5 && frames["main"]?.total == 11.5)
        #expect(stacks.frames().map(\.name) == ["b", "a", "main"])
    }

    @Test func countsRecursionOnce() {
        let frames = stacks("f;g;f;g;f 4\nf 1\n").frames()
        #expect(frames.first { $0.name == "f" }?.total == 5)
        #expect(frames.first { $0.name == "g" }?.total == 4)
    }

    @Test func namesMayHoldBlanksAndLinesMayEndAnyWay() {
        let stacks = stacks("closure #1 in main;Array.append(_: Int) 2 \r\nclosure #1 in main 3")
        #expect(stacks.total == 5 && stacks.linesSkipped == 0)
        #expect(stacks.frames().map(\.name) == ["closure #1 in main", "Array.append(_: Int)"])
    }

    @Test(arguments: TestSeeds.thisRun) func againstAnIndependentSum(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var text = ""
        var own: [String: Double] = [:]
        for _ in 0..<2000 {
            let frames = (0..<Int.random(in: 1...9, using: &random)).map { _ in
                "f\(Int.random(in: 0..<20, using: &random))"
            }
            let weight = Double(Int.random(in: 0..<1000, using: &random))
            own[frames.last ?? "", default: 0] += weight
            text += frames.joined(separator: ";") + " \(Int(weight))\n"
        }
        let stacks = stacks(text)
        #expect(stacks.total == own.values.reduce(0, +))
        for frame in stacks.frames() { #expect(frame.own == own[frame.name, default: 0]) }
    }

    @Test func theTableShowsTheHeaviest() {
        let text = stacks("main;a 60\nmain;b 30\nmain 10\n").top(2)
        let lines = text.split(separator: "\n").map(String.init)
        #expect(lines.count == 3)
        #expect(lines[1] == "   60.0 %   60.0 %   a")
        #expect(lines[2] == "   30.0 %   30.0 %   b")
    }

    @Test func theTableOfADifferenceShowsWhatChanged() {
        let text = stacks("main;a 50\nmain;b 80\nmain;new 5\n", base: "main;a 50\nmain;b 40\nmain;gone 10\n").top(3)
        let lines = text.split(separator: "\n").map(String.init)
        #expect(lines[1] == "  +40.0 %   40.0 %    80.0 %   b")
        #expect(lines[2] == "  -10.0 %   10.0 %     0.0 %   gone")
        #expect(lines[3].hasSuffix("new") && lines[3].hasPrefix("   +5.0 %"))
        #expect(lines[4] == "  +35.0 %   all together")
    }

    /// Rectangles of the picture by the title of their frame.
    private func rectangles(_ svg: String) -> [String: (x: Double, width: Double, y: Double)] {
        var found: [String: (Double, Double, Double)] = [:]
        for group in svg.components(separatedBy: "<g class=\"f\">").dropFirst() {
            let title = group.components(separatedBy: "<title>")[1].components(separatedBy: "</title>")[0]
            func value(_ name: String) -> Double {
                Double(group.components(separatedBy: " \(name)=\"")[1].components(separatedBy: "\"")[0]) ?? -1
            }
            found[title] = (value("x"), value("width"), value("y"))
        }
        return found
    }

    @Test func framesAreAsWideAsTheirShare() throws {
        let svg = FlameGraph.svg(stacks("main;a;b 25\nmain;c 75\n"), title: "t", unit: "samples")
        let frames = rectangles(svg)
        let main = try #require(frames.first { $0.key.hasPrefix("main:") }).value
        let a = try #require(frames.first { $0.key.hasPrefix("a:") }).value
        let c = try #require(frames.first { $0.key.hasPrefix("c:") }).value
        #expect(abs(main.width - 1179.6) < 0.2 && abs(a.width - 294.6) < 0.2 && abs(c.width - 884.6) < 0.2)
        #expect(a.x == main.x && abs(c.x - (a.x + 295)) < 0.2)
        #expect(main.y > a.y && a.y == c.y)
        #expect(frames.keys.contains("b: 25 samples, 25.00 %, own 25.00 %"))
    }

    @Test func thePictureIsWellFormedWhateverTheNames() throws {
        let svg = FlameGraph.svg(
            stacks("ma<in>;\"a\"&b;c\u{1}\u{7F} 5\nother 1\n"), title: "<&>", unit: "samples")
        #expect(!svg.contains("<in>") && svg.contains("ma&lt;in&gt;") && svg.contains("&lt;&amp;&gt;"))
        #expect(!svg.unicodeScalars.contains { $0.value < 0x20 && $0 != "\n" })
        #expect(svg.components(separatedBy: "<g").count == svg.components(separatedBy: "</g>").count)
        #expect(!svg.contains("<script") && !svg.contains("http://www.w3.org/1999/xlink"))
    }

    @Test func aDifferenceIsRedWhereItGrew() throws {
        let svg = FlameGraph.svg(
            stacks("main;slow 90\nmain;fast 10\n", base: "main;slow 40\nmain;fast 60\n"), title: "d", unit: "samples")
        func colour(_ name: String) -> String {
            svg.components(separatedBy: "<title>\(name):")[1].components(separatedBy: "fill=\"")[1]
        }
        #expect(colour("slow").hasPrefix("hsl(5 ") && colour("fast").hasPrefix("hsl(215 "))
    }

    @Test func saysWhatIsWrongWithTheFile() throws {
        let directory = try TemporaryDirectory()
        try directory.write(Array("no stacks here\n".utf8), to: "text")
        for name in ["text", "missing"] {
            var stacks = FoldedStacks()
            #expect { try stacks.read(directory.path(name), files: RealFileSystem()) } throws: {
                ($0 as? HarnessError)?.status == .badInput
            }
        }
    }
}
