#include "cbenchallocator.h"

// thp:always   large blocks are backed by huge pages where the kernel allows it: a random seek over 100 MB of decoded
//              blocks spends a fifth of its time on address translation otherwise.
// prof         heap profiling is compiled into Debian's library; inactive it costs nothing that was measurable, and a
//              profile can be switched on while the program runs.
__attribute__((visibility("default"), used)) const char *malloc_conf = "thp:always,prof:true,prof_active:false";

const char *bench_allocator_settings(void) { return malloc_conf; }
