// Weights of the Winograd convolution: their layout, their transform G, and the expansion of a
// convolution with x2 resampling into phases.
#include "common/parallel.h"
#include "modulated_conv2d/winograd_launch.h"

namespace pygan {
namespace {

// Three taps of one phase as a linear map of the three weights of an axis:
//   up:   phase[d] = sum over b of taps[2 d + 1 - p - b] w[b]
//   down: phase[d] = sum over b of taps[2 d + p - b] w[b]
// An up layer's output 2 m + p reads the zero-inserted x, whose pixel 2 i is x[i], with the six
// joint taps t at 2 m + p + t - 3: i - m = d - 1 takes the taps t = 2 d + 1 - p. A down layer's
// output m reads the pixels 2 m + t - 2, of which x[2 i + p] takes t = 2 d + p.
struct PhaseMap {
  double at[3][3];
};

PhaseMap phase_map(const float taps[4], bool up, int p) {
  PhaseMap map;
  for (int d = 0; d < 3; ++d) {
    for (int b = 0; b < 3; ++b) {
      const int tap = up ? 2 * d + 1 - p - b : 2 * d + p - b;
      map.at[d][b] = tap >= 0 && tap < 4 ? taps[tap] : 0.0;
    }
  }
  return map;
}

PhaseMap identity_map() { return {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}}; }

// matrix = G * map, with the taps that `map` produces reversed if `reversed`. G belongs to the
// points of winograd_points.h: the row of p is (1, p, p^2) / product of (p - q) over the other q.
void joint_transform(float matrix[6][3], const PhaseMap& map, bool reversed) {
  constexpr double a = 0.625, b = 1.5;
  constexpr double points[5] = {0, a, -a, b, -b};
  for (int k = 0; k < 6; ++k) {
    double g[3] = {0, 0, 1};
    if (k < 5) {
      double product = 1;
      for (int j = 0; j < 5; ++j) {
        if (j != k) product *= points[k] - points[j];
      }
      for (int d = 0; d < 3; ++d) g[d] = (d == 0 ? 1 : d == 1 ? points[k] : points[k] * points[k]);
      for (double& value : g) value /= product;
    }
    for (int tap = 0; tap < 3; ++tap) {
      double sum = 0;
      for (int d = 0; d < 3; ++d) sum += g[d] * map.at[reversed ? 2 - d : d][tap];
      matrix[k][tap] = static_cast<float>(sum);
    }
  }
}

enum class Direction { expand, adjoint };

// expand:  to[phase * phase_stride ...] = the phases of one 3x3 kernel
// adjoint: the kernel from its phases
void map_kernel(float* kernel, float* phases, int64_t phase_stride, const PhaseMap (&y)[2],
                const PhaseMap (&x)[2], Direction direction) {
  double sum[9] = {};
  for (int phase = 0; phase < 4; ++phase) {
    const PhaseMap &my = y[phase / 2], &mx = x[phase % 2];
    float* of_phase = phases + phase * phase_stride;
    for (int i = 0; i < 9; ++i) {
      double value = 0;
      for (int j = 0; j < 9; ++j) {
        if (direction == Direction::expand) {
          value += my.at[i / 3][j / 3] * mx.at[i % 3][j % 3] * kernel[j];
        } else {
          value += my.at[j / 3][i / 3] * mx.at[j % 3][i % 3] * of_phase[j];
        }
      }
      if (direction == Direction::expand) {
        of_phase[i] = static_cast<float>(value);
      } else {
        sum[i] += value;
      }
    }
  }
  if (direction == Direction::adjoint) {
    for (int i = 0; i < 9; ++i) kernel[i] = static_cast<float>(sum[i]);
  }
}

// Kernel (o, i) has its phases at (o * out_step + i * in_step + phase * phase_step) * 9.
void map_weights(float* w, float* w_eff, int64_t co, int64_t ci, int64_t out_step,
                 int64_t phase_step, bool up, const PolyphaseFilter& fir, Direction direction) {
  const PhaseMap y[2] = {phase_map(fir.y, up, 0), phase_map(fir.y, up, 1)};
  const PhaseMap x[2] = {phase_map(fir.x, up, 0), phase_map(fir.x, up, 1)};
#pragma omp parallel for schedule(static) if (co * ci * 36 >= kSerialBelow)
  for (int64_t o = 0; o < co; ++o) {
    for (int64_t i = 0; i < ci; ++i) {
      map_kernel(w + (o * ci + i) * 9, w_eff + (o * out_step + i) * 9, phase_step * 9, y, x,
                 direction);
    }
  }
}

}  // namespace

WinogradWeights winograd_weights(const float* w, bool transpose, const WinogradShape& shape,
                                 const PolyphaseFilter* fir) {
  WinogradWeights weights;
  weights.w = w;
  weights.out_channels = shape.co;
  weights.in_channels = shape.ci;
  weights.out_phases = shape.output_depth_to_space ? 4 : 1;
  weights.in_phases = shape.input_space_to_depth ? 4 : 1;
  const bool polyphase = shape.output_depth_to_space || shape.input_space_to_depth;
  const bool folded = polyphase && fir != nullptr;
  const int64_t all_out = shape.co * (folded ? 1 : weights.out_phases);
  const int64_t all_in = shape.ci * (folded ? 1 : weights.in_phases);
  weights.out_stride = transpose ? 9 : all_in * 9;
  weights.in_stride = transpose ? all_out * 9 : 9;
  weights.out_phase_stride = folded ? 0 : shape.co * weights.out_stride;
  weights.in_phase_stride = folded ? 0 : shape.ci * weights.in_stride;
  const bool up = shape.output_depth_to_space != transpose;
  for (int p = 0; p < 2; ++p) {
    joint_transform(weights.matrix_y[p], folded ? phase_map(fir->y, up, p) : identity_map(),
                    transpose);
    joint_transform(weights.matrix_x[p], folded ? phase_map(fir->x, up, p) : identity_map(),
                    transpose);
  }
  return weights;
}

void polyphase_weights_up(float* w_eff, const float* w, int64_t co, int64_t ci,
                          const PolyphaseFilter& fir) {
  map_weights(const_cast<float*>(w), w_eff, co, ci, ci, co * ci, true, fir, Direction::expand);
}
void polyphase_weights_down(float* w_eff, const float* w, int64_t co, int64_t ci,
                            const PolyphaseFilter& fir) {
  map_weights(const_cast<float*>(w), w_eff, co, ci, 4 * ci, ci, false, fir, Direction::expand);
}
void polyphase_weights_up_adjoint(float* dw, const float* dw_eff, int64_t co, int64_t ci,
                                  const PolyphaseFilter& fir) {
  map_weights(dw, const_cast<float*>(dw_eff), co, ci, ci, co * ci, true, fir, Direction::adjoint);
}
void polyphase_weights_down_adjoint(float* dw, const float* dw_eff, int64_t co, int64_t ci,
                                    const PolyphaseFilter& fir) {
  map_weights(dw, const_cast<float*>(dw_eff), co, ci, 4 * ci, ci, false, fir, Direction::adjoint);
}

}  // namespace pygan
