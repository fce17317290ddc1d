// EngineTargets.swift - the decoders of the engine's own files (Sources/StorageEngine/DecoderProbes.swift).

import StorageBytes
import StorageEngine

/// The first byte chooses the kind of file: even for an hour's ids, odd for the next day's.
@Sendable func fuzzIDFiles(_ input: UnsafeRawBufferPointer) {
    guard let kind = input.first else { return }
    // A copy, so that the file starts where its allocation starts.
    let file = RawBuffer(copying: UnsafeRawBufferPointer(rebasing: input.dropFirst()))
    refusable { () throws in
        try kind % 2 == 0 ? EngineProbes.hourIDs(file.bytes) : EngineProbes.nextDayIDs(file.bytes)
    }
}
