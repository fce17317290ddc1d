// RPCStorage.swift - what the RPC ports need of a storage.

import StorageEngine
import StorageRuntime

/// A storage behind the RPC ports. Any thread.
public protocol RPCStorage: AnyObject, Sendable {
    /// Whether packets of rows have to be refused at the moment.
    var isReadOnly: Bool { get }
    /// Adds rows; their names are valid during the call only. `worker` is the number of the calling thread.
    func addRows(_ rows: UnsafeBufferPointer<MetricRow>, worker: Int) throws(StorageError)
    /// Creates series without samples.
    func registerMetricNames(_ rows: UnsafeBufferPointer<MetricRow>) throws(StorageError)
}
