#include "common/simd.h"
#include "modulated_conv2d/epilogue_grad.h"

namespace pygan {
namespace PYGAN_ISA {
namespace {

// Elements that are summed in T before the sum joins a double: keeps float sums accurate.
constexpr int64_t kBlock = 1024;

template <typename T>
PYGAN_INLINE T slope_of(T y, T g, Slope<T> slope, bool clamped) {
  T m = y > T(0) ? slope.positive : slope.negative;
  if (clamped) m = (y < slope.clamp && y > -slope.clamp) ? m : T(0);
  return m * g;
}

template <typename T, bool kClamp, bool kNoise, bool kStore>
void grad_plane(T* q, const T* g, const T* y, const T* noise, int64_t count, T scale,
                Slope<T> slope, PlaneSums* sums) {
  double total_h = 0, total_noise = 0, total_gy = 0;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t end = begin + kBlock < count ? begin + kBlock : count;
    T h_sum = 0, noise_sum = 0, gy_sum = 0;
#pragma omp simd reduction(+ : h_sum, noise_sum, gy_sum)
    for (int64_t i = begin; i < end; ++i) {
      const T h = slope_of(y[i], g[i], slope, kClamp);
      if (kStore) q[i] = scale * h;
      h_sum += h;
      if (kNoise) noise_sum += h * noise[i];
      const T gy = g[i] * y[i];
      gy_sum += (!kClamp || (y[i] < slope.clamp && y[i] > -slope.clamp)) ? gy : T(0);
    }
    total_h += h_sum;
    total_noise += noise_sum;
    total_gy += gy_sum;
  }
  sums->h = total_h;
  sums->h_noise = total_noise;
  sums->g_y = total_gy;
}

template <typename T, bool kClamp, bool kNoise>
void grad_plane(T* q, const T* g, const T* y, const T* noise, int64_t count, T scale,
                Slope<T> slope, PlaneSums* sums) {
  if (q != nullptr) {
    grad_plane<T, kClamp, kNoise, true>(q, g, y, noise, count, scale, slope, sums);
  } else {
    grad_plane<T, kClamp, kNoise, false>(q, g, y, noise, count, scale, slope, sums);
  }
}

template <typename T>
void grad_plane_any(T* q, const T* g, const T* y, const T* noise, int64_t count, T scale,
                    Slope<T> slope, PlaneSums* sums) {
  const bool clamp = slope.clamp >= T(0);
  if (clamp && noise != nullptr) {
    grad_plane<T, true, true>(q, g, y, noise, count, scale, slope, sums);
  } else if (clamp) {
    grad_plane<T, true, false>(q, g, y, noise, count, scale, slope, sums);
  } else if (noise != nullptr) {
    grad_plane<T, false, true>(q, g, y, noise, count, scale, slope, sums);
  } else {
    grad_plane<T, false, false>(q, g, y, noise, count, scale, slope, sums);
  }
}

template <typename T>
void second_order_plane(T* grad_g, T* grad_y, const T* g, const T* y, const T* du, const T* noise,
                        const T* ddnoise, int64_t count, const SecondOrderPlane<T>& p,
                        Slope<T> slope, double* h_du, double* h_ddnoise) {
  const bool clamp = slope.clamp >= T(0);
  double total_du = 0, total_ddnoise = 0;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t end = begin + kBlock < count ? begin + kBlock : count;
    T du_sum = 0, ddnoise_sum = 0;
#pragma omp simd reduction(+ : du_sum, ddnoise_sum)
    for (int64_t i = begin; i < end; ++i) {
      const bool free = !clamp || (y[i] < slope.clamp && y[i] > -slope.clamp);
      const T m = free ? (y[i] > T(0) ? slope.positive : slope.negative) : T(0);
      const T h = m * g[i];
      const T noise_i = noise != nullptr ? noise[i] : T(0);
      const T ddnoise_i = ddnoise != nullptr ? ddnoise[i] : T(0);
      const T du_i = du != nullptr ? du[i] : T(0);
      const T dz = p.d * du_i + p.constant + p.noise * noise_i + p.strength * ddnoise_i;
      const T rest = p.bias + p.noise_scale * noise_i;
      const T kept = free ? y[i] : T(0);
      if (grad_g != nullptr) grad_g[i] = m * dz + p.ratio * (kept - m * rest);
      if (grad_y != nullptr) grad_y[i] = m != T(0) ? p.ratio * g[i] : T(0);
      du_sum += h * du_i;
      ddnoise_sum += h * ddnoise_i;
    }
    total_du += du_sum;
    total_ddnoise += ddnoise_sum;
  }
  *h_du = total_du;
  *h_ddnoise = total_ddnoise;
}

template <typename T>
void accumulate(T* out, const T* g, const T* y, int64_t count, T weight, Slope<T> slope) {
  const bool clamp = slope.clamp >= T(0);
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) out[i] += weight * slope_of(y[i], g[i], slope, clamp);
}

template <typename T>
void combine_any(T* out, const T* a, T fa, const T* b, T fb, int64_t count) {
  if (b == nullptr) {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) out[i] = fa * a[i];
  } else if (a == nullptr) {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) out[i] = fb * b[i];
  } else {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) out[i] = fa * a[i] + fb * b[i];
  }
}

template <typename T>
double scale_and_dot_any(T* x_grad, const T* dxs, const T* x, T s, int64_t count) {
  double total = 0;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t end = begin + kBlock < count ? begin + kBlock : count;
    T sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = begin; i < end; ++i) {
      const T value = dxs[i];
      sum += x[i] * value;
      if (x_grad != nullptr) x_grad[i] = s * value;
    }
    total += sum;
  }
  return total;
}

}  // namespace

#define PYGAN_INSTANTIATE(T)                                                                       \
  void epilogue_grad_plane(T* q, const T* g, const T* y, const T* noise, int64_t count, T scale,   \
                           Slope<T> slope, PlaneSums* sums) {                                      \
    grad_plane_any(q, g, y, noise, count, scale, slope, sums);                                     \
  }                                                                                                \
  void epilogue_second_order_plane(T* grad_g, T* grad_y, const T* g, const T* y, const T* du,      \
                                   const T* noise, const T* ddnoise, int64_t count,                \
                                   const SecondOrderPlane<T>& plane, Slope<T> slope, double* h_du, \
                                   double* h_ddnoise) {                                            \
    second_order_plane(grad_g, grad_y, g, y, du, noise, ddnoise, count, plane, slope, h_du,        \
                       h_ddnoise);                                                                 \
  }                                                                                                \
  void accumulate_slope(T* out, const T* g, const T* y, int64_t count, T weight, Slope<T> slope) { \
    accumulate(out, g, y, count, weight, slope);                                                   \
  }                                                                                                \
  void combine(T* out, const T* a, T fa, const T* b, T fb, int64_t count) {                        \
    combine_any(out, a, fa, b, fb, count);                                                         \
  }                                                                                                \
  double scale_and_dot(T* x_grad, const T* dxs, const T* x, T s, int64_t count) {                  \
    return scale_and_dot_any(x_grad, dxs, x, s, count);                                            \
  }

PYGAN_INSTANTIATE(float)
PYGAN_INSTANTIATE(double)

}  // namespace PYGAN_ISA
}  // namespace pygan
