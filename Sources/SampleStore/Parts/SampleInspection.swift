// SampleInspection.swift - what a tool sees of the blocks of a part while it reads them from beginning to end.
//
// Threads: as the source.

import StorageBytes
import StorageRuntime

extension SampleSource {
    /// Decodes the block reached by ``advance()`` into `columns`. Nothing happens for a part in memory, whose blocks are
    /// columns already.
    ///
    /// - Throws: `.corrupted` with file and offset.
    public final func decode(
        into columns: inout SampleColumns, _ decoder: inout IntegerArrayDecoder
    ) throws(StorageError) {
        guard current.pointee.columns == nil else { return }
        do throws(DecodeError) {
            try columns.decode(
                header, timestamps: current.pointee.timestampsData, values: current.pointee.valuesData, &decoder)
        } catch {
            throw undecodable(header, error)
        }
    }
}

extension SampleSource {
    /// The block reached by ``advance()`` as it is stored; of a part in memory the data is empty. Valid until the next call.
    public final var stored: StoredSampleBlock {
        StoredSampleBlock(
            header: header, timestamps: current.pointee.timestampsData, values: current.pointee.valuesData)
    }
}
