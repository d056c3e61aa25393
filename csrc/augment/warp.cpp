// Shares a warp's samples among the threads: exact ones are gathered, the others go tile by tile.
#include "augment/warp.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "augment/source_map.h"
#include "augment/warp_tile.h"
#include "common/half.h"
#include "common/parallel.h"
#include "common/scratch.h"
#include "upfirdn2d/row_ops.h"

namespace pygan {
namespace {

enum class Way { nothing, copied, gathered, filtered };

struct Sample {
  SourceMap map;
  Way way;
};

int thread_number() {
#if defined(_OPENMP)
  return omp_get_thread_num();
#else
  return 0;
#endif
}

template <typename T>
void write_row(T* dst, const typename Compute<T>::type* src, int64_t size) {
  PYGAN_DISPATCH(row_conversions<T>().write(dst, src, size));
}

bool is_identity(const SourceMap& map) {
  return map.xx == 1 && map.yy == 1 && map.x0 == 0 && map.y0 == 0;
}

Sample sample_of(const double* matrix, const WarpParams& params) {
  Sample sample = {source_map(matrix, params.height, params.width), Way::filtered};
  if (!is_bounded(sample.map, params.height, params.width)) {
    sample.way = Way::nothing;
  } else if (is_exact(sample.map)) {
    sample.way = is_identity(sample.map) ? Way::copied : Way::gathered;
  }
  return sample;
}

template <typename T>
void fill_with_nan(T* plane, int64_t size) {
  T nan;
  from_float(std::numeric_limits<typename Compute<T>::type>::quiet_NaN(), &nan);
  std::fill(plane, plane + size, nan);
}

// An exact map: pixel (j, i) of the result is pixel rows[i] + columns[j] of the plane.
struct Gather {
  int64_t* rows;
  int64_t* columns;

  Gather(const SourceMap& map, const WarpParams& params, void* workspace) {
    rows = static_cast<int64_t*>(workspace);
    columns = rows + params.height;
    const bool turned = map.xx == 0;
    const auto x0 = static_cast<int64_t>(map.x0), y0 = static_cast<int64_t>(map.y0);
    const int64_t of_x = static_cast<int64_t>(turned ? map.xy : map.xx);
    const int64_t of_y = static_cast<int64_t>(turned ? map.yx : map.yy);
    int64_t* const along_x = turned ? rows : columns;
    int64_t* const along_y = turned ? columns : rows;
    const int64_t count_x = turned ? params.height : params.width;
    const int64_t count_y = turned ? params.width : params.height;
    for (int64_t k = 0; k < count_x; ++k) along_x[k] = reflect(of_x * k + x0, params.width);
    for (int64_t k = 0; k < count_y; ++k) {
      along_y[k] = reflect(of_y * k + y0, params.height) * params.width;
    }
  }

  static size_t bytes(const WarpParams& params) {
    return sizeof(int64_t) * static_cast<size_t>(params.height + params.width);
  }
};

// One call, forward or transposed.
template <typename T, bool Transposed>
class Warp {
 public:
  typedef typename Compute<T>::type C;

  Warp(T* out, const T* in, const double* matrices, const WarpParams& params)
      : out_(out), in_(in), params_(params), plane_(params.height * params.width) {
    samples_.reserve(static_cast<size_t>(params.samples));
    for (int64_t n = 0; n < params.samples; ++n) {
      samples_.push_back(sample_of(matrices + n * kMatrixSize, params));
      const Sample& sample = samples_.back();
      if (sample.way == Way::filtered) {
        workspace_ = std::max(workspace_, WarpPasses<T>::bytes(sample.map, params));
      } else if (sample.way == Way::gathered) {
        workspace_ = std::max(workspace_, Gather::bytes(params));
      }
    }
    workspace_ = (workspace_ + kAlignment - 1) / kAlignment * kAlignment;
    if (kSums) sums_ = static_cast<size_t>(plane_ + kAlignment) / kAlignment * kAlignment;
  }

