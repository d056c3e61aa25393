// Takes a call of spade_norm through the blocks of its planes, and adds up what does not vary.
#include "spade_norm/spade_norm.h"

#include <cmath>

#include "common/scratch.h"
#include "spade_norm/blocks.h"

namespace pygan {
namespace {

// A unit's gradient of x is kept in float until its sums are known if it has at most this many
// bytes; else it is computed twice.
constexpr int64_t kKeptBytes = 4 << 20;

int thread_number() {
#if defined(_OPENMP)
  return omp_get_thread_num();
#else
  return 0;
#endif
}

template <typename C>
NormSweep<C> choose_sweep(int order, bool linear) {
  switch (order) {
    case 0:
      PYGAN_DISPATCH(norm_forward_sweep<C>(linear));
    case 1:
      PYGAN_DISPATCH(norm_backward_sweep<C>(linear));
    default:
      PYGAN_DISPATCH(norm_second_order_sweep<C>(linear));
  }
}
template <typename T, typename C>
void widen(const T* from, int64_t n, int repeat, C* to) {
  PYGAN_DISPATCH(norm_widen(from, n, repeat, to));
}
template <typename T, typename C>
void narrow(const C* from, int64_t n, T* to) {
  PYGAN_DISPATCH(norm_narrow(from, n, to));
}
template <typename C>
void fold(const C* top, const C* bottom, int64_t n, C* to) {
  PYGAN_DISPATCH(norm_fold(top, bottom, n, to));
}
template <typename C>
void dot(const NormNumbers<C>& p, const C* x, const C* ddx, int64_t n, double* sums) {
  PYGAN_DISPATCH(norm_dot(p, x, ddx, n, sums));
}
template <typename C>
void affine(const NormNumbers<C>& p, const C* x, const C* from, C* to, int64_t n, bool stream) {
  PYGAN_DISPATCH(norm_affine(p, x, static_cast<const C*>(nullptr), from, to, n, stream));
}

template <typename T>
class SpadeNorm {
 public:
  typedef typename Compute<T>::type C;

  explicit SpadeNorm(const SpadeNormCall& call)
      : call_(call),
        shape_(call.shape),
        blocks_(call.shape),
        sweep_(choose_sweep<C>(call.order, call.slope == 1)),
        units_(scratch_.get<Unit>(shape_.units())),
        partial_(call.order == 0 ? nullptr
                                 : scratch_.get<NormSums>(shape_.planes() * blocks_.count)),
        plane_sums_(call.order == 0 ? nullptr : scratch_.get<NormSums>(shape_.planes())) {
    const int64_t bytes = shape_.planes() * shape_.out_plane() * static_cast<int64_t>(sizeof(T));
    stream_ = bytes >= kNormStreamBytes;
    for (int64_t unit = 0; unit < shape_.units(); ++unit) {
      Unit& u = units_[unit];
      const auto variance = static_cast<double>(static_cast<const C*>(call.variance)[unit]);
      u = {};
      u.scale = 1 / std::sqrt(variance + call.epsilon);
      u.mean = static_cast<const C*>(call.mean)[unit];
      u.dx_scale = dx_scale(u);
      u.ddmean = u.scale * value(call.ddmean, unit);
      u.ddvariance = u.scale * u.scale / 2 * value(call.ddvariance, unit);
    }
  }

  void run() {
    if (call_.order == 0) {
      each_block(shape_, blocks_, [&](int64_t plane, int64_t block) {
        NormSums sums = {};
        sweep(sweep_, plane, block, all(plane), nullptr, {stream_, false}, &sums);
      });
    } else if (call_.own_statistics && call_.order == 2) {
      own_second_order();
    } else if (call_.own_statistics && call_.dx != nullptr) {
      own_first_order();
    } else {
      each_block(shape_, blocks_, [&](int64_t plane, int64_t block) {
        gradient_block(sweep_, plane, block, kEverything, nullptr);
      });
      for (int64_t unit = 0; unit < shape_.units(); ++unit) add_up(unit);
      finish();
    }
  }

 private:
  // What a statistic is known by and gathers.
  struct Unit {
    double mean, scale, ddmean, ddvariance;
    double a, b, c, dx_scale;
    NormSums sums;
    double dot[2];
  };

