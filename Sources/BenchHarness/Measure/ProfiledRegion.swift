// ProfiledRegion.swift - switches profilers on for the part of a run that is measured, and off for everything else.
//
//   callgrind   client requests; outside valgrind a call costs a few instructions
//   perf        MERGESET_BENCH_PERF_CONTROL=ctl,ack: the two fifos of `perf record --control=fifo:ctl,ack`
//   jemalloc    MERGESET_BENCH_ALLOC_PROFILE=file: allocations of the region (needs prof:true, which is compiled in)
//               MERGESET_BENCH_HEAP_PROFILE=file: what is allocated at its end (needs prof_active:true from the start)
//
// Scripts/profile sets the variables. Without them nothing happens here, and nothing is read from the environment but once.
// A region may be left and entered again; files hold what has been collected up to the last end. Of callgrind only, the harness
// also leaves it for what it does itself meanwhile: reading /proc takes a number of instructions that depends on the machine's
// other work. The other profilers sample, and go on: stopping them takes longer than what would be left out.
//
// Threads: one.

import CIntrinsics
import CJemalloc
import Glibc
import Synchronization

/// The measured part of a run.
enum ProfiledRegion {
    private static let isActive = Atomic<Bool>(false)

    /// Begins the region: what was counted before is dropped.
    static func start() {
        isActive.store(true, ordering: .relaxed)
        if let control = Control.current {
            if control.allocations != nil { Control.writeVoid("prof.reset") }
            control.enter()
        }
        ci_callgrind_start()
    }

    /// Goes on counting.
    static func resume() {
        isActive.store(true, ordering: .relaxed)
        Control.current?.enter()
        ci_callgrind_resume()
    }

    /// Stops counting.
    static func stop() {
        ci_callgrind_stop()
        Control.current?.leave()
        isActive.store(false, ordering: .relaxed)
    }

    /// Does work of the harness itself, which callgrind (and no other profiler) does not count when it falls into a region.
    static func leave(for work: () -> Void) {
        guard isActive.load(ordering: .relaxed) else { return work() }
        ci_callgrind_stop()
        work()
        ci_callgrind_resume()
    }

    /// What the environment asks for.
    private struct Control: Sendable {
        var perf: (control: CInt, acknowledge: CInt)?
        var allocations: String?
        var heap: String?

        /// nil when no profiler is to be switched, which is nearly always.
        static let current: Control? = {
            func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
            var control = Control()
            control.allocations = variable("MERGESET_BENCH_ALLOC_PROFILE")
            control.heap = variable("MERGESET_BENCH_HEAP_PROFILE")
            if let fifos = variable("MERGESET_BENCH_PERF_CONTROL")?.split(separator: ","), fifos.count == 2 {
                let write = open(String(fifos[0]), O_WRONLY | O_CLOEXEC)
                let read = open(String(fifos[1]), O_RDONLY | O_CLOEXEC)
                if write >= 0, read >= 0 { control.perf = (write, read) }
            }
            return control.perf == nil && control.allocations == nil && control.heap == nil ? nil : control
        }()

        func enter() {
            if allocations != nil { Control.writeFlag("prof.active", true) }
            tell("enable\n")
        }

        func leave() {
            tell("disable\n")
            if let allocations {
                Control.writeFlag("prof.active", false)
                Control.writePath("prof.dump", allocations)
            }
            if let heap { Control.writePath("prof.dump", heap) }
        }

        /// Sends a command to perf and waits until it has done it.
        private func tell(_ command: String) {
            guard let perf else { return }
            _ = command.withCString { write(perf.control, $0, strlen($0)) }
            var answer: (UInt64, UInt64) = (0, 0)
            _ = withUnsafeMutableBytes(of: &answer) { read(perf.acknowledge, $0.baseAddress, $0.count) }
        }

        static func writeVoid(_ name: String) { _ = mallctl(name, nil, nil, nil, 0) }

        static func writeFlag(_ name: String, _ value: Bool) {
            var value = value
            _ = mallctl(name, nil, nil, &value, MemoryLayout<Bool>.size)
        }

        static func writePath(_ name: String, _ path: String) {
            path.withCString { text in
                var text: UnsafePointer<CChar>? = text
                _ = mallctl(name, nil, nil, &text, MemoryLayout<UnsafePointer<CChar>?>.size)
            }
        }
    }
}
