// swift-tools-version: 6.1
// The package: one row a room. A room may import only the rooms named in its row, so the direction of imports is
// checked by the compiler; docs/architecture.md says what each room owns.
import PackageDescription

/// A Swift room: its library target and its tests.
func room(
    _ name: String, uses: [Target.Dependency] = [], testUses: [Target.Dependency] = []
) -> [Target] {
    [
        .target(name: name, dependencies: uses),
        .testTarget(
            name: name + "Tests", dependencies: [.byName(name: name), "TestSupport"] + testUses,
            path: "Tests/" + name + "Tests"),
    ]
}

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioEmbedded = Target.Dependency.product(name: "NIOEmbedded", package: "swift-nio")
let nioHTTP = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")
let histogram = Target.Dependency.product(name: "Histogram", package: "hdrhistogram-swift")
let mustache = Target.Dependency.product(name: "Mustache", package: "swift-mustache")

let package = Package(
    name: "mergeset-storage",
    products: [
        .executable(name: "mergeset-bench", targets: ["mergeset-bench"]),
        .executable(name: "storage-node", targets: ["storage-node"]),
        .library(name: "Mergeset", targets: ["Mergeset"]),
        .library(name: "SeriesIndex", targets: ["SeriesIndex"]),
        .library(name: "SampleStore", targets: ["SampleStore"]),
        .library(name: "StorageEngine", targets: ["StorageEngine"]),
        .library(name: "ClusterWire", targets: ["ClusterWire"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
        .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", exact: "0.2.0"),
        .package(url: "https://github.com/hummingbird-project/swift-mustache", exact: "2.1.1"),
    ],
    targets: [
        // System libraries and C shims.
        .systemLibrary(name: "CZstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "CJemalloc", providers: [.apt(["libjemalloc-dev"])]),
        .systemLibrary(name: "CZlib", providers: [.apt(["zlib1g-dev"])]),
        .target(name: "CXXHash"),
        .target(name: "CIntrinsics"),
        .target(name: "CAllocator"),
        .target(name: "CBuildFlags"),
    ]
        + room("StorageBytes", uses: ["CZstd", "CXXHash", "CIntrinsics"], testUses: ["CIntrinsics"])
        + room("StorageRuntime", uses: ["StorageBytes", "CIntrinsics"])
        + room("StorageFiles", uses: ["StorageRuntime", "StorageBytes"])
        + room("Mergeset", uses: ["StorageFiles", "StorageRuntime", "StorageBytes"])
        + room(
            "SeriesIndex", uses: ["Mergeset", "StorageFiles", "StorageRuntime", "StorageBytes", "CIntrinsics"])
        + room("SampleStore", uses: ["StorageFiles", "StorageRuntime", "StorageBytes", "CIntrinsics"])
        + room(
            "StorageEngine",
            uses: [
                "SeriesIndex", "SampleStore", "Mergeset", "StorageFiles", "StorageRuntime", "StorageBytes",
                "CIntrinsics",
            ])
        // The node: SwiftNIO is seen in these rows only.
        + room("ClusterWire", uses: ["StorageRuntime", "StorageBytes", "CZstd"])
        + room("NodeSupport", uses: ["StorageRuntime", nioCore, nioPosix])
        + room(
            "ClusterRPC",
            uses: [
                "ClusterWire", "NodeSupport", "StorageEngine", "StorageRuntime", "StorageBytes", nioCore, nioPosix,
            ], testUses: [nioEmbedded])
        + room(
            "AdminHTTP",
            uses: ["NodeSupport", "StorageRuntime", "StorageBytes", "CZlib", nioCore, nioPosix, nioHTTP])
        + room(
            "StorageNode",
            uses: [
                "AdminHTTP", "ClusterRPC", "ClusterWire", "NodeSupport", "StorageEngine", "SampleStore", "StorageFiles",
                "StorageRuntime", "StorageBytes", "CJemalloc", nioCore, nioPosix,
                // Nothing is called: its settings are linked in.
                "CAllocator",
            ], testUses: ["ClusterWire", "Workloads"])
        + [.executableTarget(name: "storage-node", dependencies: ["StorageNode"])]
        // The harness.
        + room("Workloads", uses: ["StorageRuntime", "StorageBytes", yams])
        + room(
            "BenchHarness",
            uses: [
                "Workloads", "StorageEngine", "SeriesIndex", "SampleStore", "Mergeset", "StorageFiles",
                "StorageRuntime",
                "StorageBytes", "CJemalloc", "CAllocator", "CBuildFlags", "CIntrinsics", histogram, mustache,
                // The load client.
                "ClusterWire",
            ])
        + [
            .executableTarget(
                name: "mergeset-bench", dependencies: ["BenchHarness", "Workloads", argumentParser]),
            .target(
                name: "TestSupport", dependencies: ["StorageFiles", "StorageRuntime", "StorageBytes"],
                path: "Tests/TestSupport"),
        ],
    swiftLanguageModes: [.v6],
    cxxLanguageStandard: .cxx17
)