  // One value is normalised to 0, whatever it is.
  double dx_scale(const Unit& u) const {
    return call_.own_statistics && shape_.values() == 1 ? 0 : u.scale;
  }
  static double value(const void* p, int64_t i) {
    return p == nullptr ? 0 : static_cast<double>(static_cast<const C*>(p)[i]);
  }
  static C value(const NormMap<const void*>& map, int64_t at) {
    return map.data == nullptr || map.is_map ? C(0)
                                             : C(to_float(static_cast<const T*>(map.data)[at]));
  }
  int64_t unit_of(int64_t plane) const {
    return shape_.per_sample ? plane : plane % shape_.channels;
  }
  template <typename Pointer>
  int64_t place(const NormMap<Pointer>& map, int64_t plane) const {
    return plane / shape_.channels * map.sample + plane % shape_.channels * map.channel;
  }

  NormNumbers<C> numbers(int64_t plane) const {
    const Unit& u = units_[unit_of(plane)];
    NormNumbers<C> p = {};
    p.mean = static_cast<C>(u.mean);
    p.scale = static_cast<C>(u.scale);
    p.slope = static_cast<C>(call_.slope);
    p.gamma = value(call_.gamma, place(call_.gamma, plane));
    p.beta = value(call_.beta, place(call_.beta, plane));
    p.ddgamma = value(call_.ddgamma, place(call_.ddgamma, plane));
    p.ddbeta = value(call_.ddbeta, place(call_.ddbeta, plane));
    p.ddmean = static_cast<C>(u.ddmean);
    p.ddvariance = static_cast<C>(u.ddvariance);
    p.a = static_cast<C>(u.a);
    p.b = static_cast<C>(u.b);
    p.c = static_cast<C>(u.c);
    p.dx_scale = static_cast<C>(u.dx_scale);
    return p;
  }

  const T* map_of(const NormMap<const void*>& map, int64_t plane) const {
    return map.data == nullptr || !map.is_map ? nullptr
                                              : static_cast<const T*>(map.data) + place(map, plane);
  }
  T* map_of(const NormMap<void*>& map, int64_t plane) const {
    return map.data == nullptr || !map.is_map ? nullptr
                                              : static_cast<T*>(map.data) + place(map, plane);
  }
  template <typename Pointer>
  static auto at(Pointer p, int64_t n) {
    typedef std::conditional_t<std::is_same_v<Pointer, void*>, T, const T> S;
    return p == nullptr ? nullptr : static_cast<S*>(p) + n;
  }

  // A plane's operands and results.
  NormElements<T> all(int64_t plane) const {
    const int64_t in = plane * shape_.plane(), out = plane * shape_.out_plane();
    return {at(call_.x, in),
            map_of(call_.gamma, plane),
            map_of(call_.beta, plane),
            at(call_.dy, out),
            at(call_.ddx, in),
            map_of(call_.ddgamma, plane),
            map_of(call_.ddbeta, plane),
            at(call_.out, out),
            at(call_.dx, in),
            map_of(call_.dgamma, plane),
            map_of(call_.dbeta, plane)};
  }

  void sweep(NormSweep<C> with, int64_t plane, int64_t block, const NormElements<T>& e, C* kept,
             NormStream stream, NormSums* sums) const;
  void sweep_staged(NormSweep<C> with, const NormNumbers<C>& p, const NormElements<T>& e,
                    int64_t begin, int64_t end, C* kept, NormStream stream, NormSums* sums) const;

  enum Wanted { kEverything, kMaps, kSums };

  // Gradients of a block, into the results that are wanted or, those of x, into `kept`.
  void gradient_block(NormSweep<C> with, int64_t plane, int64_t block, Wanted wanted, C* kept) {
    NormElements<T> e = all(plane);
    if (wanted != kEverything) e.dx = nullptr;
    if (wanted == kSums) e.out = e.dgamma = e.dbeta = nullptr;
    NormSums sums = {};
    sweep(with, plane, block, e, kept, {stream_, stream_}, &sums);
    partial_[plane * blocks_.count + block] = sums;
  }

  // The gradient of x alone.
  void dx_block(int64_t plane, int64_t block) {
    NormElements<T> e = all(plane);
    if (e.dx == nullptr) return;
    e.out = e.dgamma = e.dbeta = nullptr;
    NormSums sums = {};
    sweep(sweep_, plane, block, e, nullptr, {false, stream_}, &sums);
  }

