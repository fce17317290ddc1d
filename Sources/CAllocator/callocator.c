#include "callocator.h"

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

const char *allocator_settings(void) { return malloc_conf; }
