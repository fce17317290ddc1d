// cbuildflags.h - what the C compiler was asked for, from its macros.
#ifndef CBUILDFLAGS_H
#define CBUILDFLAGS_H

/// How the C parts were compiled: optimisation, instruction set, sanitizers, compiler.
const char *c_build_flags(void);

#endif