  // The sums of a unit's planes, and of the unit.
  void add_up(int64_t unit) {
    NormSums total = {};
    for (int64_t index = 0; index < shape_.unit_planes(); ++index) {
      const int64_t plane = unit_plane(shape_, unit, index);
      NormSums sums = {};
      for (int64_t block = 0; block < blocks_.count; ++block) {
        const NormSums& part = partial_[plane * blocks_.count + block];
        for (int j = 0; j < NormSums::kCount; ++j) sums.s[j] += part.s[j];
      }
      plane_sums_[plane] = sums;
      for (int j = 0; j < NormSums::kCount; ++j) total.s[j] += sums.s[j];
    }
    units_[unit].sums = total;
  }

  void own_first_order();
  void own_second_order();
  void finish();
  void put_sums(const NormMap<void*>& map, int which);

  const SpadeNormCall& call_;
  const NormShape& shape_;
  const NormBlocks blocks_;
  Scratch scratch_;
  NormSweep<C> sweep_;
  Unit* units_;
  NormSums* partial_;
  NormSums* plane_sums_;
  bool stream_;
};

template <typename T>
void SpadeNorm<T>::sweep(NormSweep<C> with, int64_t plane, int64_t block, const NormElements<T>& e,
                         C* kept, NormStream stream, NormSums* sums) const {
  const NormNumbers<C> p = numbers(plane);
  const int64_t begin = blocks_.begin(block), end = blocks_.end(block);
  if constexpr (sizeof(T) == sizeof(C)) {
    if (shape_.upsample == 1) {
      NormElements<C> moved = e;
      norm_skip(&moved.x, begin);
      norm_skip(&moved.gamma, begin);
      norm_skip(&moved.beta, begin);
      norm_skip(&moved.dy, begin);
      norm_skip(&moved.ddx, begin);
      norm_skip(&moved.ddgamma, begin);
      norm_skip(&moved.ddbeta, begin);
      norm_skip(&moved.out, begin);
      norm_skip(&moved.dx, begin);
      norm_skip(&moved.dgamma, begin);
      norm_skip(&moved.dbeta, begin);
      if (kept != nullptr) {
        moved.dx = kept + begin;
        stream.dx = false;
      }
      with(p, moved, end - begin, stream, sums);
      return;
    }
  }
  sweep_staged(with, p, e, begin, end, kept, stream, sums);
}

// By way of buffers of C: of x enlarged, of everything that is stored in another type.
template <typename T>
void SpadeNorm<T>::sweep_staged(NormSweep<C> with, const NormNumbers<C>& p,
                                const NormElements<T>& e, int64_t begin, int64_t end, C* kept,
                                NormStream stream, NormSums* sums) const {
  constexpr bool kDirect = sizeof(T) == sizeof(C);
  const int up = shape_.upsample;
  const bool wants_dx = e.dx != nullptr || kept != nullptr;
  // The constants of dx are for an element of x, of which there are copies.
  NormNumbers<C> numbers = p;
  numbers.a /= C(up * up);
  numbers.b /= C(up * up);
  numbers.c /= C(up * up);
  stream.dx = false;
  if (!kDirect) stream.maps = false;  // buffers are to stay in the cache
  alignas(64) C x[kNormStage], ddx[kNormStage], dx[2][kNormStage];
  alignas(64) C in[5][kNormStage], out[3][kNormStage];
  const auto read = [](C* buffer, const T* from, int64_t at, int64_t n) -> const C* {
    if (from == nullptr) return nullptr;
    if constexpr (kDirect) {
      return from + at;
    } else {
      widen(from + at, n, 1, buffer);
      return buffer;
    }
  };
  const auto target = [](C* buffer, T* to, int64_t at) -> C* {
    if (to == nullptr) return nullptr;
    if constexpr (kDirect) {
      return to + at;
    } else {
      return buffer;
    }
  };
  const auto write = [](const C* buffer, T* to, int64_t at, int64_t n) {
    if constexpr (!kDirect) {
      if (to != nullptr) narrow(buffer, n, to + at);
    }
  };
  for (int64_t i = begin; i < end;) {
    const int64_t row = i / blocks_.width, column = i % blocks_.width;
    int64_t n = std::min(kNormStage / up, end - i);
    if (up == 2) n = std::min(n, blocks_.width - column);
    const int64_t length = up * n;
    widen(e.x + i, n, up, x);
    if (e.ddx != nullptr) widen(e.ddx + i, n, up, ddx);
    for (int r = 0; r < up; ++r) {
      const int64_t o = up == 1 ? i : 2 * ((2 * row + r) * blocks_.width + column);
      const NormElements<C> staged = {x,
                                      read(in[0], e.gamma, o, length),
                                      read(in[1], e.beta, o, length),
                                      read(in[2], e.dy, o, length),
                                      e.ddx == nullptr ? nullptr : ddx,
                                      read(in[3], e.ddgamma, o, length),
                                      read(in[4], e.ddbeta, o, length),
                                      target(out[0], e.out, o),
                                      wants_dx ? dx[r] : nullptr,
                                      target(out[1], e.dgamma, o),
                                      target(out[2], e.dbeta, o)};
      with(numbers, staged, length, stream, sums);
      write(out[0], e.out, o, length);
      write(out[1], e.dgamma, o, length);
      write(out[2], e.dbeta, o, length);
    }
    if (wants_dx) {
      if (up == 2) fold(dx[0], dx[1], n, dx[0]);
      if (kept != nullptr) {
        std::copy(dx[0], dx[0] + n, kept + i);
      } else {
        narrow(dx[0], n, e.dx + i);
      }
    }
    i += n;
  }
}

// With S the sums over a unit of e (1 + gamma) and of that times normal, over the M values of x:
//
//   dx = scale (e (1 + gamma) - S[0] / M - normal S[1] / M)
template <typename T>
void SpadeNorm<T>::own_first_order() {
  const auto values = static_cast<double>(shape_.values());
  const auto constants = [&](int64_t unit) {
    add_up(unit);
    Unit& u = units_[unit];
    u.a = -u.sums.s[NormSums::kQ] / values;
    u.b = -u.sums.s[NormSums::kQNormal] / values;
    u.dx_scale = dx_scale(u);
  };
  const int64_t bytes = shape_.values() * static_cast<int64_t>(sizeof(C));
  if (bytes > kKeptBytes) {
    each_unit(
        shape_, blocks_,
        norm_stage([&](int64_t plane,
                       int64_t block) { gradient_block(sweep_, plane, block, kMaps, nullptr); },
                   constants),
        norm_stage([&](int64_t plane, int64_t block) { dx_block(plane, block); }, [](int64_t) {}));
    return finish();
  }
  // Every thread keeps its unit's gradient; or, where threads share the few units, all are kept.
  // How the gradient is rounded must not depend on the threads.
  const bool share = share_units(shape_);
  C* const kept = scratch_.get<C>(shape_.values() * (share ? max_threads() : shape_.units()));
  const auto kept_plane = [&](int64_t plane) {
    const int64_t index = shape_.per_sample ? 0 : plane / shape_.channels;
    const int64_t slot = share ? thread_number() : unit_of(plane);
    return kept + slot * shape_.values() + index * shape_.plane();
  };
  for (int64_t unit = 0; unit < shape_.units(); ++unit) units_[unit].dx_scale = 1;  // as yet
  each_unit(shape_, blocks_,
            norm_stage(
                [&](int64_t plane, int64_t block) {
                  gradient_block(sweep_, plane, block, kEverything, kept_plane(plane));
                },
                constants),
            norm_stage(
                [&](int64_t plane, int64_t block) {
                  const NormNumbers<C> p = numbers(plane);
                  const NormElements<T> e = all(plane);
                  const C* const from = kept_plane(plane);
                  const int64_t begin = blocks_.begin(block), end = blocks_.end(block);
                  if constexpr (sizeof(T) == sizeof(C)) {
                    affine(p, e.x + begin, from + begin, e.dx + begin, end - begin, stream_);
                  } else {
                    for (int64_t i = begin; i < end; i += kNormStage) {
                      alignas(64) C x[kNormStage];
                      const int64_t n = std::min(kNormStage, end - i);
                      widen(e.x + i, n, 1, x);
                      affine(p, x, from + i, x, n, false);
                      narrow(x, n, e.dx + i);
                    }
                  }
                },
                [](int64_t) {}));
  finish();
}

// The gradients of mean and variance that dx holds by way of the statistics have the cotangents
// sum(ddx) / M and 2 sum(ddx (x - mean)) / M. What of <ddx, dx> depends on x by way of them
// follows.
template <typename T>
void SpadeNorm<T>::own_second_order() {
  const auto values = static_cast<double>(shape_.values());
  const NormSweep<C> first = choose_sweep<C>(1, call_.slope == 1);
  double* const dots = scratch_.get<double>(2 * shape_.planes() * blocks_.count);
  const auto first_block = [&](int64_t plane, int64_t block) {
    gradient_block(first, plane, block, kSums, nullptr);
    double* const to = dots + 2 * (plane * blocks_.count + block);
    to[0] = to[1] = 0;
    if (call_.ddx == nullptr) return;
    const NormNumbers<C> p = numbers(plane);
    const NormElements<T> e = all(plane);
    for (int64_t i = blocks_.begin(block); i < blocks_.end(block); i += kNormStage) {
      const int64_t n = std::min(kNormStage, blocks_.end(block) - i);
      if constexpr (sizeof(T) == sizeof(C)) {
        dot(p, e.x + i, e.ddx + i, n, to);
      } else {
        alignas(64) C x[kNormStage], ddx[kNormStage];
        widen(e.x + i, n, 1, x);
        widen(e.ddx + i, n, 1, ddx);
        dot(p, x, ddx, n, to);
      }
    }
  };
  const auto first_sums = [&](int64_t unit) {
    add_up(unit);
    Unit& u = units_[unit];
    for (int64_t index = 0; index < shape_.unit_planes(); ++index) {
      const double* const from = dots + 2 * unit_plane(shape_, unit, index) * blocks_.count;
      for (int64_t block = 0; block < blocks_.count; ++block) {
        for (int j = 0; j < 2; ++j) u.dot[j] += from[2 * block + j];
      }
    }
    u.ddmean = u.scale * u.dot[0] / values;
    u.ddvariance = u.scale * u.dot[1] / values;
    u.c = -u.scale * u.scale * u.sums.s[NormSums::kQNormal] / values;  // 2 dvariance / M
  };
  const auto second_block = [&](int64_t plane, int64_t block) {
    gradient_block(sweep_, plane, block, kMaps, nullptr);
  };
  const auto second_sums = [&](int64_t unit) {
    add_up(unit);
    Unit& u = units_[unit];
    u.a = -(u.sums.s[NormSums::kX] + u.c * u.dot[0]) / values;
    u.b = -u.scale * u.sums.s[NormSums::kScale] / values;
  };
  each_unit(
      shape_, blocks_, norm_stage(first_block, first_sums), norm_stage(second_block, second_sums),
      norm_stage([&](int64_t plane, int64_t block) { dx_block(plane, block); }, [](int64_t) {}));
  finish();
}

// What does not vary over a plane: the gradients of statistics, and of gamma and beta that are no
// maps.
template <typename T>
void SpadeNorm<T>::finish() {
  const bool first = call_.order == 1;
  if (!call_.own_statistics) {
    for (int64_t unit = 0; unit < shape_.units(); ++unit) {
      const Unit& u = units_[unit];
      const double of_mean = first ? u.scale * u.sums.s[NormSums::kQ] : u.sums.s[NormSums::kX];
      const double of_scale = u.sums.s[first ? NormSums::kQNormal : NormSums::kScale];
      if (call_.dmean != nullptr) static_cast<C*>(call_.dmean)[unit] = static_cast<C>(-of_mean);
      if (call_.dvariance != nullptr) {
        static_cast<C*>(call_.dvariance)[unit] = static_cast<C>(-u.scale * u.scale / 2 * of_scale);
      }
    }
  }
  put_sums(call_.dgamma, first ? NormSums::kENormal : NormSums::kGamma);
  put_sums(call_.dbeta, first ? NormSums::kE : -1);
}

// One of the planes' sums (-1: zeros) where it belongs, over the samples if they share it.
template <typename T>
void SpadeNorm<T>::put_sums(const NormMap<void*>& map, int which) {
  if (map.data == nullptr || map.is_map) return;
  const int64_t samples = map.sample == 0 ? 1 : shape_.samples;
  for (int64_t n = 0; n < samples; ++n) {
    for (int64_t c = 0; c < shape_.channels; ++c) {
      double sum = 0;
      for (int64_t i = n; i < (map.sample == 0 ? shape_.samples : n + 1); ++i) {
        if (which >= 0) sum += plane_sums_[i * shape_.channels + c].s[which];
      }
      from_float(static_cast<C>(sum), static_cast<T*>(map.data) + n * map.sample + c * map.channel);
    }
  }
}

}  // namespace

void spade_norm(const SpadeNormCall& call) {
  switch (call.storage) {
    case Storage::float64:
      return SpadeNorm<double>(call).run();
    case Storage::float16:
      return SpadeNorm<float16>(call).run();
    case Storage::bfloat16:
      return SpadeNorm<bfloat16>(call).run();
    default:
      return SpadeNorm<float>(call).run();
  }
}

}  // namespace pygan
