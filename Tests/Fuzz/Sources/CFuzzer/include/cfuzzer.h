// cfuzzer.h - libFuzzer's entry point for programs that keep their own main function.
#ifndef CFUZZER_H
#define CFUZZER_H

#include <stddef.h>
#include <stdint.h>

/// Runs the fuzzer with the arguments of the command line; calls `one` with input after input.
int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*one)(const uint8_t *data, size_t count));

#endif
