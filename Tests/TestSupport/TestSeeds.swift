// TestSeeds.swift - the seeds of random tests: a few that never change, and one that is new in every run. A failure
// shows its seed as the argument of the test; `SEED=<number> Scripts/test --filter <test>` runs that one again.

import Foundation

/// Seeds for `@Test(arguments: TestSeeds.thisRun)`.
public enum TestSeeds {
    /// The seeds of this run: the value of the environment variable SEED alone when it is set (decimal, or hexadecimal
    /// after `0x`), otherwise three fixed ones and a random one, which is printed.
    public static let thisRun: [UInt64] = {
        if let text = ProcessInfo.processInfo.environment["SEED"], !text.isEmpty {
            let seed = text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text)
            guard let seed else { fatalError("SEED is not a 64-bit number: \(text)") }
            print("random tests: SEED=\(seed)")
            return [seed]
        }
        let random = UInt64.random(in: 1 ... .max)
        print("random tests: seeds 1, 2, 42 and SEED=\(random)")
        return [1, 2, 42, random]
    }()
}
