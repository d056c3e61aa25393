// The part of oneDNN's C interface, version 3, that onednn.cpp uses, in our own declarations.
//
// Handles are opaque pointers and enumerations are ints in that interface; names and numbers are
// those of its documentation (https://uxlfoundation.github.io/oneDNN, "C API").
#pragma once

#include <cstddef>
#include <cstdint>

namespace pygan {
namespace dnnl {

constexpr int kSuccess = 0;
constexpr int kMaxDims = 12;
constexpr int kCpu = 1;               // dnnl_cpu
constexpr unsigned kInOrder = 1;      // dnnl_stream_in_order
constexpr int kFloat32 = 3;           // dnnl_f32
constexpr int kAnyLayout = 1;         // dnnl_format_tag_any
constexpr int kForwardTraining = 64;  // dnnl_forward_training
constexpr int kDirect = 1;            // dnnl_convolution_direct
constexpr int kUserScratchpad = 1;    // dnnl_scratchpad_mode_user

// dnnl_query_*_md
constexpr int kQuerySource = 129, kQueryDiffSource = 130, kQueryWeights = 131,
              kQueryDiffWeights = 132, kQueryDestination = 133, kQueryDiffDestination = 134,
              kQueryScratchpad = 136;

// DNNL_ARG_*; reorders read kArgSource and write kArgDestination.
constexpr int kArgSource = 1, kArgDestination = 17, kArgWeights = 33, kArgScratchpad = 80,
              kArgDiffSource = 129, kArgDiffDestination = 145, kArgDiffWeights = 161;

typedef int64_t Dims[kMaxDims];
typedef struct EngineTag* Engine;
typedef struct StreamTag* Stream;
typedef struct MemoryTag* Memory;
typedef struct MemoryDescTag* MemoryDesc;
typedef const struct MemoryDescTag* ConstMemoryDesc;
typedef struct AttributesTag* Attributes;
typedef struct PrimitiveDescTag* PrimitiveDesc;
typedef struct PrimitiveTag* Primitive;

struct Version {
  int major, minor, patch;
  const char* hash;
  unsigned cpu_runtime, gpu_runtime;
};

struct Argument {
  int index;
  Memory memory;
};

// The functions, with their names less the prefix dnnl_.
struct Functions {
  const Version* (*version)();
  int (*engine_create)(Engine*, int kind, size_t index);
  int (*stream_create)(Stream*, Engine, unsigned flags);
  int (*stream_wait)(Stream);
  int (*memory_desc_create_with_strides)(MemoryDesc*, int, const Dims dims, int type,
                                         const Dims strides);
  int (*memory_desc_create_with_tag)(MemoryDesc*, int, const Dims dims, int type, int tag);
  int (*memory_desc_clone)(MemoryDesc*, ConstMemoryDesc);
  int (*memory_desc_equal)(ConstMemoryDesc, ConstMemoryDesc);
  size_t (*memory_desc_get_size)(ConstMemoryDesc);
  int (*memory_desc_destroy)(MemoryDesc);
  int (*memory_create)(Memory*, ConstMemoryDesc, Engine, void* data);
  int (*memory_destroy)(Memory);
  int (*primitive_attr_create)(Attributes*);
  int (*primitive_attr_set_scratchpad_mode)(Attributes, int mode);
  int (*primitive_attr_destroy)(Attributes);
  int (*convolution_forward_primitive_desc_create)(PrimitiveDesc*, Engine, int propagation,
                                                   int algorithm, ConstMemoryDesc source,
                                                   ConstMemoryDesc weights, ConstMemoryDesc bias,
                                                   ConstMemoryDesc destination, const Dims strides,
                                                   const Dims dilations, const Dims leading,
                                                   const Dims trailing, Attributes);
  int (*convolution_backward_data_primitive_desc_create)(
      PrimitiveDesc*, Engine, int algorithm, ConstMemoryDesc diff_source, ConstMemoryDesc weights,
      ConstMemoryDesc diff_destination, const Dims strides, const Dims dilations,
      const Dims leading, const Dims trailing, PrimitiveDesc forward, Attributes);
  int (*convolution_backward_weights_primitive_desc_create)(
      PrimitiveDesc*, Engine, int algorithm, ConstMemoryDesc source, ConstMemoryDesc diff_weights,
      ConstMemoryDesc diff_bias, ConstMemoryDesc diff_destination, const Dims strides,
      const Dims dilations, const Dims leading, const Dims trailing, PrimitiveDesc forward,
      Attributes);
  int (*reorder_primitive_desc_create)(PrimitiveDesc*, ConstMemoryDesc source, Engine,
                                       ConstMemoryDesc destination, Engine, Attributes);
  ConstMemoryDesc (*primitive_desc_query_md)(PrimitiveDesc, int query, int index);
  int (*primitive_desc_destroy)(PrimitiveDesc);
  int (*primitive_create)(Primitive*, PrimitiveDesc);
  int (*primitive_destroy)(Primitive);
  int (*primitive_execute)(Primitive, Stream, int count, const Argument*);
};

// The functions of the library in this process, or null with the reason in *status. Found once.
const Functions* functions(const char** status);

}  // namespace dnnl
}  // namespace pygan
