#include "cbuildflags.h"

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

const char *c_build_flags(void) { return OPTIMISATION INSTRUCTIONS SANITIZERS COMPILER; }
