// Takes a call of norm_statistics through the blocks of its planes.
#include "common/scratch.h"
#include "spade_norm/blocks.h"

namespace pygan {
namespace {

template <typename C>
NormMoments moments(const C* x, int64_t n) {
  PYGAN_DISPATCH(norm_moments(x, n));
}
template <typename T, typename C>
void widen(const T* from, int64_t n, C* to) {
  PYGAN_DISPATCH(norm_widen(from, n, 1, to));
}
template <typename T, typename C>
void narrow(const C* from, int64_t n, T* to) {
  PYGAN_DISPATCH(norm_narrow(from, n, to));
}
template <typename C>
void dot(const NormNumbers<C>& p, const C* x, const C* ddx, int64_t n, double* sums) {
  PYGAN_DISPATCH(norm_dot(p, x, ddx, n, sums));
}
template <typename C>
void affine(const NormNumbers<C>& p, const C* x, const C* ddx, C* to, int64_t n, bool stream) {
  PYGAN_DISPATCH(norm_affine(p, x, ddx, static_cast<const C*>(nullptr), to, n, stream));
}

template <typename T>
class NormStatistics {
 public:
  typedef typename Compute<T>::type C;

  explicit NormStatistics(const NormStatisticsCall& call)
      : call_(call),
        shape_(call.shape),
        blocks_(call.shape),
        units_(scratch_.get<Unit>(shape_.units())),
        partial_(scratch_.get<NormMoments>(shape_.planes() * blocks_.count)),
        dots_(call.order < 2 ? nullptr
                             : scratch_.get<double>(2 * shape_.planes() * blocks_.count)) {}

  void run() {
    const auto x_block = norm_stage([&](int64_t plane, int64_t b) { moments_block(plane, b); },
                                    [&](int64_t unit) { moments_of(unit); });
    const auto dx_block =
        norm_stage([&](int64_t plane, int64_t b) { affine_block(plane, b); }, [](int64_t) {});
    if (call_.order == 0) {
      each_unit(shape_, blocks_, x_block);
    } else if (call_.order == 1) {
      if (call_.dx != nullptr) each_unit(shape_, blocks_, x_block, dx_block);
    } else {
      const auto dot_block =
          norm_stage([&](int64_t plane, int64_t b) { this->dot_block(plane, b); },
                     [&](int64_t unit) { dots_of(unit); });
      if (call_.dx != nullptr) {
        each_unit(shape_, blocks_, x_block, dot_block, dx_block);
      } else {
        each_unit(shape_, blocks_, x_block, dot_block);
      }
    }
  }

 private:
  // The mean, and the gradient a + b (x - mean) + c ddx.
  struct Unit {
    double mean, a, b, c;
  };

  const T* in(const void* p, int64_t plane) const {
    return static_cast<const T*>(p) + plane * shape_.plane();
  }
  NormNumbers<C> numbers(int64_t plane) const {
    const Unit& u = units_[shape_.per_sample ? plane : plane % shape_.channels];
    NormNumbers<C> p = {};
    p.dx_scale = 1;
    p.mean = static_cast<C>(u.mean);
    p.scale = 1;
    p.a = static_cast<C>(u.a);
    p.b = static_cast<C>(u.b);
    p.c = static_cast<C>(u.c);
    return p;
  }

  void moments_block(int64_t plane, int64_t block) {
    const int64_t begin = blocks_.begin(block), n = blocks_.end(block) - begin;
    const T* const x = in(call_.x, plane) + begin;
    NormMoments* const to = partial_ + plane * blocks_.count + block;
    if constexpr (sizeof(T) == sizeof(C)) {
      *to = moments(x, n);
    } else {
      alignas(64) C buffer[kNormBlock];
      widen(x, n, buffer);
      *to = moments(buffer, n);
    }
  }

