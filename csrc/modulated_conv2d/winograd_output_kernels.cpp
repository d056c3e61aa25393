// Winograd convolution of stride 1 and 2: the inverse transform, and the epilogue.
#include "modulated_conv2d/winograd_kernels.h"
#include "modulated_conv2d/winograd_layout.h"
#include "modulated_conv2d/winograd_points.h"
#include "modulated_conv2d/winograd_points_strided.h"
#include "modulated_conv2d/winograd_rows.h"

namespace pygan {
namespace PYGAN_ISA {
namespace {

// An output of this many floats (16 MB) leaves the caches before it is read again: its stores go
// past them.
constexpr int64_t kStreamFrom = int64_t{4} << 20;

// y = clamp(z <= 0 ? negative * z : positive * z); NaN stays NaN.
struct Activation {
  float positive, negative, clamp;
  bool linear, clamps;

  explicit Activation(const Epilogue<float>& e)
      : positive(e.gain),
        negative(e.act == EpilogueAct::linear  ? e.gain
                 : e.act == EpilogueAct::lrelu ? e.gain * e.alpha
                                               : 0.0f),
        clamp(e.clamp),
        linear(e.act == EpilogueAct::linear),
        clamps(e.clamp >= 0) {}

  inline __attribute__((always_inline)) VecF operator()(VecF z) const {
    if (linear) {
      z *= positive;
    } else {
      z *= select(z <= VecF{}, splat(negative), splat(positive));
    }
    if (clamps) {
      z = select(z > splat(clamp), splat(clamp), z);
      z = select(z < splat(-clamp), splat(-clamp), z);
    }
    return z;
  }
};

// The inverse transforms of a form: Points x Points planes to 4x4 pixels.
struct Same {
  static constexpr int kPoints = 6;
  static inline __attribute__((always_inline)) void inverse(const VecF* m, VecF* y) {
    winograd_a_transposed(m, y);
  }
};
struct Strided {
  static constexpr int kPoints = 5;
  static inline __attribute__((always_inline)) void inverse(const VecF* m, VecF* y) {
    strided_a_transposed(m, y);
  }
};

// Inverse transform of one channel: rows[i][j] = pixel j of row i, lanes permuted as in the input.
template <typename Form>
PYGAN_INLINE void inverse(const float* m, int64_t stride, VecF rows[4][4]) {
  constexpr int kPoints = Form::kPoints;
  VecF half[4][kPoints];
#pragma GCC unroll 1
  for (int j = 0; j < kPoints; ++j) {
    VecF d[kPoints], out[4];
    for (int i = 0; i < kPoints; ++i) d[i] = load(m + (i * kPoints + j) * stride);
    Form::inverse(d, out);
    for (int i = 0; i < 4; ++i) half[i][j] = out[i];
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) Form::inverse(half[i], rows[i]);
}

// strength * noise of the rows of these tiles, zero outside the image.
void load_noise(float* to, const WinogradOutput& output, const WinogradTileVector& t) {
  const Epilogue<float>& e = output.epilogue;
  const int64_t height = output.tiles.h, width = output.tiles.w;
  for (int i = 0; i < 4 * kRowFloats; ++i) to[i] = 0;
  for (int r = 0; r < t.runs; ++r) {
    const WinogradTileVector::Run& run = t.run[r];
    const int64_t x = run.col * 4;
    const int64_t span = int64_t{run.count} * 4;
    const int64_t have = width - x < span ? width - x : span;
    for (int i = 0; i < 4; ++i) {
      const int64_t row = run.row * 4 + i;
      if (row >= height) break;
      const float* from = e.noise + run.sample * e.noise_sample_stride + row * width + x;
      float* at = to + i * kRowFloats + run.first * 4;
      for (int64_t k = 0; k < have; ++k) at[k] = e.strength * from[k];
    }
  }
}

// Computes one row of tiles of a channel of y, whose planes of M begin at `m`, and stores it.
template <typename Form>
PYGAN_INLINE void finish_vector(const WinogradOutput& output, const Activation& activation,
                                const float* m, int64_t stride, int64_t channel, const float* noise,
                                bool stream, const WinogradTileVector& t) {
  const Epilogue<float>& e = output.epilogue;
  const int64_t height = output.tiles.h, width = output.tiles.w;
  VecF rows[4][4];
  inverse<Form>(m, stride, rows);

  VecF scale = splat(1.0f);
  if (e.scale != nullptr) {
    const float* s = e.scale + channel;
    scale = t.one_sample ? splat(s[t.run[0].sample * output.channels])
                         : load_of_samples(s, output.channels, t.sample);
  }
  const VecF bias = splat(e.bias != nullptr ? e.bias[channel] : 0.0f);
  float* plane = output.y + channel * height * width;
  const int64_t sample_stride = output.channels * height * width;

#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    VecF* z = rows[i];
    for (int j = 0; j < 4; ++j) z[j] *= scale;
    transpose_4x4(z[0], z[1], z[2], z[3]);
    for (int j = 0; j < 4; ++j) {
      z[j] += bias;
      if (noise != nullptr) z[j] += load(noise + i * kRowFloats + j * kLanes);
      z[j] = activation(z[j]);
    }
    if (t.contiguous) {
      const WinogradTileVector::Run& run = t.run[0];
      const int64_t row = run.row * 4 + i;
      if (row >= height) continue;
      float* to = plane + run.sample * sample_stride + row * width + run.col * 4;
      if (stream && reinterpret_cast<uintptr_t>(to) % PYGAN_VECTOR_BYTES == 0) {
        for (int j = 0; j < 4; ++j) store_stream(to + j * kLanes, z[j]);
      } else {
        for (int j = 0; j < 4; ++j) store(to + j * kLanes, z[j]);
      }
    } else {
      float stage[kRowFloats];
      for (int j = 0; j < 4; ++j) store(stage + j * kLanes, z[j]);
      for (int r = 0; r < t.runs; ++r) {
        const WinogradTileVector::Run& run = t.run[r];
        const int64_t row = run.row * 4 + i;
        if (row >= height) continue;
        const int64_t x = run.col * 4;
        const int64_t span = int64_t{run.count} * 4;
        const int64_t have = width - x < span ? width - x : span;
        float* to = plane + run.sample * sample_stride + row * width + x;
        __builtin_memcpy(to, stage + run.first * 4, have * sizeof(float));
      }
    }
  }
}

template <typename Form>
void transform_output(const WinogradOutput& output, const WinogradMatrix& m,
                      const WinogradTileVector* vectors, int64_t count, int64_t first,
                      int64_t padded, int64_t begin, int64_t end) {
  const Activation activation(output.epilogue);
  alignas(64) float noise[4 * kRowFloats];
  const WinogradTiles& tiles = output.tiles;
  const bool stream = tiles.n * output.channels * tiles.h * tiles.w >= kStreamFrom;
  const bool noisy = output.epilogue.noise != nullptr;
  for (int64_t i = 0; i < count; ++i) {
    const float* panel = m.data + panel_offset(i, count, padded);
    const int64_t row = panel_row(i, count);
    if (noisy) load_noise(noise, output, vectors[i]);
    for (int64_t o = begin; o < end; ++o) {
      finish_vector<Form>(output, activation, panel + o * row, m.stride, first + o,
                          noisy ? noise : nullptr, stream, vectors[i]);
    }
  }
  if (stream) stream_fence();
}

}  // namespace

void winograd_transform_output(const WinogradOutput& output, const WinogradMatrix& m,
                               const WinogradTileVector* vectors, int64_t count, int64_t first,
                               int64_t padded, int64_t begin, int64_t end) {
  transform_output<Same>(output, m, vectors, count, first, padded, begin, end);
}

void winograd_transform_output_strided(const WinogradOutput& output, const WinogradMatrix& m,
                                       const WinogradTileVector* vectors, int64_t count,
                                       int64_t first, int64_t padded, int64_t begin, int64_t end) {
  transform_output<Strided>(output, m, vectors, count, first, padded, begin, end);
}

}  // namespace PYGAN_ISA
}  // namespace pygan
