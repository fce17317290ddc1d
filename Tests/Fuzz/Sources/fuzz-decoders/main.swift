// main.swift - picks the target named by the environment variable FUZZ_TARGET and hands over to libFuzzer.

import CFuzzer
import Glibc

guard let name = getenv("FUZZ_TARGET").map({ String(cString: $0) }), let target = fuzzTargets[name] else {
    print("targets: \(fuzzTargets.keys.sorted().joined(separator: " "))")
    print("usage: Scripts/fuzz TARGET [SECONDS] [libFuzzer arguments]")
    exit(getenv("FUZZ_TARGET") == nil ? 0 : 64)
}
FuzzRun.target = target
var argumentCount = CommandLine.argc
var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
exit(
    LLVMFuzzerRunDriver(&argumentCount, &arguments) { data, count in
        FuzzRun.target(UnsafeRawBufferPointer(start: data, count: count))
        return 0
    })
