// EngineModelTests.swift - random batches, label orders, clock moves, restarts, flushes, rotations and deletions, on the
// engine and on a dictionary.

import StorageFiles
import StorageRuntime
import TestSupport
import Testing

@testable import StorageEngine

@Suite struct EngineModelTests {
    @Test(arguments: TestSeeds.thisRun)
    func randomOperations(seed: UInt64) throws {
        for round in 0..<3 {
            let model = try EngineModel(
                seed: Seeds.derive(seed, "round", round), isLive: false,
                files: SimulatedFileSystem(recording: .nothing), path: "/data/storage")
            for _ in 0..<150 { try model.step() }
            try model.finish()
        }
    }

    /// The same with samples: rows come back through searches.
    @Test(arguments: TestSeeds.thisRun)
    func randomOperationsWithSamples(seed: UInt64) throws {
        for round in 0..<2 {
            let model = try EngineModel(
                seed: Seeds.derive(seed, "samples", round), isLive: false,
                files: SimulatedFileSystem(recording: .nothing), path: "/data/storage", keepsSamples: true)
            for _ in 0..<150 { try model.step() }
            try model.finish()
        }
    }

    @Test(arguments: TestSeeds.thisRun.suffix(1))
    func concurrentRandomBatchesWithSamples(seed: UInt64) throws {
        let directory = try TemporaryDirectory()
        let model = try EngineModel(
            seed: seed, isLive: true, files: RealFileSystem(), path: directory.path("storage"), keepsSamples: true)
        for _ in 0..<80 { try model.step() }
        try model.finish()
    }

    @Test(arguments: TestSeeds.thisRun)
    func concurrentRandomBatches(seed: UInt64) throws {
        let directory = try TemporaryDirectory()
        let model = try EngineModel(
            seed: seed, isLive: true, files: RealFileSystem(), path: directory.path("storage"))
        for _ in 0..<100 { try model.step() }
        try model.finish()
    }
}
