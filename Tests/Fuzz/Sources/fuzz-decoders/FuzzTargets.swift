// FuzzTargets.swift - the list of targets: name on the command line, and what is done with an input.
//
// A target decodes its input as if it came from disk. It fails by a trap or by what the address sanitizer sees, and by
// `require`: for everything that must hold when a decoder has accepted an input. A new target is one row here and one
// file beside; Tests/Fuzz/Corpus/<name>/ holds the inputs it starts from.

/// What is done with an input. The bytes are valid during the call.
typealias FuzzTarget = @Sendable (UnsafeRawBufferPointer) -> Void

/// The targets by name.
let fuzzTargets: [String: FuzzTarget] = [
    "block": fuzzBlock,
    "cache-file": fuzzCacheFile,
    "cursor": fuzzCursor,
    "id-files": fuzzIDFiles,
    "index-block": fuzzIndexBlock,
    "metadata": fuzzMetadata,
    "metaindex": fuzzMetaindex,
    "payloads": fuzzPayloads,
    "sample-array": fuzzSampleArray,
    "sample-block": fuzzSampleBlock,
    "sample-header": fuzzSampleHeader,
    "sample-index-block": fuzzSampleIndexBlock,
    "sample-metaindex": fuzzSampleMetaindex,
    "sample-name": fuzzSampleName,
    "tag-row": fuzzTagRow,
    "wire-frames": fuzzWireFrames,
    "wire-requests": fuzzWireRequests,
    "wire-rows": fuzzWireRows,
    "transaction": fuzzTransaction,
    "zstd": fuzzZstd,
]

/// The target of this process. Set once, before the fuzzer starts its only thread.
enum FuzzRun {
    nonisolated(unsafe) static var target: FuzzTarget = { _ in }
}

/// Stops the process, which makes the fuzzer keep the input. Not an assertion: it is on in optimised builds.
func require(_ condition: Bool, _ message: @autoclosure () -> String) {
    if !condition { fatalError(message()) }
}
