// The epilogue (epilogue.h) on runs of pixels. Belongs in *_kernels.cpp files.
#pragma once

#include "common/simd.h"
#include "modulated_conv2d/epilogue.h"

namespace pygan {
namespace PYGAN_ISA {

// The epilogue of one channel of one sample, its options resolved.
template <typename T>
struct ChannelEpilogue {
  T scale, bias, strength, alpha, gain, clamp;
  const T* noise;
  EpilogueAct act;
  bool identity;
};

template <typename T>
PYGAN_INLINE ChannelEpilogue<T> channel_epilogue(const Epilogue<T>& e, int64_t sample,
                                                 int64_t channel, int64_t channels) {
  ChannelEpilogue<T> c;
  c.scale = e.scale ? e.scale[sample * channels + channel] : T(1);
  c.bias = e.bias ? e.bias[channel] : T(0);
  c.noise = e.noise ? e.noise + sample * e.noise_sample_stride : nullptr;
  c.strength = e.noise ? e.strength : T(0);
  c.act = e.act;
  c.alpha = e.alpha;
  c.gain = e.gain;
  c.clamp = e.clamp;
  c.identity = !e.scale && !e.bias && !e.noise && e.act == EpilogueAct::linear && e.gain == T(1) &&
               e.clamp < T(0);
  return c;
}

template <typename T, bool Noise, bool Act>
PYGAN_INLINE typename Vec<T>::type epilogue_vector(const ChannelEpilogue<T>& e,
                                                   typename Vec<T>::type u,
                                                   typename Vec<T>::type noise) {
  typedef typename Vec<T>::type V;
  V z = u * splat(e.scale) + splat(e.bias);
  if (Noise) z += noise * splat(e.strength);
  if (Act) {
    // relu(-inf) is 0, not -inf * 0; NaN passes every comparison's "else".
    const V negative = e.act == EpilogueAct::relu    ? V{}
                       : e.act == EpilogueAct::lrelu ? z * splat(e.alpha)
                                                     : z;
    z = (z < V{} ? negative : z) * splat(e.gain);
    if (e.clamp >= T(0)) {
      z = z > splat(e.clamp) ? splat(e.clamp) : z;
      z = z < splat(-e.clamp) ? splat(-e.clamp) : z;
    }
  }
  return z;
}

template <typename T, bool Noise, bool Act>
static void epilogue_run(T* y, const T* u, int64_t count, const T* noise,
                         const ChannelEpilogue<T>& e) {
  typedef typename Vec<T>::type V;
  constexpr int L = lanes<T>();
  int64_t i = 0;
  for (; i + L <= count; i += L) {
    store(y + i, epilogue_vector<T, Noise, Act>(e, load(u + i), Noise ? load(noise + i) : V{}));
  }
  if (i < count) {
    T in[L] = {}, extra[L] = {}, out[L];
    for (int64_t j = i; j < count; ++j) in[j - i] = u[j];
    if (Noise) {
      for (int64_t j = i; j < count; ++j) extra[j - i] = noise[j];
    }
    store(out, epilogue_vector<T, Noise, Act>(e, load(in), load(extra)));
    for (int64_t j = i; j < count; ++j) y[j] = out[j - i];
  }
}

// y[0..count) = epilogue(u[0..count)); y may be u. `pixel` is the offset of the run in its plane.
template <typename T>
static void apply_run(T* y, const T* u, int64_t count, int64_t pixel, const ChannelEpilogue<T>& e) {
  if (e.identity) {
    if (y != u) __builtin_memcpy(y, u, count * sizeof(T));
    return;
  }
  const bool act = e.act != EpilogueAct::linear || e.gain != T(1) || e.clamp >= T(0);
  if (e.noise) {
    if (act) return epilogue_run<T, true, true>(y, u, count, e.noise + pixel, e);
    return epilogue_run<T, true, false>(y, u, count, e.noise + pixel, e);
  }
  if (act) return epilogue_run<T, false, true>(y, u, count, nullptr, e);
  return epilogue_run<T, false, false>(y, u, count, nullptr, e);
}

// The same with y's and the noise's pixels `step` apart. A vector may be read from any u[0..count).
template <typename T>
static void apply_run_strided(T* y, const T* u, int64_t count, int64_t pixel, int64_t step,
                              const ChannelEpilogue<T>& e) {
  if (step == 1) return apply_run(y, u, count, pixel, e);
  constexpr int L = lanes<T>();
  for (int64_t i = 0; i < count; i += L) {
    const int64_t m = count - i < L ? count - i : L;
    T extra[L] = {}, out[L];
    if (e.noise) {
      for (int64_t j = 0; j < m; ++j) extra[j] = e.noise[pixel + (i + j) * step];
      store(out, epilogue_vector<T, true, true>(e, load(u + i), load(extra)));
    } else {
      store(out, epilogue_vector<T, false, true>(e, load(u + i), load(extra)));
    }
    T* to = y + i * step;
    if (m == L && step == 2) {
#pragma GCC unroll 16
      for (int j = 0; j < L; ++j) to[2 * j] = out[j];
    } else {
      for (int64_t j = 0; j < m; ++j) to[j * step] = out[j];
    }
  }
}

}  // namespace PYGAN_ISA
}  // namespace pygan
