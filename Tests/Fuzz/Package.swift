// swift-tools-version: 6.1
// The fuzz targets: a package of their own, since everything in it and below it is built with coverage counters and the
// address sanitizer. Built by Scripts/fuzz, which also passes the flags.
import PackageDescription

let package = Package(
    name: "mergeset-storage-fuzz",
    dependencies: [.package(name: "mergeset-storage", path: "../..")],
    targets: [
        .target(name: "CFuzzer"),
        .executableTarget(
            name: "fuzz-decoders",
            dependencies: [
                "CFuzzer", .product(name: "Mergeset", package: "mergeset-storage"),
                .product(name: "SampleStore", package: "mergeset-storage"),
                .product(name: "StorageEngine", package: "mergeset-storage"),
                .product(name: "ClusterWire", package: "mergeset-storage"),
            ]),
    ],
    swiftLanguageModes: [.v6]
)
