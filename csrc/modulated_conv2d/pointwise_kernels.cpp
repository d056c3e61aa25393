// 1x1 convolutions between few channels and many. They move more memory than they compute, so each
// reads every input once and writes every output once, in blocks of pixels that fit the L1 cache.
#include "modulated_conv2d/pointwise_kernels.h"

#include "common/parallel.h"
#include "common/scratch.h"
#include "modulated_conv2d/epilogue_apply.h"

namespace pygan {
namespace PYGAN_ISA {
namespace {

constexpr int64_t kBlockBytes = 4096;  // of one channel in a block of pixels
constexpr int kFew = 4;

template <typename T>
constexpr int64_t block_pixels() {
  return kBlockBytes / static_cast<int64_t>(sizeof(T));
}

// sums[r][0..count) += sum over `Channels` channels of k[r][c] * src[c][0..count).
template <typename T, int Rows, int Channels>
void accumulate(T (*sums)[block_pixels<T>()], const T* src, int64_t area, int64_t count,
                const T (*k)[kFew]) {
  typedef typename Vec<T>::type V;
  constexpr int L = lanes<T>();
  int64_t i = 0;
  for (; i + L <= count; i += L) {
    V in[Channels];
#pragma GCC unroll 4
    for (int c = 0; c < Channels; ++c) in[c] = load(src + c * area + i);
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) {
      V sum = load(&sums[r][i]);
#pragma GCC unroll 4
      for (int c = 0; c < Channels; ++c) sum += in[c] * splat(k[r][c]);
      store(&sums[r][i], sum);
    }
  }
  for (; i < count; ++i) {
    for (int r = 0; r < Rows; ++r) {
      T sum = sums[r][i];
      for (int c = 0; c < Channels; ++c) sum += src[c * area + i] * k[r][c];
      sums[r][i] = sum;
    }
  }
}

// Rows output rows from `row` at pixels [first, first + count) of sample n, all channels summed.
template <typename T, int Rows>
void map_rows(const PointwiseMap<T>& p, int64_t n, int64_t row, int64_t first, int64_t count) {
  T sums[Rows][block_pixels<T>()];
  for (int r = 0; r < Rows; ++r) __builtin_memset(sums[r], 0, count * sizeof(T));
  const T* src = p.src + n * p.channels * p.area + first;
  for (int64_t c = 0; c < p.channels; c += kFew) {
    const int64_t group = p.channels - c < kFew ? p.channels - c : kFew;
    T k[Rows][kFew];
    for (int r = 0; r < Rows; ++r) {
      for (int64_t j = 0; j < group; ++j) {
        k[r][j] = p.a[(row + r) * p.a_row_stride + (c + j) * p.a_channel_stride] *
                  (p.scale ? p.scale[n * p.channels + c + j] : T(1));
      }
    }
    const T* from = src + c * p.area;
    switch (group) {
      case 4:
        accumulate<T, Rows, 4>(sums, from, p.area, count, k);
        break;
      case 3:
        accumulate<T, Rows, 3>(sums, from, p.area, count, k);
        break;
      case 2:
        accumulate<T, Rows, 2>(sums, from, p.area, count, k);
        break;
      default:
        accumulate<T, Rows, 1>(sums, from, p.area, count, k);
    }
  }
  for (int r = 0; r < Rows; ++r) {
    apply_run(p.out + (n * p.rows + row + r) * p.area + first, sums[r], count, first,
              channel_epilogue(p.epilogue, n, row + r, p.rows));
  }
}

template <typename T>
void map(const PointwiseMap<T>& p) {
  if (p.n * p.rows * p.area == 0) return;
  const int64_t blocks = (p.area + block_pixels<T>() - 1) / block_pixels<T>();
  const int64_t items = p.n * blocks;
  const int threads = p.n * p.area * (p.rows + p.channels) < kSerialBelow ? 1 : max_threads();
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t item = 0; item < items; ++item) {
    const int64_t n = item / blocks, first = item % blocks * block_pixels<T>();
    const int64_t rest = p.area - first;
    const int64_t count = rest < block_pixels<T>() ? rest : block_pixels<T>();
    int64_t row = 0;
    for (; row + 4 <= p.rows; row += 4) map_rows<T, 4>(p, n, row, first, count);
    if (row + 3 == p.rows) map_rows<T, 3>(p, n, row, first, count);
    if (row + 2 == p.rows) map_rows<T, 2>(p, n, row, first, count);
    if (row + 1 == p.rows) map_rows<T, 1>(p, n, row, first, count);
  }
}

// dots[f] = many . few[f] over `count` pixels.
template <typename T, int Few>
void dot_products(T* dots, const T* many, const T* few, int64_t area, int64_t count) {
  typedef typename Vec<T>::type V;
  constexpr int L = lanes<T>();
  V sum[2][Few];
  for (int f = 0; f < Few; ++f) sum[0][f] = sum[1][f] = V{};
  int64_t i = 0;
  for (; i + 2 * L <= count; i += 2 * L) {
    const V a = load(many + i), b = load(many + i + L);
#pragma GCC unroll 4
    for (int f = 0; f < Few; ++f) {
      sum[0][f] += a * load(few + f * area + i);
      sum[1][f] += b * load(few + f * area + i + L);
    }
  }
  for (; i + L <= count; i += L) {
    const V a = load(many + i);
    for (int f = 0; f < Few; ++f) sum[0][f] += a * load(few + f * area + i);
  }
  for (int f = 0; f < Few; ++f) {
    T dot = sum_lanes<T>(sum[0][f] + sum[1][f]);
    for (int64_t j = i; j < count; ++j) dot += many[j] * few[f * area + j];
    dots[f] = dot;
  }
}

template <typename T>
void dots(const PointwiseDots<T>& p) {
  if (p.many_channels * p.few_channels == 0) return;
  const int threads = p.n * p.area * p.many_channels < kSerialBelow ? 1 : max_threads();
  Scratch scratch;
  const int64_t sums_size = p.many_channels * kFew * static_cast<int64_t>(sizeof(T));
  T* sums = static_cast<T*>(scratch.bytes(sums_size));
  __builtin_memset(sums, 0, sums_size);
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
#if defined(_OPENMP)
    const int64_t member = omp_get_thread_num(), members = omp_get_num_threads();
#else
    const int64_t member = 0, members = 1;
#endif
    const int64_t m0 = p.many_channels * member / members;
    const int64_t m1 = p.many_channels * (member + 1) / members;
    for (int64_t n = 0; n < p.n; ++n) {
      for (int64_t first = 0; first < p.area; first += block_pixels<T>()) {
        const int64_t rest = p.area - first;
        const int64_t count = rest < block_pixels<T>() ? rest : block_pixels<T>();
        const T* few = p.few + n * p.few_channels * p.area + first;
        for (int64_t m = m0; m < m1; ++m) {
          const T* many = p.many + (n * p.many_channels + m) * p.area + first;
          T dot[kFew];
          switch (p.few_channels) {
            case 4:
              dot_products<T, 4>(dot, many, few, p.area, count);
              break;
            case 3:
              dot_products<T, 3>(dot, many, few, p.area, count);
              break;
            case 2:
              dot_products<T, 2>(dot, many, few, p.area, count);
              break;
            default:
              dot_products<T, 1>(dot, many, few, p.area, count);
          }
          const T s = p.many_scale ? p.many_scale[n * p.many_channels + m] : T(1);
          for (int64_t f = 0; f < p.few_channels; ++f) {
            const T t = p.few_scale ? p.few_scale[n * p.few_channels + f] : T(1);
            sums[m * kFew + f] += dot[f] * (s * t);
          }
        }
      }
    }
    for (int64_t m = m0; m < m1; ++m) {
      for (int64_t f = 0; f < p.few_channels; ++f) {
        p.out[m * p.out_many_stride + f * p.out_few_stride] = sums[m * kFew + f];
      }
    }
  }
}

}  // namespace

void pointwise_map(const PointwiseMap<float>& p) { map(p); }
void pointwise_map(const PointwiseMap<double>& p) { map(p); }
void pointwise_dots(const PointwiseDots<float>& p) { dots(p); }
void pointwise_dots(const PointwiseDots<double>& p) { dots(p); }

}  // namespace PYGAN_ISA
}  // namespace pygan
