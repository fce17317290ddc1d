// AdminBackend.swift - what the HTTP endpoints need of the node. Calls may take long; they run off the event loops.

import StorageRuntime

/// The node behind the HTTP endpoints. Any thread.
public protocol AdminBackend: AnyObject, Sendable {
    /// Makes a snapshot and returns its name.
    func createSnapshot() throws(StorageError) -> String
    /// Names of the snapshots, ascending.
    func listSnapshots() throws(StorageError) -> [String]
    /// Removes a snapshot whose name has the right form. One that does not exist is no error.
    func deleteSnapshot(_ name: String) throws(StorageError)
    /// Makes everything added before searchable and waits for it.
    func forceFlush() throws(StorageError)
    /// Starts a merge of all partitions whose names start with `prefix`, beside the caller.
    func startForcedMerge(prefix: String)
    /// The text of the metrics page. Called at most once a second.
    func metricsPage() -> String
    /// The lines of `/flags`.
    func flagsPage() -> String
}

/// Settings of the HTTP port.
public struct AdminOptions: Sendable {
    /// Where to listen: `host:port`.
    public var address = ":8482"
    /// Whether IPv6 is listened to as well.
    public var allowsTCP6 = false
    /// Prefix of all paths; empty for none.
    public var pathPrefix = ""
    /// Keys that requests have to give; empty means that none may be given.
    public var snapshotAuthKey = "", forceMergeAuthKey = "", forceFlushAuthKey = ""
    /// Whether answers may be compressed.
    public var compressesResponses = true
    /// Age in nanoseconds at which a connection is closed with its next answer, and how long it may be idle.
    public var connectionTimeoutNanoseconds: Int64 = 120_000_000_000, idleTimeoutNanoseconds: Int64 = 60_000_000_000
    /// How long a graceful stop waits for running requests, and how long it serves on before, in nanoseconds.
    public var shutdownNanosecondsMax: Int64 = 7_000_000_000, shutdownDelayNanoseconds: Int64 = 0

    /// The defaults.
    public init() {}
}
