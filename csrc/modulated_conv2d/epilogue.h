// What happens to a convolution's result before it is stored, in the same pass over memory:
//
//   z = scale[n, c] * u + strength * noise[n, i, j] + bias[c]
//   y = clamp(gain * act(z))
//
// Every part is optional: a null pointer leaves it out.
#pragma once

#include <cstdint>

namespace pygan {

enum class EpilogueAct { linear = 0, relu = 1, lrelu = 2 };

template <typename T>
struct Epilogue {
  const T* scale = nullptr;         // [n, channels]
  const T* noise = nullptr;         // [height, width] of each sample
  int64_t noise_sample_stride = 0;  // elements between the samples' noise; 0: all share one
  T strength = 1;
  const T* bias = nullptr;  // [channels]
  EpilogueAct act = EpilogueAct::linear;
  T alpha = 0;   // slope of lrelu below zero
  T gain = 1;    // multiplies the activation's value
  T clamp = -1;  // bound of |y|; negative: none
};

// True when the epilogue stores u unchanged.
template <typename T>
bool is_identity(const Epilogue<T>& e) {
  return e.scale == nullptr && e.noise == nullptr && e.bias == nullptr &&
         e.act == EpilogueAct::linear && e.gain == T(1) && e.clamp < T(0);
}

}  // namespace pygan
