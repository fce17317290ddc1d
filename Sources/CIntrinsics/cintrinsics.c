#define _GNU_SOURCE
#include "cintrinsics.h"

#include <pthread.h>

void ci_set_thread_name(const char *name) {
#if defined(__linux__)
    pthread_setname_np(pthread_self(), name);
#else
    (void)name;
#endif
}

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
void ci_callgrind_start(void) {
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
}
void ci_callgrind_resume(void) { CALLGRIND_START_INSTRUMENTATION; }
void ci_callgrind_stop(void) { CALLGRIND_STOP_INSTRUMENTATION; }
int ci_callgrind_available(void) { return 1; }
#else
void ci_callgrind_start(void) {}
void ci_callgrind_resume(void) {}
void ci_callgrind_stop(void) {}
int ci_callgrind_available(void) { return 0; }
#endif

#include <spawn.h>
int ci_spawn_in_directory(void *actions, const char *directory) {
    return posix_spawn_file_actions_addchdir_np(actions, directory);
}
