// The element types of staged operands (staging.h) in device code.
#pragma once

#include "common/cuda_launch.cuh"
#include "modulated_conv2d/staging.h"

namespace pygan {

// What an element of storage type T is staged as, for a product.
template <Product kProduct, typename T>
struct StagedType {
  using type = Compute<T>;  // exact, and tf32: a float whose low 13 bits are zero
};
template <typename T>
struct StagedType<Product::float16, T> {
  using type = __half;
};
template <typename T>
struct StagedType<Product::bfloat16, T> {
  using type = __nv_bfloat16;
};
template <Product kProduct, typename T>
using Staged = typename StagedType<kProduct, T>::type;

template <Product kProduct, typename T>
__device__ __forceinline__ Staged<kProduct, T> to_staged(Compute<T> v) {
  if constexpr (kProduct == Product::float16) {
    return __float2half_rn(v);
  } else if constexpr (kProduct == Product::bfloat16) {
    return __float2bfloat16_rn(v);
  } else if constexpr (kProduct == Product::tf32) {
#if __CUDA_ARCH__ >= 800
    uint32_t bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(v));
    return __uint_as_float(bits);
#else
    return v;  // never launched: supported_product
#endif
  } else {
    return v;
  }
}

// Whether tensors of type T are ever multiplied this way: what supported_product returns.
template <Product kProduct, typename T>
constexpr bool kIsProductOf =
    kProduct == Product::exact || (kProduct == Product::tf32 && std::is_same<T, float>::value) ||
    (kProduct == Product::float16 &&
     (std::is_same<T, float>::value || std::is_same<T, __half>::value)) ||
    (kProduct == Product::bfloat16 &&
     (std::is_same<T, float>::value || std::is_same<T, __nv_bfloat16>::value));

template <Product kProduct>
struct ProductTag {
  static constexpr Product value = kProduct;
};

// Calls body(T{}, ProductTag<..>{}) for the pairs that exist; throws for the others.
template <typename Body>
void dispatch_product(Storage storage, Product product, Body&& body) {
  dispatch_storage(storage, [&](auto element) {
    using T = decltype(element);
    const auto call = [&](auto tag) {
      if constexpr (kIsProductOf<decltype(tag)::value, T>) {
        body(element, tag);
      } else {
        throw std::runtime_error(
            "conv2d: this product does not exist for this storage type; ask supported_product.");
      }
    };
    switch (product) {
      case Product::exact:
        return call(ProductTag<Product::exact>{});
      case Product::tf32:
        return call(ProductTag<Product::tf32>{});
      case Product::float16:
        return call(ProductTag<Product::float16>{});
      default:
        return call(ProductTag<Product::bfloat16>{});
    }
  });
}

}  // namespace pygan
