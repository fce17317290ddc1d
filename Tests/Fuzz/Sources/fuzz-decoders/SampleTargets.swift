// SampleTargets.swift - the decoders of the sample store. What must hold when an input was accepted is checked by the
// probes themselves (Sources/SampleStore/SampleDecoderProbes.swift, which also says what an input consists of).

import SampleStore
import StorageBytes
import StorageRuntime

@Sendable func fuzzSampleArray(_ input: UnsafeRawBufferPointer) {
    refusable { () throws in try SampleDecoderProbes.array(input) }
}

@Sendable func fuzzSampleBlock(_ input: UnsafeRawBufferPointer) {
    refusable { () throws in try SampleDecoderProbes.block(input) }
}

@Sendable func fuzzSampleHeader(_ input: UnsafeRawBufferPointer) {
    refusable { () throws in try SampleDecoderProbes.header(input) }
}

@Sendable func fuzzSampleIndexBlock(_ input: UnsafeRawBufferPointer) {
    refusable { () throws in try SampleDecoderProbes.indexBlock(input) }
}

@Sendable func fuzzSampleMetaindex(_ input: UnsafeRawBufferPointer) {
    refusable { () throws in try SampleDecoderProbes.metaindex(input) }
}

@Sendable func fuzzSampleName(_ input: UnsafeRawBufferPointer) {
    do throws(StorageError) {
        _ = try SampleDecoderProbes.name(input)
    } catch {
        require(error.kind == .corrupted && error.path != nil, "\(error)")
    }
}
