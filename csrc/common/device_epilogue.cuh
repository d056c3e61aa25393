// device_epilogue.h in device code: an epilogue made ready once per thread, then applied to values.
#pragma once

#include "common/cuda_launch.cuh"
#include "common/device_epilogue.h"

namespace pygan {

// The parts of a DeviceEpilogue that are the same for all elements, in the compute type.
// T: the type in memory of the scale, noise, strength and bias.
template <typename T>
struct EpilogueMath {
  using C = Compute<T>;
  const T* scale;
  const T* noise;
  const T* strength_at;
  const T* bias;
  C alpha, gain, clamp;
  int act;
  bool noise_per_sample;

  explicit EpilogueMath(const DeviceEpilogue& e)
      : scale(static_cast<const T*>(e.scale)),
        noise(static_cast<const T*>(e.noise)),
        strength_at(static_cast<const T*>(e.strength)),
        bias(static_cast<const T*>(e.bias)),
        alpha(static_cast<C>(e.act == 0   ? 1.0
                             : e.act == 1 ? 0.0
                                          : e.alpha)),
        gain(static_cast<C>(e.gain)),
        clamp(static_cast<C>(e.clamp)),
        act(e.act),
        noise_per_sample(e.noise_per_sample) {}

  // Factor and summand of the plane (sample, channel).
  __device__ __forceinline__ C scale_of(int64_t sample, int64_t channel, int64_t channels) const {
    return scale != nullptr ? load_value(scale[sample * channels + channel]) : C(1);
  }
  __device__ __forceinline__ C bias_of(int64_t channel) const {
    return bias != nullptr ? load_value(bias[channel]) : C(0);
  }
  __device__ __forceinline__ C strength() const {
    return strength_at != nullptr ? load_value(*strength_at) : C(1);
  }
  // The noise at a pixel, not yet times the strength; 0 without noise.
  __device__ __forceinline__ C noise_of(int64_t sample, int64_t pixel, int64_t area) const {
    if (noise == nullptr) return C(0);
    return load_value(noise[(noise_per_sample ? sample * area : 0) + pixel]);
  }
  // y from u; `s` is the plane's factor, `offset` = strength * noise + bias.
  __device__ __forceinline__ C operator()(C u, C s, C offset) const {
    C z = s * u + offset;
    // relu's zeros are exact (0 * -infinity would be NaN); NaN stays NaN.
    if (z <= C(0)) z = act == 1 ? C(0) : alpha * z;
    z *= gain;
    if (clamp >= C(0)) {
      z = z > clamp ? clamp : z;
      z = z < -clamp ? -clamp : z;
    }
    return z;
  }
};

}  // namespace pygan
