// BuildFlags.swift - how the program was compiled. No compiler leaves its command line in the program, so this is what can be
// seen from inside: which checks the standard library was inlined with, and the macros of the C compiler.

import CBuildFlags

/// What is known about the flags of the build.
enum BuildFlags {
    /// For example `Swift -O; C optimised, x86-64, clang 17.0.0`.
    static var text: String {
        var text = "Swift " + optimisation(isDebug: _isDebugAssertConfiguration(), isFast: _isFastAssertConfiguration())
        #if INJECT_FAULTS
            text += " -D INJECT_FAULTS"
        #endif
        return text + "; C " + String(cString: c_build_flags())
    }

    private static func optimisation(isDebug: Bool, isFast: Bool) -> String {
        isDebug ? "-Onone" : isFast ? "-Ounchecked" : "-O"
    }
}
