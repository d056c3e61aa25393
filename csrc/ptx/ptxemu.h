// C interface of ptxemu, a functional emulator of the PTX instruction set: it runs CUDA kernels, as
// nvcc -ptx writes them, on machines without a GPU, checks every memory access and counts what the
// kernels execute. Host memory plays device memory once it is registered.
//
// Every function may be called from any thread; launches are serialised.
#pragma once
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define PTXEMU_API __attribute__((visibility("default")))
#else
#define PTXEMU_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ptxemu_module ptxemu_module;

// Parses and decodes PTX text. NULL when the text is not valid PTX: see ptxemu_error.
PTXEMU_API ptxemu_module* ptxemu_load(const char* ptx);
PTXEMU_API void ptxemu_unload(ptxemu_module* module);

// What failed last on this thread.
PTXEMU_API const char* ptxemu_error(void);

// Kernels and the layout of their parameters: "name:offset/size,offset/size;name2:...". A size is
// followed by f for .f32 and .f64 scalars and by b for arrays and structures.
PTXEMU_API const char* ptxemu_kernels(ptxemu_module* module);

// Bytes of static shared memory of a kernel, or -1 when there is no such kernel.
PTXEMU_API int ptxemu_static_shared(ptxemu_module* module, const char* kernel);

// Address and size of a module-scope .global or .const variable. 0 when found.
PTXEMU_API int ptxemu_variable(ptxemu_module* module, const char* name, void** address,
                               size_t* bytes);

// Makes host memory addressable by kernels. Registrations are counted: memory stays addressable
// until it was unregistered as often as it was registered. Ranges may contain each other or
// overlap; a size of zero registers nothing that can be accessed.
PTXEMU_API void ptxemu_register(const void* address, size_t bytes, const char* name);
// As ptxemu_register, and reads of bytes that nothing has written yet are reported.
PTXEMU_API void ptxemu_register_fresh(const void* address, size_t bytes, const char* name);
// The host has written these bytes of memory registered as fresh.
PTXEMU_API void ptxemu_mark_written(const void* address, size_t bytes);
PTXEMU_API void ptxemu_unregister(const void* address);

// Runs a kernel. params: the parameter block, laid out as ptxemu_kernels says. threads: host
// threads that blocks are spread over, 0 for all. Returns 0, or
//   1  no such kernel, or too small a parameter block
//   2  a launch configuration that the device refuses
//   3  a fault during execution (and, in strict mode, a hazard)
PTXEMU_API int ptxemu_launch(ptxemu_module* module, const char* kernel, unsigned grid_x,
                             unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
                             unsigned block_z, unsigned dynamic_shared_bytes, const void* params,
                             size_t param_bytes, int threads);

// JSON: counters and hazards of the last launch; {} once its module is unloaded.
PTXEMU_API const char* ptxemu_stats(int per_instruction);

// Strict: a launch that found a race, a read of uninitialised memory or a divergent barrier
// returns 3, with the first hazard as its error.
PTXEMU_API void ptxemu_set_strict(int on);

// Also look for races on global memory, between blocks and between the threads of a block. Costly.
PTXEMU_API void ptxemu_set_global_races(int on);

// Warp instructions that one block may execute before it is taken for an endless loop (0: default).
PTXEMU_API void ptxemu_set_instruction_limit(uint64_t instructions);

// Emulated architecture: 70, 75, 80 (the default), 86, 89 or 90. 0 when known.
PTXEMU_API int ptxemu_set_device(int arch);

// Value of a cudaDeviceAttr (by its number in driver_types.h) of the emulated device, or -1.
PTXEMU_API int ptxemu_device_attribute(int attribute);
// Its name, as in cudaDeviceProp::name, and the bytes of its memory.
PTXEMU_API const char* ptxemu_device_name(void);
PTXEMU_API size_t ptxemu_device_memory(void);

#ifdef __cplusplus
}
#endif
