// Shares a colour transform among the threads in bands of rows of one sample.
#include "augment/color.h"

#include <algorithm>

#include "augment/color_run.h"
#include "common/parallel.h"

namespace pygan {
namespace {

constexpr int64_t kBandPixels = int64_t{1} << 12;  // of which all colours stay in the cache

// A number of a row as an index from 0 to size; what is no number counts as 0.
int64_t index_of(double value, int64_t size) {
  if (!(value > 0)) return 0;
  return value < static_cast<double>(size) ? static_cast<int64_t>(value) : size;
}

// One sample's row, read out for a pass.
template <typename T>
struct Numbers {
  typedef typename Compute<T>::type C;
  C matrix[kMaxColors][kMaxColors] = {};
  C offset[kMaxColors] = {};
  C sigma = 0;
  int64_t x0, x1, y0, y1;
  bool identity = true;  // apart from the cut-out

  Numbers(const double* row, ColorPass pass, bool with_noise, const ColorParams& params) {
    const int colors = params.colors;
    const double* const offsets = row + colors * colors;
    for (int c = 0; c < colors; ++c) {
      for (int d = 0; d < colors; ++d) {
        const double number = row[c * colors + d];
        (pass == ColorPass::transposed ? matrix[d][c] : matrix[c][d]) = static_cast<C>(number);
        if (number != (c == d ? 1.0 : 0.0)) identity = false;
      }
      if (pass != ColorPass::full) continue;
      offset[c] = static_cast<C>(offsets[c]);
      if (offsets[c] != 0) identity = false;
    }
    if (pass == ColorPass::full && with_noise) {
      sigma = static_cast<C>(offsets[colors]);
      if (offsets[colors] != 0) identity = false;
    }
    const double* const ends = offsets + colors + 1;
    x0 = index_of(ends[0], params.width);
    x1 = index_of(ends[1], params.width);
    y0 = index_of(ends[2], params.height);
    y1 = index_of(ends[3], params.height);
  }
};

template <typename T>
void transform_pixels(const ColorRun<T>& run, int colors) {
  PYGAN_DISPATCH(transform_run(run, colors));
}

// Rows `top` to `bottom` of a sample.
template <typename T>
void color_band(T* y, const T* x, const T* noise, const Numbers<T>& numbers,
                const ColorParams& params, int64_t top, int64_t bottom) {
  const int64_t plane = params.height * params.width, begin = top * params.width;
  const int64_t count = (bottom - top) * params.width;
  const int64_t copied_from = numbers.identity ? 0 : params.colors;
  for (int64_t c = copied_from; c < params.channels; ++c) {
    std::copy(x + c * plane + begin, x + c * plane + begin + count, y + c * plane + begin);
  }
  if (!numbers.identity) {
    ColorRun<T> run = {};
    run.count = count;
    run.sigma = numbers.sigma;
    for (int c = 0; c < params.colors; ++c) {
      run.y[c] = y + c * plane + begin;
      run.x[c] = x + c * plane + begin;
      if (noise != nullptr && numbers.sigma != 0) run.noise[c] = noise + c * plane + begin;
      run.offset[c] = numbers.offset[c];
      for (int d = 0; d < params.colors; ++d) run.matrix[c][d] = numbers.matrix[c][d];
    }
    transform_pixels(run, params.colors);
  }
  if (numbers.x0 >= numbers.x1) return;
  for (int64_t i = std::max(top, numbers.y0); i < std::min(bottom, numbers.y1); ++i) {
    for (int c = 0; c < params.colors; ++c) {
      T* const row = y + c * plane + i * params.width;
      std::fill(row + numbers.x0, row + numbers.x1, T{});
    }
  }
}

}  // namespace

template <typename T>
void color(T* y, const T* x, const T* noise, const double* rows, ColorPass pass,
           const ColorParams& params) {
  if (params.size() == 0) return;
  const int threads = params.size() < kSerialBelow ? 1 : max_threads();
  const int64_t band = std::max<int64_t>(1, kBandPixels / params.width);
  const int64_t bands = (params.height + band - 1) / band;
  const int64_t plane = params.height * params.width;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t task = 0; task < params.samples * bands; ++task) {
    const int64_t n = task / bands, top = task % bands * band;
    const T* const own = noise == nullptr ? nullptr : noise + n * params.colors * plane;
    const Numbers<T> numbers(rows + n * params.row(), pass, noise != nullptr, params);
    const int64_t at = n * params.channels * plane;
    color_band(y + at, x + at, own, numbers, params, top, std::min(top + band, params.height));
  }
}

#define PYGAN_INSTANTIATE(T) \
  template void color(T*, const T*, const T*, const double*, ColorPass, const ColorParams&);
PYGAN_INSTANTIATE(float)
PYGAN_INSTANTIATE(double)
PYGAN_INSTANTIATE(float16)
PYGAN_INSTANTIATE(bfloat16)
#undef PYGAN_INSTANTIATE

}  // namespace pygan
