// What a convolution does to its result u before it is stored, in one pass over memory:
//
//   z = scale[n, o] * u + noise_strength * noise[n, h, w] + bias[o]
//   y = clamp(gain * act(z))
//
// Every part is optional (null pointers; the defaults leave u unchanged). Shared by all paths of
// the convolution, so that they differ in nothing but the order of their additions.
#pragma once

#include <cstdint>

namespace pygan {

enum class EpilogueAct : int { linear = 0, relu = 1, lrelu = 2 };

template <typename T>
struct Epilogue {
  const T* scale = nullptr;        // [n, o]: demodulation, for instance
  const T* bias = nullptr;         // [o]
  const T* noise = nullptr;        // [n or 1, h, w] at the resolution of the output
  int64_t noise_batch_stride = 0;  // elements between samples: h * w, or 0 for one shared image
  T noise_strength = 1;
  EpilogueAct act = EpilogueAct::linear;
  T alpha = T(0.2);  // slope of lrelu where z <= 0
  T gain = 1;
  T clamp = -1;  // y is limited to [-clamp, clamp]; negative: unlimited
};

namespace {  // one copy per translation unit: see common/isa.h

template <typename T>
inline bool epilogue_is_identity(const Epilogue<T>& e) {
  return e.scale == nullptr && e.bias == nullptr && e.noise == nullptr &&
         e.act == EpilogueAct::linear && e.gain == T(1) && e.clamp < T(0);
}

// y of a given z. NaN stays NaN; at z = 0 the derivative is that of the side z < 0.
template <typename T>
inline T epilogue_activate(const Epilogue<T>& e, T z) {
  if (e.act == EpilogueAct::relu) {
    z = z <= T(0) ? T(0) : z;
  } else if (e.act == EpilogueAct::lrelu) {
    z = z <= T(0) ? e.alpha * z : z;
  }
  z *= e.gain;
  if (e.clamp >= T(0)) {
    z = z > e.clamp ? e.clamp : z;
    z = z < -e.clamp ? -e.clamp : z;
  }
  return z;
}

}  // namespace
}  // namespace pygan