  // Of all blocks together, by their differences to the common mean.
  void moments_of(int64_t unit) {
    const auto values = static_cast<double>(shape_.values());
    const auto each = [&](auto&& body) {
      each_block_of(shape_, blocks_, unit, [&](int64_t plane, int64_t block) {
        const auto n = static_cast<double>(blocks_.end(block) - blocks_.begin(block));
        body(partial_[plane * blocks_.count + block], n);
      });
    };
    // Sums of differences to the first block's mean keep the digits of large means.
    const double shift = partial_[unit_plane(shape_, unit, 0) * blocks_.count].mean;
    double apart = 0, squares = 0;
    each([&](const NormMoments& m, double n) { apart += n * (m.mean - shift); });
    const double mean = shift + apart / values;
    each([&](const NormMoments& m, double n) {
      squares += m.squares + n * (m.mean - mean) * (m.mean - mean);
    });
    Unit& u = units_[unit];
    u = {};
    u.mean = mean;
    if (call_.order == 0) {
      C* const to = static_cast<C*>(call_.statistics);
      to[unit] = static_cast<C>(mean);
      to[shape_.units() + unit] = static_cast<C>(squares / values);
      return;
    }
    const C* const d = static_cast<const C*>(call_.dstatistics);
    const double of_variance = 2 * static_cast<double>(d[shape_.units() + unit]) / values;
    if (call_.order == 1) {
      u.a = static_cast<double>(d[unit]) / values;
      u.b = of_variance;
    } else {
      u.c = of_variance;
    }
  }

  void dot_block(int64_t plane, int64_t block) {
    const NormNumbers<C> p = numbers(plane);
    const T* const x = in(call_.x, plane);
    const T* const ddx = in(call_.ddx, plane);
    double* const to = dots_ + 2 * (plane * blocks_.count + block);
    to[0] = to[1] = 0;
    for (int64_t i = blocks_.begin(block); i < blocks_.end(block); i += kNormStage) {
      const int64_t n = std::min(kNormStage, blocks_.end(block) - i);
      if constexpr (sizeof(T) == sizeof(C)) {
        dot(p, x + i, ddx + i, n, to);
      } else {
        alignas(64) C wide[2][kNormStage];
        widen(x + i, n, wide[0]);
        widen(ddx + i, n, wide[1]);
        dot(p, wide[0], wide[1], n, to);
      }
    }
  }

  void dots_of(int64_t unit) {
    const auto values = static_cast<double>(shape_.values());
    double sums[2] = {0, 0};
    each_block_of(shape_, blocks_, unit, [&](int64_t plane, int64_t block) {
      const double* const from = dots_ + 2 * (plane * blocks_.count + block);
      for (int j = 0; j < 2; ++j) sums[j] += from[j];
    });
    Unit& u = units_[unit];
    u.a = -u.c * sums[0] / values;
    if (call_.statistics == nullptr) return;
    C* const to = static_cast<C*>(call_.statistics);
    to[unit] = static_cast<C>(sums[0] / values);
    to[shape_.units() + unit] = static_cast<C>(2 * sums[1] / values);
  }

  void affine_block(int64_t plane, int64_t block) {
    const NormNumbers<C> p = numbers(plane);
    const bool with_ddx = call_.order == 2;
    const T* const x = in(call_.x, plane);
    const T* const ddx = with_ddx ? in(call_.ddx, plane) : nullptr;
    T* const dx = static_cast<T*>(call_.dx) + plane * shape_.plane();
    const int64_t begin = blocks_.begin(block), end = blocks_.end(block);
    if constexpr (sizeof(T) == sizeof(C)) {
      const bool stream = shape_.size() * static_cast<int64_t>(sizeof(T)) >= kNormStreamBytes;
      affine(p, x + begin, with_ddx ? ddx + begin : nullptr, dx + begin, end - begin, stream);
    } else {
      alignas(64) C wide[2][kNormStage];
      for (int64_t i = begin; i < end; i += kNormStage) {
        const int64_t n = std::min(kNormStage, end - i);
        widen(x + i, n, wide[0]);
        if (with_ddx) widen(ddx + i, n, wide[1]);
        affine<C>(p, wide[0], with_ddx ? wide[1] : nullptr, wide[0], n, false);
        narrow(wide[0], n, dx + i);
      }
    }
  }

  const NormStatisticsCall& call_;
  const NormShape& shape_;
  const NormBlocks blocks_;
  Scratch scratch_;
  Unit* units_;
  NormMoments* partial_;
  double* dots_;
};

}  // namespace

void norm_statistics(const NormStatisticsCall& call) {
  switch (call.storage) {
    case Storage::float64:
      return NormStatistics<double>(call).run();
    case Storage::float16:
      return NormStatistics<float16>(call).run();
    case Storage::bfloat16:
      return NormStatistics<bfloat16>(call).run();
    default:
      return NormStatistics<float>(call).run();
  }
}

}  // namespace pygan
