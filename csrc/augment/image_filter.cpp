// Filters planes, each along its columns and then along its rows, and shares them among threads.
#include "augment/image_filter.h"

#include <algorithm>
#include <vector>

#include "augment/source_map.h"
#include "common/half.h"
#include "common/parallel.h"
#include "common/scratch.h"
#include "upfirdn2d/row_ops.h"

namespace pygan {
namespace {

constexpr int64_t kAlignment = 64;

template <typename C>
const RowSums<C>& best_row_sums() {
  PYGAN_DISPATCH(row_sums<C>());
}
template <typename T>
const RowConversions<T>& best_row_conversions() {
  PYGAN_DISPATCH(row_conversions<T>());
}

int thread_number() {
#if defined(_OPENMP)
  return omp_get_thread_num();
#else
  return 0;
#endif
}

bool changes_nothing(const double* taps, int64_t k) {
  for (int64_t a = 0; a < k; ++a) {
    if (taps[a] != (a == k / 2 ? 1.0 : 0.0)) return false;
  }
  return true;
}

// What one pixel of an axis is a sum of: pixels in ascending order, each with the sum of the taps
// through which it is seen, directly and by reflection.
template <typename C>
struct AxisTerm {
  int64_t pixel;
  C weight;
};

// One call, forward or transposed.
template <typename T, bool Transposed>
class Filter {
 public:
  typedef typename Compute<T>::type C;

  Filter(T* out, const T* in, const double* taps, const ImageFilterParams& params)
      : out_(out), in_(in), taps_(taps), params_(params), reach_(params.taps / 2) {
    const auto room = [](int64_t count, size_t size) {
      return (count * static_cast<int64_t>(size) + kAlignment - 1) / kAlignment * kAlignment;
    };
    const int64_t width = params.width;
    plane_bytes_ = kInPlace ? 0 : room(params.height * width, sizeof(C));
    row_bytes_ = room(width + 4 * reach_, sizeof(C));
    term_bytes_ = room(params.taps + params.height, sizeof(Term<C>));
    weight_bytes_ = room(params.height, sizeof(double));
    bytes_ = plane_bytes_ + 2 * row_bytes_ + term_bytes_ + weight_bytes_;
  }

  void run() {
    const int64_t work = params_.size() * params_.taps;
    const int threads = work < 4 * kSerialBelow ? 1 : max_threads();
    const int64_t planes = params_.samples * params_.channels;
    Scratch scratch;
    char* const workspaces = static_cast<char*>(scratch.bytes(bytes_ * threads));
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t plane = 0; plane < planes; ++plane) {
      const int64_t size = params_.height * params_.width;
      run_plane(out_ + plane * size, in_ + plane * size,
                taps_ + plane / params_.channels * params_.taps,
                workspaces + thread_number() * bytes_);
    }
  }

 private:
  static constexpr bool kInPlace = sizeof(T) == sizeof(C);

  void run_plane(T* out, const T* in, const double* taps, char* workspace) {
    const int64_t height = params_.height, width = params_.width;
    if (changes_nothing(taps, params_.taps)) {
      std::copy(in, in + height * width, out);
      return;
    }
    const C* plane = reinterpret_cast<const C*>(in);
    if (!kInPlace) {
      C* const converted = reinterpret_cast<C*>(workspace);
      best_row_conversions<T>().read(converted, in, height * width);
      plane = converted;
    }
    workspace += plane_bytes_;
    C* const row = reinterpret_cast<C*>(workspace) + reach_;
    C* const other_row = reinterpret_cast<C*>(workspace + row_bytes_);
    Term<C>* const terms = reinterpret_cast<Term<C>*>(workspace + 2 * row_bytes_);
    double* const weights = reinterpret_cast<double*>(workspace + 2 * row_bytes_ + term_bytes_);
    std::fill(weights, weights + height, 0.0);
    for (int64_t i = 0; i < height; ++i) {
      const int n = rows_for(i, plane, taps, terms, weights);
      if (Transposed) {
        // Between zeros, which are what is seen of dy beyond its borders.
        std::fill(row - reach_, row + reach_, C{0});
        C* const inner = row + reach_;
        best_row_sums<C>().sum(inner, terms, n, width, false);
        std::fill(inner + width, inner + width + 2 * reach_, C{0});
        filter_row_transposed(out + i * width, other_row, inner, taps, terms);
      } else {
        best_row_sums<C>().sum(row, terms, n, width, false);
        filter_row(out + i * width, other_row, row, taps, terms);
      }
    }
  }

