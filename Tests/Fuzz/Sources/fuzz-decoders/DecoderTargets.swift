// DecoderTargets.swift - the decoders of the mergeset formats. What must hold when an input was accepted is checked by
// the probes themselves (Sources/Mergeset/DecoderProbes.swift, which also says what an input consists of).

import Mergeset
import StorageBytes
import StorageRuntime

@Sendable func fuzzBlock(_ input: UnsafeRawBufferPointer) { refusable { () throws in try DecoderProbes.block(input) } }

@Sendable func fuzzPayloads(_ input: UnsafeRawBufferPointer) {
    refusable { () throws in try DecoderProbes.payloads(input) }
}

@Sendable func fuzzIndexBlock(_ input: UnsafeRawBufferPointer) {
    refusable { () throws in try DecoderProbes.indexBlock(input) }
}

@Sendable func fuzzMetaindex(_ input: UnsafeRawBufferPointer) {
    refusable { () throws in try DecoderProbes.metaindex(input) }
}

@Sendable func fuzzTagRow(_ input: UnsafeRawBufferPointer) {
    refusable { () throws in try DecoderProbes.tagRow(input) }
}

@Sendable func fuzzZstd(_ input: UnsafeRawBufferPointer) { refusable { () throws in try DecoderProbes.blob(input) } }

@Sendable func fuzzMetadata(_ input: UnsafeRawBufferPointer) {
    do throws(StorageError) {
        _ = try DecoderProbes.metadata(input)
    } catch {
        require(error.kind == .corrupted && error.path != nil, "\(error)")
    }
}

/// Runs a probe, whose errors are the decoders' way to refuse an input.
func refusable(_ probe: () throws -> Int) {
    do {
        _ = try probe()
    } catch {
        require(error is DecodeError, "\(error)")
    }
}
