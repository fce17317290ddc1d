// callocator.h - how jemalloc is set up in the programs of this package: whoever imports this has the settings linked in.
#ifndef CALLOCATOR_H
#define CALLOCATOR_H

/// The settings, in jemalloc's own notation (MALLOC_CONF in the environment comes on top).
const char *allocator_settings(void);

#endif
