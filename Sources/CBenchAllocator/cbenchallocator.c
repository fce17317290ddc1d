#include "cbenchallocator.h"

// thp:always   large blocks are backed by huge pages where the kernel allows it: a random seek over 100 MB of decoded
//              blocks spends a fifth of its time on address translation otherwise.
// oversize_threshold:0   blocks above 8 MiB are kept for reuse like others: by default their pages go back to the system at
//              once, and clearing new ones took a fifth of the CPU of a new series (8.9 to 7.0 us, k8s-pods, 300 k series).
// prof         heap profiling is compiled into Debian's library; inactive it costs nothing that was measurable, and a
//              profile can be switched on while the program runs.
__attribute__((visibility("default"), used)) const char *malloc_conf = "thp:always,oversize_threshold:0,prof:true,prof_active:false";

const char *bench_allocator_settings(void) { return malloc_conf; }
