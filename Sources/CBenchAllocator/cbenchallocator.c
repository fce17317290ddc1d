#include "cbenchallocator.h"

// thp:always   large blocks are backed by huge pages where the kernel allows it: a random seek over 100 MB of decoded
//              blocks spends a fifth of its time on address translation otherwise.
// oversize_threshold:0   blocks above 8 MiB are kept for reuse like others: by default their pages go back to the system at
//              once, and clearing new ones took a fifth of the CPU of a new series (8.9 to 7.0 us, k8s-pods, 300 k series).
// narenas:1    what one thread frees another one takes: buffers of several megabytes wander from adding threads to the flusher.
//              With the default, four for each CPU, 250 MB of 335 MB resident were pages of nobody (k8s-pods, 500 k series).
//              Small blocks come from the caches of the threads, and the write path hardly allocates.
// background_thread, dirty_decay_ms:1000
//              pages that nobody has wanted for about a second go back to the system also when no thread allocates; by default
//              after ten, and only then. What a steady load needs is wanted sooner.
// prof         heap profiling is compiled into Debian's library; inactive it costs nothing that was measurable, and a
//              profile can be switched on while the program runs.
__attribute__((visibility("default"), used)) const char *malloc_conf = "thp:always,oversize_threshold:0,narenas:1,background_thread:true,dirty_decay_ms:1000,prof:true,prof_active:false";

const char *bench_allocator_settings(void) { return malloc_conf; }

#ifdef __OPTIMIZE__
#define OPTIMISATION "optimised"
#else
#define OPTIMISATION "not optimised"
#endif

#if defined(__AVX512F__)
#define INSTRUCTIONS ", AVX-512"
#elif defined(__AVX2__)
#define INSTRUCTIONS ", AVX2"
#elif defined(__x86_64__)
#define INSTRUCTIONS ", x86-64"
#elif defined(__aarch64__)
#define INSTRUCTIONS ", aarch64"
#else
#define INSTRUCTIONS ""
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZERS ", address sanitizer"
#elif __has_feature(thread_sanitizer)
#define SANITIZERS ", thread sanitizer"
#endif
#endif
#ifndef SANITIZERS
#define SANITIZERS ""
#endif

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#ifdef __clang__
#define COMPILER ", clang " TEXT(__clang_major__) "." TEXT(__clang_minor__)
#else
#define COMPILER ", " __VERSION__
#endif

const char *bench_build_flags(void) { return OPTIMISATION INSTRUCTIONS SANITIZERS COMPILER; }
