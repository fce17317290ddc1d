// NodeOptions.swift - flags as settings of the parts of the node. Threads: plain values.

import AdminHTTP
import ClusterRPC
import StorageEngine
import StorageRuntime

/// Settings of a node.
struct NodeOptions: Sendable {
    var dataPath: String
    var retentionText: String
    var storage = StorageOptions()
    var precisionBits: Int
    var rpc = RPCOptions()
    var admin = AdminOptions()
    /// Memory for caches, and memory of the system, in bytes.
    var allowedMemoryBytes: Int, systemMemoryBytes: Int
    /// Processors for the pools.
    var processors: Int

    /// The settings of the flags.
    ///
    /// - Throws: For combinations that cannot be served.
    init(_ flags: FlagValues, environment: (String) -> String?) throws(FlagTextError) {
        if flags.bool("tls") { throw FlagTextError("-tls is not supported; put a proxy in front of -httpListenAddr") }
        let percent = flags.float("memory.allowedPercent")
        guard percent >= 1, percent <= 200 else {
            throw FlagTextError("-memory.allowedPercent must be in the range [1...200]; got \(percent)")
        }
        dataPath = flags["storageDataPath"]
        retentionText = flags["retentionPeriod"]
        // Only the low eight bits count, as in the reference.
        precisionBits = flags.int("precisionBits") & 0xFF
        systemMemoryBytes = Int(clamping: MemorySize.available())
        let fixed = flags.bytes("memory.allowedBytes")
        allowedMemoryBytes = fixed > 0 ? Int(fixed) : Int(Double(systemMemoryBytes) * percent / 100)
        processors = environment("GOMAXPROCS").flatMap { Int($0) }.flatMap { $0 > 0 ? $0 : nil } ?? CPUCount.available()

        storage.retentionMs = try FlagText.retentionMs(retentionText)
        storage.cacheBytesMax = allowedMemoryBytes
        // What is not flushed yet follows the memory for caches: entries of the index below 1.94 GiB of it (52 MB * 40) down to
        // 13 MB, samples below 1.43 GiB (48 MB * 32) down to 16 MiB.
        storage.table.memoryBytesMax = min(
            storage.table.memoryBytesMax, max(13_000_000, allowedMemoryBytes / 40))
        storage.samples.memoryBytesMax = min(storage.samples.memoryBytesMax, max(16 << 20, allowedMemoryBytes / 32))
        storage.concurrentAddRowsMax = processors
        storage.concurrentSearchesMax = 2 * processors
        let space = flags.bytes("storage.minFreeDiskSpaceBytes")
        // A negative size acts as a huge one, as in the reference.
        storage.minFreeDiskSpaceBytes = UInt64(bitPattern: space)
        storage.hourlySeriesMax = max(0, flags.int("storage.maxHourlySeries"))
        storage.dailySeriesMax = max(0, flags.int("storage.maxDailySeries"))
        storage.logsNewSeries = flags.bool("logNewSeries")
        storage.samples.dedupIntervalMs = max(0, flags.nanoseconds("dedup.minScrapeInterval") / 1_000_000)
        storage.samples.mergeWorkers = max(0, flags.int("smallMergeConcurrency"))
        let delay = flags.nanoseconds("finalMergeDelay")
        storage.samples.finalMergeDelayNanoseconds =
            delay > 0 ? (UInt64(delay) / 1_000_000_000 + 1) * 1_000_000_000 : 0

        rpc.insertAddress = flags["vminsertAddr"]
        rpc.selectAddress = flags["vmselectAddr"]
        rpc.allowsTCP6 = flags.bool("enableTCP6")
        rpc.compressesResponses = !flags.bool("rpc.disableCompression")
        rpc.workers = processors
        // 192 MiB for connections at least: one packet of the largest size, bytes not decoded yet, and 75 MiB for the rest.
        rpc.storageBytes = storage.writePathBytes
        rpc.memoryBytesMax = min(max((192 << 20) + rpc.storageBytes, allowedMemoryBytes / 8), 4 << 30)

        admin.address = flags["httpListenAddr"]
        admin.allowsTCP6 = flags.bool("enableTCP6")
        admin.pathPrefix = flags["http.pathPrefix"]
        admin.snapshotAuthKey = flags["snapshotAuthKey"]
        admin.forceMergeAuthKey = flags["forceMergeAuthKey"]
        admin.forceFlushAuthKey = flags["forceFlushAuthKey"]
        admin.compressesResponses = !flags.bool("http.disableResponseCompression")
        admin.connectionTimeoutNanoseconds = flags.nanoseconds("http.connTimeout")
        admin.idleTimeoutNanoseconds = flags.nanoseconds("http.idleConnTimeout")
        admin.shutdownNanosecondsMax = flags.nanoseconds("http.maxGracefulShutdownDuration")
        admin.shutdownDelayNanoseconds = flags.nanoseconds("http.shutdownDelay")
    }
}
