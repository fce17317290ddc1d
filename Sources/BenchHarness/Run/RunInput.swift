// RunInput.swift - what a run ingests, made ahead: raw metric names or items, in the order of their ingestion.

/// Rows that were generated before the clock starts. Immutable; any number of threads may read.
public protocol RunInput: Sendable {
    /// Number of rows: series, or items.
    var count: Int { get }
    /// Bytes of row `index`, which is in `0..<count`: a raw metric name, or an item. Valid as long as the input lives.
    subscript(index: Int) -> UnsafeRawBufferPointer { get }
    /// Bytes of all rows.
    var byteCount: Int { get }
    /// Bytes that the generator has mapped and written, which are not memory of the engine.
    var mappedBytes: Int { get }
    /// XXH64 over the rows in order, each preceded by its length.
    var digest: UInt64 { get }
}
