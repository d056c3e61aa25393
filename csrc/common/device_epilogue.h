// What happens to a result on the GPU before it is stored, in the same pass over memory:
//
//   z = scale[n, c] * u + strength * noise[n, i, j] + bias[c]
//   y = clamp(gain * act(z))                              act: linear, relu, lrelu
//
// The same formula as modulated_conv2d/epilogue.h; every tensor, and the strength, lies in device
// memory, in the storage type of the result. Every part is optional: null leaves it out.
#pragma once

#include <cstdint>

namespace pygan {

struct DeviceEpilogue {
  const void* scale = nullptr;     // [n, channels]
  const void* noise = nullptr;     // [height, width] of each sample
  bool noise_per_sample = false;   // false: all samples share one
  const void* strength = nullptr;  // [1]; null: one
  const void* bias = nullptr;      // [channels]
  int act = 0;                     // 0 linear, 1 relu, 2 lrelu
  double alpha = 0;                // slope of lrelu below zero
  double gain = 1;                 // multiplies the activation's value
  double clamp = -1;               // bound of |y|; negative: none

  bool is_identity() const {
    return scale == nullptr && noise == nullptr && bias == nullptr && act == 0 && gain == 1 &&
           clamp < 0;
  }
};

}  // namespace pygan
