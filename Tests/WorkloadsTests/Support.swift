// Support.swift - places and small helpers of the workload tests.

import Foundation
import StorageBytes
import StorageRuntime
import Testing

@testable import Workloads

enum Place {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    static let profiles = root.appendingPathComponent("Benchmarks/Profiles").path
    static let fixtures = root.appendingPathComponent("Tests/Fixtures").path
    static let page = fixtures + "/node_exporter.prom"
    static let openMetrics = fixtures + "/openmetrics.prom"
}

/// The profiles of the repository; a replay gets the recorded page.
enum Catalogue {
    static let names = [
        "node-steady", "k8s-pods", "churn-storm", "wide-labels", "names-two-tags", "rows-short", "replay", "node-churn",
        "rolling-deploy", "id-label", "tenants-zipf", "midnight-rotation", "cache-starved", "prom-20k", "backfill-ooo",
        "tsbs-cpu", "read-write",
    ]

    static func load(
        _ name: String, size: ProfileSize = .s, _ overrides: [String] = []
    ) throws -> Profile {
        let page = name == "replay" ? ["page=" + Place.page] : []
        return try Profile.load(name, directory: Place.profiles, size: size, overrides: page + overrides)
    }

    static func plan(_ name: String, _ overrides: [String] = [], seed: UInt64 = 42) throws -> SeriesPlan {
        try SeriesPlan(load(name, overrides), seed: seed)
    }
}

/// The text of the error that `body` throws.
func problem(_ body: () throws -> Void) -> String {
    do {
        try body()
        return "no error"
    } catch {
        return "\(error)"
    }
}

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

func text(_ bytes: UnsafeRawBufferPointer) -> String { String(decoding: bytes, as: UTF8.self) }

/// All names of a batch, as arrays.
func names(_ batch: borrowing RowBatch) -> [[UInt8]] {
    var result = [[UInt8]]()
    for row in 0..<batch.count { result.append(Array(batch.name(row))) }
    return result
}
