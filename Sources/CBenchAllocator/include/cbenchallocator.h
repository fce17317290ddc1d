// cbenchallocator.h - how jemalloc is set up in the programs of this package.
#ifndef CBENCHALLOCATOR_H
#define CBENCHALLOCATOR_H

/// The settings, in jemalloc's own notation (MALLOC_CONF in the environment comes on top).
const char *bench_allocator_settings(void);

/// How the C parts were compiled: optimisation, instruction set, sanitizers, compiler.
const char *bench_build_flags(void);

#endif
