// AccountingTests.swift - the process accounts count what they say.

import StorageRuntime
import Testing

@testable import BenchHarness

@Suite struct AccountingTests {
    @Test func cpuTimeGrowsWithWork() {
        let process = CPUTime.ofProcess()
        let thread = CPUTime.ofThread()
        var value: UInt64 = 1
        while CPUTime.ofThread() - thread < 0.02 { for _ in 0..<10_000 { value = SplitMix64.mix(value) } }
        #expect(value != 0)
        // The process's clock ticks in steps of its own; it has seen at least half of the work.
        #expect((CPUTime.ofProcess() - process).total >= 0.01)
    }

    @Test func residentMemoryIsRead() {
        let memory = ResidentMemory.now()
        #expect(memory.bytes > 1 << 20 && memory.peakBytes >= memory.bytes / 2)
        if ResidentMemory.resetPeak() {
            let count = 64 << 20
            let block = UnsafeMutableRawPointer.allocate(byteCount: count, alignment: 4096)
            for offset in stride(from: 0, to: count, by: 4096) {
                block.storeBytes(of: 1, toByteOffset: offset, as: UInt8.self)
            }
            #expect(ResidentMemory.now().peakBytes >= UInt64(count))
            block.deallocate()
        }
    }

    @Test func labelsAreFoundInFilesOfTheKernel() {
        let text = Array("VmPeak:\t  20 kB\nVmRSS:\t    1234 kB\nLast: 9".utf8)
        text.withUnsafeBytes {
            #expect(ProcFile.number(after: "VmRSS:", in: $0) == 1234)
            #expect(ProcFile.number(after: "Last:", in: $0) == 9)
            #expect(ProcFile.number(after: "VmHWM:", in: $0) == nil)
            #expect(ProcFile.number(after: "VmRSS:", in: UnsafeRawBufferPointer(rebasing: $0[..<4])) == nil)
            #expect(ProcFile.number(after: "VmRSS:", in: UnsafeRawBufferPointer(start: nil, count: 0)) == nil)
        }
    }

    @Test func provenanceNamesTheMachineAndNoPaths() {
        let provenance = Provenance.atStart()
        #expect(provenance.cores > 0 && provenance.memoryBytes > 0)
        #expect(provenance.kernel.hasPrefix("Linux ") && provenance.toolchain.hasPrefix("Swift "))
        #expect(provenance.startedAt.count == 20)
        for text in [provenance.cpu, provenance.kernel, provenance.allocator, provenance.commit ?? ""] {
            #expect(!text.contains("/"))
        }
    }
}
