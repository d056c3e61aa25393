// Cuts a bias_act call into runs, shares them among threads, and adds up the parameters' gradients.
#include "bias_act/bias_act.h"

#include <algorithm>
#include <limits>

#include "bias_act/run.h"
#include "common/half.h"
#include "common/isa.h"
#include "common/parallel.h"
#include "common/scratch.h"

namespace pygan {
namespace {

constexpr int64_t kBlock = 4096;     // elements of one run, and of one partial sum
constexpr int64_t kRows = 64;        // rows whose bias gradients are added in one accumulator
constexpr int64_t kNarrowRow = 512;  // rows shorter than this are joined
constexpr int64_t kSmallPlane = 64;  // planes up to this size are taken as rows where possible
constexpr int64_t kStreamBytes = 16 << 20;  // larger results bypass the cache

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

template <typename C>
Sweep<C> choose_sweep(int order, Activation act, Run run) {
  switch (order) {
    case 0:
      PYGAN_DISPATCH(forward_sweep<C>(act, run));
    case 1:
      PYGAN_DISPATCH(backward_sweep<C>(act, run));
    default:
      PYGAN_DISPATCH(second_order_sweep<C>(act, run));
  }
}

template <typename T>
void sweep_half(Sweep<float> sweep, const Parameters<float>& p, const Elements<T>& e, int64_t n,
                Sums<float>* sums) {
  PYGAN_DISPATCH(sweep_converted(sweep, p, e, n, sums));
}

// One call, for one storage type: its arrays, its constants, and the two ways of cutting it up.
template <typename T>
class Kernel {
 public:
  typedef typename Compute<T>::type C;

  explicit Kernel(const BiasActCall& call) : call_(call) {
    constants_.act = call.act;
    constants_.alpha = static_cast<C>(call.alpha);
    constants_.gain = static_cast<C>(call.gain);
    constants_.clamp =
        call.clamp >= 0 ? static_cast<C>(call.clamp) : std::numeric_limits<C>::quiet_NaN();
    constants_.scale = 1;
    constants_.strength = value(call.in.strength, 1);
    constants_.ddstrength = value(call.dd.strength, 0);
    all_.x = data(call.in.x);
    all_.dy = data(call.dy);
    all_.ddx = data(call.dd.x);
    all_.out = static_cast<T*>(call.out);
    all_.gx = static_cast<T*>(call.grad.x);
    parallel_ = call.size() >= kSerialBelow;
    stream_ = call.size() * static_cast<int64_t>(sizeof(T)) >= kStreamBytes;
  }

  void run() {
    const bool noisy = call_.in.noise != nullptr;
    if (call_.inner == 1) {
      rows(noisy || call_.in.scale != nullptr ? 1 : ceil_div(kNarrowRow, call_.channels));
    } else if (!noisy && call_.in.scale == nullptr && call_.inner <= kSmallPlane &&
               call_.in.b != nullptr) {
      rows(ceil_div(kNarrowRow, call_.channels * call_.inner));
    } else {
      planes();
    }
  }

 private:
  static const T* data(const void* p) { return static_cast<const T*>(p); }
  static C value(const void* p, C otherwise) {
    return p == nullptr ? otherwise : to_float(*data(p));
  }
  static C value(const void* p, int64_t i, C otherwise) {
    return p == nullptr ? otherwise : to_float(data(p)[i]);
  }
  static void put_value(void* p, int64_t i, double v) {
    from_float(static_cast<C>(v), static_cast<T*>(p) + i);
  }

  // The array converted to C, each element `repeat` times and the whole `times` times, with a
  // vector of zeros behind it so that it may be read in whole vectors.
  static const C* expanded(Scratch* scratch, const void* p, int64_t n, int64_t repeat,
                           int64_t times) {
    if (p == nullptr) return nullptr;
    C* const out = scratch->get<C>(n * repeat * times);
    C* next = out;
    for (int64_t t = 0; t < times; ++t) {
      for (int64_t i = 0; i < n; ++i) {
        for (int64_t r = 0; r < repeat; ++r) *next++ = to_float(data(p)[i]);
      }
    }
    return out;
  }

  void planes();
  void rows(int64_t joined);
  void sweep_run(const Parameters<C>& p, const Elements<T>& e, int64_t n, Sums<C>* sums) const;