  void run() {
    const int threads = params_.size() < kSerialBelow / 4 ? 1 : max_threads();
    // The channels of a sample share the positions of their points, if that leaves enough to share
    // among the threads; where results are summed up beside them, there is room for one.
    const bool together = !kSums && (threads == 1 || params_.samples >= 4 * int64_t{threads});
    const int64_t group = together ? params_.channels : 1;
    const int64_t groups = params_.channels / group;
    const size_t room = workspace_ + sums_ * sizeof(C);
    Scratch scratch;
    char* const workspaces = static_cast<char*>(scratch.bytes(room * threads));
#pragma omp parallel for schedule(static, 1) num_threads(threads) if (threads > 1)
    for (int64_t task = 0; task < params_.samples * groups; ++task) {
      const int64_t n = task / groups, first = task % groups * group;
      run_planes(samples_[n], n * params_.channels + first, group,
                 workspaces + thread_number() * room);
    }
  }

 private:
  static constexpr size_t kAlignment = 64;
  // Whether the transposed operator sums up in another type than it writes.
  static constexpr bool kSums = Transposed && sizeof(T) != sizeof(C);

  void run_planes(const Sample& sample, int64_t first, int64_t count, char* workspace) {
    T* const out = out_ + first * plane_;
    const T* const in = in_ + first * plane_;
    const int64_t size = count * plane_;
    if (sample.way == Way::nothing) return fill_with_nan(out, size);
    if (sample.way == Way::copied) {
      std::copy(in, in + size, out);
      return;
    }
    C* const sums =
        kSums ? reinterpret_cast<C*>(workspace + workspace_) : reinterpret_cast<C*>(out);
    if (Transposed) std::fill(sums, sums + size, C{0});
    if (sample.way == Way::gathered) {
      const Gather gather(sample.map, params_, workspace);
      for (int64_t c = 0; c < count; ++c) {
        gather_plane(gather, out + c * plane_, sums + c * plane_, in + c * plane_);
      }
    } else {
      filter_planes(sample.map, out, sums, in, count, workspace);
    }
    if (kSums) write_row(out, sums, size);
  }

  void gather_plane(const Gather& gather, T* out, C* sums, const T* in) {
    for (int64_t i = 0; i < params_.height; ++i) {
      const int64_t row = gather.rows[i];
      for (int64_t j = 0; j < params_.width; ++j) {
        const int64_t at = i * params_.width + j, source = row + gather.columns[j];
        if (Transposed) {
          sums[source] += to_float(in[at]);
        } else {
          out[at] = in[source];
        }
      }
    }
  }

  void filter_planes(const SourceMap& map, T* out, C* sums, const T* in, int64_t count,
                     char* workspace) {
    WarpPasses<T> passes(map, params_, workspace);
    for (int64_t top = 0; top < params_.height; top += kWarpTile) {
      for (int64_t left = 0; left < params_.width; left += kWarpTile) {
        passes.place({top, std::min(top + kWarpTile, params_.height), left,
                      std::min(left + kWarpTile, params_.width)});
        for (int64_t c = 0; c < count; ++c) {
          if (Transposed) {
            passes.backward(sums + c * plane_, in + c * plane_);
          } else {
            passes.forward(out + c * plane_, in + c * plane_);
          }
        }
      }
    }
  }

  T* const out_;
  const T* const in_;
  const WarpParams params_;
  const int64_t plane_;
  std::vector<Sample> samples_;
  size_t workspace_ = 0;  // bytes of a thread, without
  size_t sums_ = 0;       // elements in which it sums up a plane
};

}  // namespace

template <typename T>
void warp(T* y, const T* x, const double* matrices, const WarpParams& params) {
  if (params.size() != 0) Warp<T, false>(y, x, matrices, params).run();
}

template <typename T>
void warp_transposed(T* dx, const T* dy, const double* matrices, const WarpParams& params) {
  if (params.size() != 0) Warp<T, true>(dx, dy, matrices, params).run();
}

#define PYGAN_INSTANTIATE(T)                                          \
  template void warp(T*, const T*, const double*, const WarpParams&); \
  template void warp_transposed(T*, const T*, const double*, const WarpParams&);
PYGAN_INSTANTIATE(float)
PYGAN_INSTANTIATE(double)
PYGAN_INSTANTIATE(float16)
PYGAN_INSTANTIATE(bfloat16)
#undef PYGAN_INSTANTIATE

}  // namespace pygan
