// The instructions of matrix products: asynchronous copies into shared memory, ldmatrix, and
// mma.sync, each with a stand-in where the architecture has none.
//
// Fragments are counted in bytes, so that one kernel serves all types. A k-step is 32 bytes of
// channels: 16 halves or 8 tf32. ldmatrix.x4 on eight rows of 16 bytes each puts exactly those
// registers into a thread that mma.m16n8k16 (halves) and mma.m16n8k8 (tf32) want:
//
//   A, 16 rows x 32 bytes: a[0] rows 0-7, bytes 0-15    a[1] rows 8-15, bytes 0-15
//                          a[2] rows 0-7, bytes 16-31   a[3] rows 8-15, bytes 16-31
//   B, 8 columns x 32 bytes, column by column: b[0] bytes 0-15, b[1] bytes 16-31
//   D, 16 x 8 floats: d[0], d[1] row lane / 4, columns 2 * (lane % 4) + {0, 1}; d[2], d[3] row + 8
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "modulated_conv2d/conv2d_cuda.h"

namespace pygan {

// body(0), ..., body(kCount - 1) with constants that fit into instructions as offsets.
template <int kCount, typename Body, int kFirst = 0>
__device__ __forceinline__ void unrolled(const Body& body) {
  if constexpr (kFirst < kCount) {
    body(std::integral_constant<int, kFirst>{});
    unrolled<kCount, Body, kFirst + 1>(body);
  }
}

__device__ __forceinline__ uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

// Copies 16 bytes to `shared` + kOffset, both sides aligned, past the L1 cache. Visible to the
// block after cp_async_wait and a barrier. Before sm_80: through registers, at once.
template <int kOffset = 0>
__device__ __forceinline__ void cp_async_16(uint32_t shared, const void* global) {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.cg.shared.global [%0 + %2], [%1], 16;" ::"r"(shared), "l"(global),
               "n"(kOffset)
               : "memory");
#else
  const uint4 v = __ldg(static_cast<const uint4*>(global));
  asm volatile("st.shared.v4.u32 [%0 + %5], {%1, %2, %3, %4};" ::"r"(shared), "r"(v.x), "r"(v.y),
               "r"(v.z), "r"(v.w), "n"(kOffset)
               : "memory");
#endif
}

__device__ __forceinline__ void cp_async_commit() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until at most `kPending` of this thread's latest groups are still under way.
template <int kPending>
__device__ __forceinline__ void cp_async_wait() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#endif
}

// Four 8 x 16-byte matrices; lane 8 i + r passes the address of row r of matrix i, less kOffset.
template <int kOffset = 0>
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], uint32_t shared) {
#if __CUDA_ARCH__ >= 750
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4 + %5];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared), "n"(kOffset)
               : "memory");
#else
  __trap();
#endif
}

// The same for 8 x 8 matrices of halves, each transposed on the way.
template <int kOffset = 0>
__device__ __forceinline__ void ldmatrix_x4_transposed(uint32_t (&r)[4], uint32_t shared) {
#if __CUDA_ARCH__ >= 750
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4 + %5];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared), "n"(kOffset)
               : "memory");
#else
  __trap();
#endif
}

// d += a * b over one k-step.
template <Product kProduct>
__device__ __forceinline__ void mma_step(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                         uint32_t b1) {
  static_assert(kProduct != Product::exact, "exact products have no instruction");
#if __CUDA_ARCH__ >= 800
  if constexpr (kProduct == Product::float16) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  } else if constexpr (kProduct == Product::bfloat16) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  } else {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
#elif __CUDA_ARCH__ >= 750
  // Turing multiplies half as many channels at once, and no other type.
  if constexpr (kProduct == Product::float16) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(b0));
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[2]), "r"(a[3]), "r"(b1));
  } else {
    __trap();
  }
#else
  __trap();
#endif
}

}  // namespace pygan
