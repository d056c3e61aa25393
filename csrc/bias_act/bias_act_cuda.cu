// bias_act on a GPU: chooses how the tensor is seen and cut up, finds room for the partial sums,
// and launches a sweep (sweep.cuh) and, for the parameters' gradients, the sums (sums.cuh).
//
// All choices depend on shapes, types and addresses alone, so that results are the same on every
// GPU and in every run.
#include <algorithm>
#include <initializer_list>
#include <limits>

#include "bias_act/sums.cuh"
#include "bias_act/sweep.cuh"

namespace pygan {
namespace device {
namespace {

// Threads for which sharing what belongs to a column is worth more than still more threads.
constexpr int64_t kEnoughThreads = 64 * 1024;
// Lines whose column sums are added in registers at least, so that writing and reading them stays
// small beside the sweep.
constexpr int64_t kFewestLinesSummed = 4;
constexpr int64_t kMostLines = 256;
// Shorter lines have too few whole vectors between their ends.
constexpr int64_t kShortestShifted = 16;  // vectors

template <typename T>
bool all_aligned(std::initializer_list<const void*> pointers) {
  return std::all_of(pointers.begin(), pointers.end(),
                     [](const void* p) { return p == nullptr || is_aligned<T>(p, kVector<T>); });
}

// Whether all miss an aligned address by the same number of elements.
template <typename T>
bool all_congruent(std::initializer_list<const void*> pointers, const void* reference) {
  const auto offset = [](const void* p) { return reinterpret_cast<uintptr_t>(p) % 16; };
  return std::all_of(pointers.begin(), pointers.end(),
                     [&](const void* p) { return p == nullptr || offset(p) == offset(reference); });
}

template <typename From, typename To>
BiasActTensors<To*> typed(const BiasActTensors<From*>& t) {
  return {static_cast<To*>(t.x), static_cast<To*>(t.b), static_cast<To*>(t.scale),
          static_cast<To*>(t.noise), static_cast<To*>(t.strength)};
}

int next_power_of_two(int64_t n) {
  int power = 1;
  while (power < n) power *= 2;
  return power;
}

template <typename T>
class Call {
 public:
  using C = Compute<T>;

  Call(const BiasActCall& call, const CudaContext& context) : call_(call), context_(context) {
    rows_ = call.inner == 1;
    launch_.stream = stream_of(context);
    SweepArgs<T>& a = args_;
    a.in = typed<const void, const T>(call.in);
    a.dd = typed<const void, const T>(call.dd);
    a.dy = static_cast<const T*>(call.dy);
    a.out = static_cast<T*>(call.out);
    a.gx = static_cast<T*>(call.grad.x);
    a.gscale = rows_ ? static_cast<T*>(call.grad.scale) : nullptr;
    a.samples = rows_ ? 1 : call.outer;
    a.lines = rows_ ? call.outer : call.channels;
    a.length = rows_ ? call.channels : call.inner;
    a.shared_noise = call.noise_batch == 1;
    a.act = call.act;
    a.slope = static_cast<C>(call.act == Activation::linear ? 1.0
                             : call.act == Activation::relu ? 0.0
                                                            : call.alpha);
    a.gain = static_cast<C>(call.gain);
    a.clamp = call.clamp >= 0 ? static_cast<C>(call.clamp) : std::numeric_limits<C>::infinity();
  }

  void run() {
    if (call_.size() > 0) {
      cut_up();
      make_room();
      sweep();
    }
    if (call_.order > 0) sums();
  }

 private:
  void cut_up() {
    SweepArgs<T>& a = args_;
    constexpr int V = kVector<T>;
    const bool has_columns = (rows_ ? call_.in.b : call_.in.noise) != nullptr;
    const auto elements = {call_.in.x, call_.dy, call_.dd.x, static_cast<const void*>(call_.out),
                           static_cast<const void*>(call_.grad.x)};
    const bool aligned =
        all_aligned<T>(elements) && (rows_ ? all_aligned<T>({call_.in.b, call_.dd.b, call_.in.scale,
                                                             call_.dd.scale, call_.grad.scale})
                                           : all_aligned<T>({call_.in.noise, call_.dd.noise}));
    if (aligned && a.length % V == 0) {
      a.access = Access::vectors;
    } else if (!rows_ && !has_columns && a.length >= kShortestShifted * V &&
               all_congruent<T>(elements, call_.in.x)) {
      a.access = Access::shifted;
    } else {
      a.access = Access::single;
    }
    a.misaligned = static_cast<int>(reinterpret_cast<uintptr_t>(call_.in.x) % 16 / sizeof(T));

    // Threads along a line: a power of two below a warp, else whole warps.
    const bool single = a.access == Access::single;
    const int slot = single ? 1 : V;  // its elements
    const int U = slots<T>(call_.order, is_smooth(call_.act), single);
    const int64_t positions = ceil_div(a.length, slot);
    const int64_t rounds = std::min<int64_t>(ceil_div(positions, kSweepThreads), U);
    const int64_t each = ceil_div(positions, rounds);
    const int width =
        each <= kWarp
            ? next_power_of_two(each)
            : static_cast<int>(std::min<int64_t>(ceil_div(each, kWarp) * kWarp, kSweepThreads));
    // Lines side by side: a power of two.
    const int height = next_power_of_two(kSweepThreads / width + 1) / 2;
    const int64_t chunks = ceil_div(positions, width * U);

    // Lines that a thread takes.
    int64_t lines_each = 1;
    const bool sums_columns = (rows_ ? call_.grad.b : call_.grad.noise) != nullptr;
    if (has_columns) {
      const int64_t threads = a.samples * a.lines * chunks * width;
      lines_each = std::clamp<int64_t>(threads / kEnoughThreads,
                                       sums_columns ? kFewestLinesSummed : 1, kMostLines);
    }
    a.line_blocks = ceil_div(ceil_div(a.lines, lines_each), height);
    a.lines_each = static_cast<int>(ceil_div(a.lines, a.line_blocks * height));

    launch_.rows = rows_;
    launch_.block = dim3(width, height);
    launch_.grid = dim3(static_cast<unsigned>(chunks),
                        static_cast<unsigned>(std::min(a.line_blocks, kMaxGridYZ)),
                        static_cast<unsigned>(std::min(a.samples, kMaxGridYZ)));
    warps_of_line_ = chunks * std::max(width / kWarp, 1);
    warps_ = a.samples * a.line_blocks * chunks * (width * height / kWarp);
  }

