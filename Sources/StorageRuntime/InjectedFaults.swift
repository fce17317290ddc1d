// InjectedFaults.swift - faults for the self-test of the gate. Compiled only with -D INJECT_FAULTS, which nothing but
// Scripts/gate-selftest sets; in every other build this file and the places that use it are empty.
//
// The environment variable INJECT names the fault; it is read once. Without it a test build behaves like any other, so
// that one build is both sides of a comparison.
//
//   instructions      25 instructions more for each row, 2 to 3 %         T2
//   allocation        one allocation more for each row                  T1
//   cache             a quarter of the TSID cache                       T1
//   merge-width       merges of 4 parts in place of 15                  T1
//   no-compression    blocks stored plain                               T1
//   double-sync       every file synced twice                           T1
//   stride            one cache miss more for each row                  T3
//   flush-sleep       200 ms of sleep under the flush lock               T3

#if INJECT_FAULTS
    import Glibc

    /// A fault of a test build.
    public enum InjectedFault: String, CaseIterable, Sendable {
        case instructions, allocation, cache, stride
        case mergeWidth = "merge-width"
        case noCompression = "no-compression"
        case doubleSync = "double-sync"
        case flushSleep = "flush-sleep"

        /// The fault that the environment asks for.
        public static let active: InjectedFault? = {
            guard let name = getenv("INJECT").map({ String(cString: $0) }), !name.isEmpty else { return nil }
            guard let fault = InjectedFault(rawValue: name) else {
                fatalError("INJECT=\(name): no such fault; there are \(allCases.map(\.rawValue))")
            }
            return fault
        }()

        private static let strideBytes = 128 << 20
        /// Memory that the optimiser cannot look through: a random state, a slot for a pointer, and the bytes to stride over.
        nonisolated(unsafe) private static let state = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
        nonisolated(unsafe) private static let slot = UnsafeMutablePointer<UnsafeMutableRawPointer?>.allocate(
            capacity: 1)
        nonisolated(unsafe) private static let field: UnsafeMutablePointer<UInt8> = {
            let bytes = UnsafeMutablePointer<UInt8>.allocate(capacity: strideBytes)
            // One byte a page: real pages, without spending instructions on them.
            for page in Swift.stride(from: 0, to: strideBytes, by: 4096) { (bytes + page).initialize(to: 1) }
            return bytes
        }()

        /// Called for each row that is added.
        @inline(never) public static func perRow() {
            switch active {
            case .instructions:
                for _ in 0..<11 { state.pointee = state.pointee &* 6_364_136_223_846_793_005 &+ 1 }
            case .allocation:
                slot.pointee = malloc(24)
                free(slot.pointee)
            case .stride:
                state.pointee = state.pointee &* 6_364_136_223_846_793_005 &+ 1
                // The next place depends on what was read here.
                state.pointee &+= UInt64(field[Int(state.pointee >> 20) & (strideBytes - 1)])
            default: break
            }
        }

        /// Called by every flush, with the flush lock held.
        public static func duringFlush() { if active == .flushSleep { usleep(200_000) } }
    }
#endif
