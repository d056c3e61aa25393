// A stand-in for libcudart: unmodified host code, compiled by nvcc with `-cudart shared`, runs on
// it. Device memory is the host's, streams are in order and done at once, and kernels run in the
// emulator. What CUDA forbids while a stream is captured fails here too.
//
// This is what tests and reports ask it besides CUDA's own interface.
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif
// Counts of the runtime's functions called since the last reset, as JSON: {"cudaLaunchKernel": 3}.
const char* ptxemu_runtime_calls(void);
// While on, every launch keeps its counters (those of ptxemu_stats), with its name, grid, block and
// dynamic shared memory.
void ptxemu_record_launches(int on, int per_instruction);
// The recorded launches as a JSON list; "launch" in each: {"grid": [..], "block": [..], ...}.
const char* ptxemu_recorded_launches(void);
// Forgets the calls and the recorded launches.
void ptxemu_runtime_reset(void);
#ifdef __cplusplus
}
#endif