  // The partial sums that the gradients wanted are made of.
  void make_room() {
    if (call_.order == 0) return;
    SweepArgs<T>& a = args_;
    const auto& grad = call_.grad;
    const int64_t line_values = a.samples * a.lines * warps_of_line_;
    const int64_t column_values = a.samples * a.line_blocks * a.length;
    const bool sums_columns = (rows_ ? grad.b : grad.noise) != nullptr;
    const bool line_b = !rows_ && grad.b != nullptr;
    const bool line_scale = !rows_ && grad.scale != nullptr;
    const bool line_noise = rows_ && grad.noise != nullptr;
    const bool strength = grad.strength != nullptr;
    const int64_t total = (sums_columns ? column_values : 0) + (strength ? warps_ : 0) +
                          (int64_t{line_b} + line_scale + line_noise) * line_values;
    if (total == 0) return;
    // The columns come first because they are written in vectors.
    C* next = context_.get<C>(total);
    const auto take = [&](bool wanted, int64_t count) {
      C* const here = next;
      if (wanted) next += count;
      return wanted ? here : nullptr;
    };
    a.column = take(sums_columns, column_values);
    a.line_b = take(line_b, line_values);
    a.line_scale = take(line_scale, line_values);
    a.line_noise = take(line_noise, line_values);
    a.strength_at = take(strength, warps_);
  }

  void sweep() {
    switch (call_.order) {
      case 0:
        return launch_sweep<T, 0>(launch_, args_);
      case 1:
        return launch_sweep<T, 1>(launch_, args_);
      default:
        return launch_sweep<T, 2>(launch_, args_);
    }
  }

  // After an empty sweep there is nothing to add, and the sums are zeros.
  void sums() {
    const SweepArgs<T>& a = args_;
    const BiasActTensors<T*> grad = typed<void, T>(call_.grad);
    LineSums<T> lines[kLineSums] = {};
    ColumnSums<T> columns = {};
    lines[0] = {a.strength_at, grad.strength, 1, warps_};
    if (rows_) {
      columns = {a.column, grad.b, 1, a.line_blocks, a.length};
      const int64_t outputs = a.shared_noise ? 1 : a.lines;
      lines[1] = {a.line_noise, grad.noise, outputs,
                  a.shared_noise ? a.lines * warps_of_line_ : warps_of_line_};
    } else {
      const int64_t outputs = a.shared_noise ? 1 : a.samples;
      columns = {a.column, grad.noise, outputs,
                 a.shared_noise ? a.samples * a.line_blocks : a.line_blocks, a.length};
      lines[1] = {a.line_b, grad.b, a.lines, a.samples * warps_of_line_};
      lines[2] = {a.line_scale, grad.scale, a.samples * a.lines, warps_of_line_};
    }
    launch_sums(lines, columns, launch_.stream);
  }

  const BiasActCall& call_;
  const CudaContext& context_;
  bool rows_;
  SweepArgs<T> args_ = {};
  SweepLaunch launch_ = {};
  int64_t warps_of_line_ = 0;  // partial sums of one line
  int64_t warps_ = 0;          // partial sums of the strength
};

}  // namespace
}  // namespace device

void bias_act_cuda(const BiasActCall& call, const CudaContext& context) {
  BiasActCall seen = call;
  if (call.in.scale == nullptr && call.in.noise == nullptr &&
      (call.in.b == nullptr || call.channels == 1)) {
    // Every element has the same bias, or none: one long line.
    seen.outer = seen.channels = 1;
    seen.inner = call.size();
  }
  dispatch_storage(seen.storage,
                   [&](auto zero) { device::Call<decltype(zero)>(seen, context).run(); });
}

}  // namespace pygan
