// Winograd convolution: the inverse transform, and the epilogue.
#include "common/simd_shuffle.h"
#include "modulated_conv2d/winograd_kernels.h"
#include "modulated_conv2d/winograd_layout.h"
#include "modulated_conv2d/winograd_points.h"

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

// The 4 rows of pixels of one vector of tiles, one or two (depth to space) channels wide.
template <int Phases>
struct Rows {
  static constexpr int kVectors = 4 * Phases;        // per row
  static constexpr int kFloats = kVectors * kLanes;  // per row
};

// Inverse transform of one channel: rows[i][j] = pixel j of row i, lanes permuted as in the input.
PYGAN_INLINE void inverse(const float* m, int64_t stride, VecF rows[4][4]) {
  VecF half[4][6];
#pragma GCC unroll 1
  for (int j = 0; j < 6; ++j) {
    VecF d[6], out[4];
    for (int i = 0; i < 6; ++i) d[i] = load(m + (i * 6 + j) * stride);
    winograd_a_transposed(d, out);
    for (int i = 0; i < 4; ++i) half[i][j] = out[i];
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) winograd_a_transposed(half[i], rows[i]);
}

// strength * noise of the rows of these tiles, zero outside the image.
template <int Phases>
void load_noise(float* to, const WinogradOutput& output, int py, const WinogradTileVector& t) {
  const Epilogue<float>& e = output.epilogue;
  const int64_t height = output.tiles.h * Phases, width = output.tiles.w * Phases;
  for (int i = 0; i < 4 * Rows<Phases>::kFloats; ++i) to[i] = 0;
  for (int r = 0; r < t.runs; ++r) {
    const WinogradTileVector::Run& run = t.run[r];
    const int64_t x = run.col * 4 * Phases;
    const int64_t span = int64_t{run.count} * 4 * Phases;
    const int64_t have = width - x < span ? width - x : span;
    for (int i = 0; i < 4; ++i) {
      const int64_t row = (run.row * 4 + i) * Phases + py;
      if (row >= height) break;
      const float* from = e.noise + run.sample * e.noise_sample_stride + row * width + x;
      float* at = to + i * Rows<Phases>::kFloats + run.first * 4 * Phases;
      for (int64_t k = 0; k < have; ++k) at[k] = e.strength * from[k];
    }
  }
}

// Computes one row of tiles of a channel of y (for Phases = 2: the rows of one py) and stores it.
// `m` points at the vector in the first channel, `next` floats before that of the other px.
template <int Phases>
PYGAN_INLINE void finish_vector(const WinogradOutput& output, const Activation& activation,
                                const float* m, int64_t stride, int64_t next, int64_t channel,
                                int py, const float* noise, bool stream,
                                const WinogradTileVector& t) {
  const Epilogue<float>& e = output.epilogue;
  const int64_t height = output.tiles.h * Phases, width = output.tiles.w * Phases;
  VecF rows[Phases][4][4];
  for (int px = 0; px < Phases; ++px) inverse(m + px * next, stride, rows[px]);

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
    VecF z[Rows<Phases>::kVectors];
    for (int px = 0; px < Phases; ++px) {
      VecF* u = rows[px][i];
      for (int j = 0; j < 4; ++j) u[j] *= scale;
      transpose_4x4(u[0], u[1], u[2], u[3]);
    }
    for (int j = 0; j < 4; ++j) {
      if (Phases == 1) {
        z[j] = rows[0][i][j];
      } else {
        z[2 * j] = shuffle<Interleave<0>>(rows[0][i][j], rows[Phases - 1][i][j]);
        z[2 * j + 1] = shuffle<Interleave<1>>(rows[0][i][j], rows[Phases - 1][i][j]);
      }
    }
    for (int j = 0; j < Rows<Phases>::kVectors; ++j) {
      z[j] += bias;
      if (noise != nullptr) z[j] += load(noise + i * Rows<Phases>::kFloats + j * kLanes);
      z[j] = activation(z[j]);
    }
    if (t.contiguous) {
      const WinogradTileVector::Run& run = t.run[0];
      const int64_t row = (run.row * 4 + i) * Phases + py;
      if (row >= height) continue;
      float* to = plane + run.sample * sample_stride + row * width + run.col * 4 * Phases;
      if (stream && reinterpret_cast<uintptr_t>(to) % PYGAN_VECTOR_BYTES == 0) {
        for (int j = 0; j < Rows<Phases>::kVectors; ++j) store_stream(to + j * kLanes, z[j]);
      } else {
        for (int j = 0; j < Rows<Phases>::kVectors; ++j) store(to + j * kLanes, z[j]);
      }
    } else {
      float stage[Rows<Phases>::kFloats];
      for (int j = 0; j < Rows<Phases>::kVectors; ++j) store(stage + j * kLanes, z[j]);
      for (int r = 0; r < t.runs; ++r) {
        const WinogradTileVector::Run& run = t.run[r];
        const int64_t row = (run.row * 4 + i) * Phases + py;
        if (row >= height) continue;
        const int64_t x = run.col * 4 * Phases;
        const int64_t span = int64_t{run.count} * 4 * Phases;
        const int64_t have = width - x < span ? width - x : span;
        float* to = plane + run.sample * sample_stride + row * width + x;
        __builtin_memcpy(to, stage + run.first * 4 * Phases, have * sizeof(float));
      }
    }
  }
}

template <int Phases>
void transform_output(const WinogradOutput& output, const WinogradMatrix& m,
                      const WinogradTileVector* vectors, int64_t count, int64_t first,
                      int64_t padded, int64_t begin, int64_t end) {
  const Activation activation(output.epilogue);
  alignas(64) float noise[4 * Rows<Phases>::kFloats];
  const int64_t channels = padded * Phases * Phases;
  const WinogradTiles& tiles = output.tiles;
  const bool stream =
      tiles.n * output.channels * tiles.h * tiles.w * Phases * Phases >= kStreamFrom;
  for (int64_t i = 0; i < count; ++i) {
    const float* panel = m.data + panel_offset(i, count, channels);
    const int64_t row = panel_row(i, count);
    for (int py = 0; py < Phases; ++py) {
      const bool noisy = output.epilogue.noise != nullptr;
      if (noisy) load_noise<Phases>(noise, output, py, vectors[i]);
      for (int64_t o = begin; o < end; ++o) {
        finish_vector<Phases>(output, activation, panel + (Phases * py * padded + o) * row,
                              m.stride, padded * row, first + o, py, noisy ? noise : nullptr,
                              stream, vectors[i]);
      }
    }
  }
  if (stream) stream_fence();
}

}  // namespace

void winograd_transform_output(const WinogradOutput& output, const WinogradMatrix& m,
                               const WinogradTileVector* vectors, int64_t count, int64_t first,
                               int64_t padded, int64_t begin, int64_t end) {
  if (output.depth_to_space) {
    transform_output<2>(output, m, vectors, count, first, padded, begin, end);
  } else {
    transform_output<1>(output, m, vectors, count, first, padded, begin, end);
  }
}

}  // namespace PYGAN_ISA
}  // namespace pygan