  const BiasActCall& call_;
  Parameters<C> constants_ = {};
  Elements<T> all_ = {};
  Sweep<C> sweep_ = nullptr;
  bool parallel_, stream_;
};

template <typename T>
void Kernel<T>::sweep_run(const Parameters<C>& p, const Elements<T>& e, int64_t n,
                          Sums<C>* sums) const {
  if constexpr (sizeof(T) == sizeof(C)) {
    sweep_(p, e, n, stream_, sums);
  } else {
    sweep_half(sweep_, p, e, n, sums);
  }
}

// Runs inside planes: blocks of kBlock elements of one (n, c).
template <typename T>
void Kernel<T>::planes() {
  sweep_ = choose_sweep<C>(call_.order, call_.act, Run::plane);
  const int64_t count = call_.outer * call_.channels;
  const int64_t inner = call_.inner;
  const int64_t blocks = ceil_div(inner, kBlock);
  const bool one_noise = call_.noise_batch == 1;
  const auto& grad = call_.grad;
  Scratch scratch;
  // Partial sums [count, blocks, 3]: for b, scale and strength.
  double* const partial = grad.b != nullptr || grad.scale != nullptr || grad.strength != nullptr
                              ? scratch.get<double>(count * blocks * 3)
                              : nullptr;

  const auto block = [&](int64_t plane, int64_t index, C* noise_sums) {
    const int64_t start = index * kBlock;
    const int64_t n = plane / call_.channels, c = plane % call_.channels;
    Parameters<C> p = constants_;
    p.scale = value(call_.in.scale, plane, 1);
    p.b = value(call_.in.b, c, 0);
    p.ddscale = value(call_.dd.scale, plane, 0);
    p.ddb = value(call_.dd.b, c, 0);
    Elements<T> e = all_;
    skip(&e, plane * inner + start);
    const int64_t noise_start = (one_noise ? 0 : n * inner) + start;
    if (call_.in.noise != nullptr) e.noise = data(call_.in.noise) + noise_start;
    if (call_.dd.noise != nullptr) e.ddnoise = data(call_.dd.noise) + noise_start;
    Sums<C> sums = {};
    sums.noise_elements = noise_sums;
    sweep_run(p, e, std::min(kBlock, inner - start), &sums);
    if (partial == nullptr) return;
    double* const here = partial + (plane * blocks + index) * 3;
    here[0] = sums.b;
    here[1] = sums.scale;
    here[2] = sums.strength;
  };

  if (grad.noise == nullptr) {
#pragma omp parallel for schedule(static) if (parallel_)
    for (int64_t i = 0; i < count * blocks; ++i) block(i / blocks, i % blocks, nullptr);
  } else {
    // The noise gradient adds over channels: one task takes the same block of all their planes.
    const int64_t planes_each = count / call_.noise_batch;
#pragma omp parallel for schedule(static) if (parallel_)
    for (int64_t i = 0; i < call_.noise_batch * blocks; ++i) {
      alignas(64) C noise_sums[kBlock];
      const int64_t batch = i / blocks, index = i % blocks;
      const int64_t n = std::min(kBlock, inner - index * kBlock);
      for (int64_t j = 0; j < n; ++j) noise_sums[j] = 0;
      for (int64_t j = 0; j < planes_each; ++j) block(batch * planes_each + j, index, noise_sums);
      T* const to = static_cast<T*>(grad.noise) + batch * inner + index * kBlock;
      for (int64_t j = 0; j < n; ++j) from_float(noise_sums[j], to + j);
    }
  }

  if (partial == nullptr) return;
  double strength = 0;
  double* const channel = grad.b != nullptr ? scratch.get<double>(call_.channels) : nullptr;
  if (channel != nullptr) {
    for (int64_t c = 0; c < call_.channels; ++c) channel[c] = 0;
  }
  for (int64_t plane = 0; plane < count; ++plane) {
    double sums[3] = {0, 0, 0};
    for (int64_t i = 0; i < blocks; ++i) {
      for (int j = 0; j < 3; ++j) sums[j] += partial[(plane * blocks + i) * 3 + j];
    }
    if (channel != nullptr) channel[plane % call_.channels] += sums[0];
    if (grad.scale != nullptr) put_value(grad.scale, plane, sums[1]);
    strength += sums[2];
  }
  if (channel != nullptr) {
    for (int64_t c = 0; c < call_.channels; ++c) put_value(grad.b, c, channel[c]);
  }
  if (grad.strength != nullptr) put_value(grad.strength, 0, strength);
}

// Runs inside rows of outer index n: x as [outer, channels * inner], `joined` rows taken as one so
// that they are long enough. Only where inner is 1 may there be scale or noise, and then joined
// is 1.
template <typename T>
void Kernel<T>::rows(int64_t joined) {
  sweep_ = choose_sweep<C>(call_.order, call_.act, Run::row);
  const int64_t size = call_.size();
  const int64_t width = call_.channels * call_.inner * std::min(joined, call_.outer);
  const int64_t count = ceil_div(size, width);
  const int64_t groups = ceil_div(count, kRows);
  const int64_t blocks = ceil_div(width, kBlock);
  const bool one_noise = call_.noise_batch == 1;
  const auto& grad = call_.grad;
  const int64_t times = width / (call_.channels * call_.inner);
  Scratch scratch;
  Parameters<C> constants = constants_;
  constants.b_row = expanded(&scratch, call_.in.b, call_.channels, call_.inner, times);
  constants.ddb_row = expanded(&scratch, call_.dd.b, call_.channels, call_.inner, times);
  constants.scale_row = expanded(&scratch, call_.in.scale, size, 1, 1);
  constants.ddscale_row = expanded(&scratch, call_.dd.scale, size, 1, 1);
  // Sums over the rows of each group [groups, width], and over each row [count, blocks, 2]: for
  // strength and noise.
  C* const bias_sums = grad.b != nullptr ? scratch.get<C>(groups * width) : nullptr;
  double* const row_sums = grad.noise != nullptr || grad.strength != nullptr
                               ? scratch.get<double>(count * blocks * 2)
                               : nullptr;

#pragma omp parallel for schedule(static) if (parallel_)
  for (int64_t i = 0; i < groups * blocks; ++i) {
    alignas(64) C accumulator[kBlock];
    const int64_t group = i / blocks, start = i % blocks * kBlock;
    const int64_t columns = std::min(kBlock, width - start);
    for (int64_t j = 0; j < columns; ++j) accumulator[j] = 0;
    for (int64_t row = group * kRows; row < std::min((group + 1) * kRows, count); ++row) {
      const int64_t offset = row * width + start;
      Parameters<C> p = constants;
      skip(&p.b_row, start);
      skip(&p.ddb_row, start);
      skip(&p.scale_row, offset);
      skip(&p.ddscale_row, offset);
      p.noise = value(call_.in.noise, one_noise ? 0 : row, 0);
      p.ddnoise = value(call_.dd.noise, one_noise ? 0 : row, 0);
      Elements<T> e = all_;
      e.gscale = static_cast<T*>(grad.scale);
      skip(&e, offset);
      Sums<C> sums = {};
      sums.b_elements = bias_sums != nullptr ? accumulator : nullptr;
      sweep_run(p, e, std::min(columns, size - offset), &sums);
      if (row_sums != nullptr) {
        double* const here = row_sums + (row * blocks + i % blocks) * 2;
        here[0] = sums.strength;
        here[1] = sums.noise;
      }
    }
    if (bias_sums != nullptr) {
      __builtin_memcpy(bias_sums + group * width + start, accumulator, columns * sizeof(C));
    }
  }

  if (bias_sums != nullptr) {
    for (int64_t c = 0; c < call_.channels; ++c) {
      double sum = 0;
      for (int64_t group = 0; group < groups; ++group) {
        for (int64_t t = 0; t < times; ++t) {
          const C* const from = bias_sums + group * width + (t * call_.channels + c) * call_.inner;
          for (int64_t j = 0; j < call_.inner; ++j) sum += from[j];
        }
      }
      put_value(grad.b, c, sum);
    }
  }
  if (row_sums == nullptr) return;
  double strength = 0, all = 0;
  for (int64_t row = 0; row < count; ++row) {
    double noise = 0;
    for (int64_t i = 0; i < blocks; ++i) {
      strength += row_sums[(row * blocks + i) * 2];
      noise += row_sums[(row * blocks + i) * 2 + 1];
    }
    if (grad.noise != nullptr && !one_noise) put_value(grad.noise, row, noise);
    all += noise;
  }
  if (grad.noise != nullptr && one_noise) put_value(grad.noise, 0, all);
  if (grad.strength != nullptr) put_value(grad.strength, 0, strength);
}

void dispatch(const BiasActCall& call) {
  switch (call.storage) {
    case Storage::float64:
      return Kernel<double>(call).run();
    case Storage::float16:
      return Kernel<float16>(call).run();
    case Storage::bfloat16:
      return Kernel<bfloat16>(call).run();
    default:
      return Kernel<float>(call).run();
  }
}

}  // namespace

void bias_act(const BiasActCall& call) {
  const bool pointwise =
      call.in.b == nullptr && call.in.scale == nullptr && call.in.noise == nullptr;
  if (!pointwise) return dispatch(call);
  BiasActCall flat = call;
  flat.outer = flat.channels = 1;
  flat.inner = call.size();
  dispatch(flat);
}

}  // namespace pygan