  // The terms of row i along the columns; `weights` is zero, and left so.
  int rows_for(int64_t i, const C* plane, const double* taps, Term<C>* terms, double* weights) {
    const int64_t height = params_.height, k = params_.taps;
    int64_t low = height, high = -1;
    const auto see = [&](int64_t pixel, double tap) {
      weights[pixel] += tap;
      low = std::min(low, pixel);
      high = std::max(high, pixel);
    };
    if (!Transposed) {
      for (int64_t a = 0; a < k; ++a) see(reflect(i + a - reach_, height), taps[a]);
    } else {
      // Row i of x is seen from row p - a + reach_ wherever it continues the image at p.
      const int64_t period = std::max<int64_t>(1, 2 * (height - 1));
      const int64_t first = -reach_, last = height - 1 + reach_;
      for (int64_t side = 0; side < (i == 0 || 2 * i == period ? 1 : 2); ++side) {
        const int64_t place = side == 0 ? i : -i;
        const int64_t offset = ((place - first) % period + period) % period;
        for (int64_t p = first + offset; p <= last; p += period) {
          const int64_t begin = std::max<int64_t>(0, p + reach_ - (height - 1));
          const int64_t end = std::min(k, p + reach_ + 1);
          for (int64_t a = begin; a < end; ++a) see(p - a + reach_, taps[a]);
        }
      }
    }
    int n = 0;
    for (int64_t pixel = low; pixel <= high; ++pixel) {
      terms[n++] = {plane + pixel * params_.width, static_cast<C>(weights[pixel])};
      weights[pixel] = 0;
    }
    return n;
  }

  // Along a row, which has room for reach_ pixels before and behind it.
  void filter_row(T* out, C* made, C* row, const double* taps, Term<C>* terms) {
    const int64_t width = params_.width;
    for (int64_t c = 1; c <= reach_; ++c) {
      row[-c] = row[reflect(-c, width)];
      row[width - 1 + c] = row[reflect(width - 1 + c, width)];
    }
    for (int64_t a = 0; a < params_.taps; ++a) {
      terms[a] = {row + a - reach_, static_cast<C>(taps[a])};
    }
    C* const to = kInPlace ? reinterpret_cast<C*>(out) : made;
    best_row_sums<C>().sum(to, terms, static_cast<int>(params_.taps), width, false);
    if (!kInPlace) best_row_conversions<T>().write(out, made, width);
  }

  // Along a row between 2 * reach_ zeros: of the continued row, whose ends are then folded back.
  void filter_row_transposed(T* out, C* made, const C* row, const double* taps, Term<C>* terms) {
    const int64_t width = params_.width;
    for (int64_t a = 0; a < params_.taps; ++a) {
      terms[a] = {row - a, static_cast<C>(taps[a])};
    }
    // made[reach_ + p] = sum over a of taps[a] * row[p - a + reach_]
    best_row_sums<C>().sum(made, terms, static_cast<int>(params_.taps), width + 2 * reach_, false);
    C* const inner = made + reach_;
    for (int64_t c = 1; c <= reach_; ++c) {
      inner[reflect(-c, width)] += inner[-c];
      inner[reflect(width - 1 + c, width)] += inner[width - 1 + c];
    }
    best_row_conversions<T>().write(out, inner, width);
  }

  T* const out_;
  const T* const in_;
  const double* const taps_;
  const ImageFilterParams params_;
  const int64_t reach_;
  int64_t plane_bytes_, row_bytes_, term_bytes_, weight_bytes_, bytes_;
};

}  // namespace

template <typename T>
void image_filter(T* y, const T* x, const double* taps, const ImageFilterParams& params) {
  if (params.size() != 0) Filter<T, false>(y, x, taps, params).run();
}

template <typename T>
void image_filter_transposed(T* dx, const T* dy, const double* taps,
                             const ImageFilterParams& params) {
  if (params.size() != 0) Filter<T, true>(dx, dy, taps, params).run();
}

#define PYGAN_INSTANTIATE(T)                                                         \
  template void image_filter(T*, const T*, const double*, const ImageFilterParams&); \
  template void image_filter_transposed(T*, const T*, const double*, const ImageFilterParams&);
PYGAN_INSTANTIATE(float)
PYGAN_INSTANTIATE(double)
PYGAN_INSTANTIATE(float16)
PYGAN_INSTANTIATE(bfloat16)
#undef PYGAN_INSTANTIATE

}  // namespace pygan
