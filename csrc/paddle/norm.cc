// Registers pg_norm, which is norm_statistics and spade_norm, with its gradients of first and
// second order.
#include "paddle/device.h"
#include "paddle/kernel_arguments.h"
#include "spade_norm/spade_norm.h"

namespace pygan {
namespace binding {
namespace {

// The attribute `kind`, and what it says in messages.
enum Kind : int { kStatistics, kApply, kKinds };
constexpr const char* kNames[kKinds] = {"norm_statistics", "spade_norm"};

// The attribute `over`: what the statistics are of; kGiven: they are not x's own.
enum Over : int { kBatch, kInstance, kGiven };

// Bits of the attribute `needs`: the inputs whose gradients are wanted.
enum Need : int { kNeedX = 1, kNeedMean = 2, kNeedVariance = 4, kNeedGamma = 8, kNeedBeta = 16 };

using Shape = std::vector<int64_t>;

struct Attributes {
  int kind, over;
  int64_t epsilon, slope;
  int upsample, needs;

  explicit Attributes(KernelArguments& arguments) {
    kind = arguments.attribute<int>();
    over = arguments.attribute<int>();
    epsilon = arguments.attribute<int64_t>();
    slope = arguments.attribute<int64_t>();
    upsample = arguments.attribute<int>();
    needs = arguments.attribute<int>();
    PD_CHECK(kind >= 0 && kind < kKinds, "pygan.norm: `kind` must be 0 or 1.");
    PD_CHECK(over >= kBatch && over <= kGiven, "pygan.norm: `over` must be 0, 1 or 2.");
    PD_CHECK(upsample == 1 || upsample == 2, "pygan.norm: `upsample` must be 1 or 2.");
  }
  const char* name() const { return kNames[kind]; }
};

struct Inputs {
  Tensor x;
  OptionalTensor mean, variance, gamma, beta;

  explicit Inputs(KernelArguments& arguments)
      : x(arguments.tensor()),
        mean(arguments.optional()),
        variance(arguments.optional()),
        gamma(arguments.optional()),
        beta(arguments.optional()) {}
};

DataType statistics_type(DataType x) {
  return x == DataType::FLOAT64 ? DataType::FLOAT64 : DataType::FLOAT32;
}

NormShape norm_shape(const char* op, const Tensor& x, bool per_sample, int upsample) {
  const Shape s = x.shape();
  PD_CHECK(s.size() == 4, "pygan.", op, ": `x` must be [N, C, H, W].");
  NormShape shape;
  shape.samples = s[0];
  shape.channels = s[1];
  shape.height = s[2];
  shape.width = s[3];
  shape.per_sample = per_sample;
  shape.upsample = upsample;
  return shape;
}

void check_statistics(Device& device, const char* op, const char* name, const OptionalTensor& t,
                      const Tensor& x, int64_t size) {
  if (!has(t)) return;
  device.use(name, t);
  PD_CHECK(t->dtype() == statistics_type(x.dtype()) && t->numel() == size, "pygan.", op, ": `",
           name, "` must hold ", size, " numbers, of float64 if `x` is, else of float32.");
}

void check_like_x(Device& device, const char* op, const char* name, const Tensor& t,
                  const Tensor& x, int64_t size) {
  device.use(name, t);
  PD_CHECK(t.dtype() == x.dtype() && t.numel() == size, "pygan.", op, ": `", name, "` must hold ",
           size, " numbers of the type of `x`.");
}

// Results for the gradients of inputs: of their shape where wanted, else what Paddle drops.
Tensor gradient(Device& device, const OptionalTensor& input, bool wanted) {
  if (!has(input)) return Tensor();
  if (!wanted) return placeholder(*input);
  Tensor result = paddle::empty(input->shape(), input->dtype(), input->place());
  device.made("gradient", result);
  return result;
}
void* pointer(Tensor& result, bool wanted) {
  return wanted && result.initialized() ? result.data() : nullptr;
}
const void* pointer(const OptionalTensor& t) { return has(t) ? t->data() : nullptr; }

template <typename Launcher>
Launcher* launcher(Launcher* function, const char* op) {
  PD_CHECK(function != nullptr, "pygan.", op, ": this build of pygan has no kernels of it for ",
           "GPUs. Use impl='ref'.");
  return function;
}

void run(Device& device, const NormStatisticsCall& call) {
  if (call.shape.size() == 0) return;
  if (device.is_cuda()) {
    launcher(device.backend()->norm_statistics, "norm_statistics")(call, device.context());
  } else {
    norm_statistics(call);
  }
}
void run(Device& device, const SpadeNormCall& call) {
  if (call.shape.size() == 0) return;
  if (device.is_cuda()) {
    launcher(device.backend()->spade_norm, "spade_norm")(call, device.context());
  } else {
    spade_norm(call);
  }
}

// ---- Statistics.

NormStatisticsCall statistics_call(Device& device, const Inputs& in, const Attributes& a,
                                   int order) {
  device.use("x", in.x);
  NormStatisticsCall call;
  call.order = order;
  call.storage = storage_of(a.name(), in.x.dtype());
  call.shape = norm_shape(a.name(), in.x, a.over == kInstance, 1);
  call.x = in.x.data();
  return call;
}

Tensor statistics_like(const NormShape& shape, const Tensor& x) {
  Shape size = {2, shape.channels};
  if (shape.per_sample) size = {2, shape.samples, shape.channels};
  return paddle::empty(size, statistics_type(x.dtype()), x.place());
}

// ---- Application.

int64_t out_size(const NormShape& shape) { return shape.planes() * shape.out_plane(); }

// How gamma or beta lies in a tensor: `first` maps of each sample lie before it, of `maps` in all.
NormMap<const void*> map_of(Device& device, const char* name, const OptionalTensor& t,
                            const Tensor& x, const NormShape& shape, int first, int maps) {
  NormMap<const void*> map;
  if (!has(t)) return map;
  const char* const op = kNames[kApply];
  const int64_t plane = shape.out_plane(), channels = shape.channels;
  map.is_map = t->shape().size() == 4;
  map.channel = map.is_map ? plane : 1;
  map.sample = map.is_map ? maps * channels * plane : t->shape().size() == 2 ? channels : 0;
  const int64_t size = map.sample == 0 ? channels : shape.samples * map.sample;
  check_like_x(device, op, name, *t, x, size);
  const auto bytes = static_cast<int64_t>(phi::SizeOf(t->dtype()));
  map.data = static_cast<const char*>(t->data()) + first * channels * plane * bytes;
  return map;
}

// Both maps may lie in one tensor, the first: then the second is absent.
bool joined(const Tensor& x, const OptionalTensor& gamma) {
  return has(gamma) && gamma->shape().size() == 4 && gamma->shape()[1] == 2 * x.shape()[1] &&
         x.shape()[1] != 0;
}
struct Maps {
  NormMap<const void*> gamma, beta;

  Maps(Device& device, const Tensor& x, const NormShape& shape, const OptionalTensor& gamma_in,
       const OptionalTensor& beta_in, bool in_one) {
    gamma = map_of(device, "gamma", gamma_in, x, shape, 0, in_one ? 2 : 1);
    beta = in_one ? map_of(device, "beta", gamma_in, x, shape, 1, 2)
                  : map_of(device, "beta", beta_in, x, shape, 0, 1);
  }
};

SpadeNormCall apply_call(Device& device, const Inputs& in, const Attributes& a, int order) {
  const char* const op = a.name();
  device.use("x", in.x);
  PD_CHECK(has(in.mean) && has(in.variance), "pygan.", op, ": lacks its statistics.");
  SpadeNormCall call;
  call.order = order;
  call.storage = storage_of(op, in.x.dtype());
  call.shape = norm_shape(op, in.x, in.mean->shape().size() == 2, a.upsample);
  PD_CHECK(a.over == kGiven || (a.over == kInstance) == call.shape.per_sample, "pygan.", op,
           ": statistics of the wrong shape.");
  check_statistics(device, op, "mean", in.mean, in.x, call.shape.units());
  check_statistics(device, op, "variance", in.variance, in.x, call.shape.units());
  call.epsilon = double_of(a.epsilon);
  call.slope = double_of(a.slope);
  call.own_statistics = a.over != kGiven;
  call.x = in.x.data();
  call.mean = in.mean->data();
  call.variance = in.variance->data();
  const Maps maps(device, in.x, call.shape, in.gamma, in.beta, joined(in.x, in.gamma));
  call.gamma = maps.gamma;
  call.beta = maps.beta;
  return call;
}

// The five gradients, whose pointers go into the call.
std::vector<Tensor> gradients(Device& device, const Inputs& in, const Attributes& a,
                              SpadeNormCall* call) {
  const bool of_gamma = a.needs & kNeedGamma, of_beta = a.needs & kNeedBeta;
  const bool of_mean = !call->own_statistics && (a.needs & kNeedMean);
  const bool of_variance = !call->own_statistics && (a.needs & kNeedVariance);
  std::vector<Tensor> results = {
      gradient(device, in.x, a.needs & kNeedX), gradient(device, in.mean, of_mean),
      gradient(device, in.variance, of_variance), gradient(device, in.gamma, of_gamma),
      gradient(device, in.beta, of_beta)};
  call->dx = pointer(results[0], a.needs & kNeedX);
  call->dmean = pointer(results[1], of_mean);
  call->dvariance = pointer(results[2], of_variance);
  const auto laid_out = [](const NormMap<const void*>& like, void* data) {
    NormMap<void*> map;
    map.data = data;
    map.sample = like.sample;
    map.channel = like.channel;
    map.is_map = like.is_map;
    return map;
  };
  void* const dgamma = pointer(results[3], of_gamma);
  call->dgamma = laid_out(call->gamma, dgamma);
  if (joined(in.x, in.gamma)) {
    const int64_t before =
        in.x.shape()[1] * call->shape.out_plane() * static_cast<int64_t>(phi::SizeOf(in.x.dtype()));
    call->dbeta =
        laid_out(call->beta, dgamma == nullptr ? nullptr : static_cast<char*>(dgamma) + before);
  } else {
    call->dbeta = laid_out(call->beta, pointer(results[4], of_beta));
  }
  return results;
}

// ---- Kernels.

void forward(paddle::CustomOpKernelContext* context) {
  guarded("norm", [&] {
    KernelArguments arguments(context);
    const Inputs in(arguments);
    const Attributes a(arguments);
    Device device(a.name(), in.x);
    if (a.kind == kStatistics) {
      NormStatisticsCall call = statistics_call(device, in, a, 0);
      Tensor statistics = statistics_like(call.shape, in.x);
      device.made("statistics", statistics);
      call.statistics = statistics.data();
      run(device, call);
      arguments.give({statistics});
      return;
    }
    SpadeNormCall call = apply_call(device, in, a, 0);
    const NormShape& s = call.shape;
    Tensor y = paddle::empty({s.samples, s.channels, s.upsample * s.height, s.upsample * s.width},
                             in.x.dtype(), in.x.place());
    device.made("y", y);
    call.out = y.data();
    run(device, call);
    arguments.give({y});
  });
}

void backward(paddle::CustomOpKernelContext* context) {
  guarded("norm", [&] {
    KernelArguments arguments(context);
    const Inputs in(arguments);
    const Tensor dy = arguments.tensor();
    const Attributes a(arguments);
    Device device(a.name(), in.x);
    if (a.kind == kStatistics) {
      NormStatisticsCall call = statistics_call(device, in, a, 1);
      check_statistics(device, a.name(), "dy", dy, in.x, 2 * call.shape.units());
      call.dstatistics = dy.data();
      Tensor dx = gradient(device, in.x, true);
      call.dx = dx.data();
      run(device, call);
      arguments.give({dx, Tensor(), Tensor(), Tensor(), Tensor()});
      return;
    }
    SpadeNormCall call = apply_call(device, in, a, 1);
    check_like_x(device, a.name(), "dy", dy, in.x, out_size(call.shape));
    call.dy = dy.data();
    const std::vector<Tensor> results = gradients(device, in, a, &call);
    run(device, call);
    arguments.give(results);
  });
}

void double_backward(paddle::CustomOpKernelContext* context) {
  guarded("norm", [&] {
    KernelArguments arguments(context);
    const Inputs in(arguments);
    const Tensor dy = arguments.tensor();
    const OptionalTensor ddx = arguments.optional();
    const OptionalTensor ddmean = arguments.optional();
    const OptionalTensor ddvariance = arguments.optional();
    const OptionalTensor ddgamma = arguments.optional();
    const OptionalTensor ddbeta = arguments.optional();
    const Attributes a(arguments);
    Device device(a.name(), in.x);
    if (has(ddx)) check_like_x(device, a.name(), "ddx", *ddx, in.x, in.x.numel());
    if (a.kind == kStatistics) {
      PD_CHECK(has(ddx), "pygan.norm_statistics: the second-order gradient lacks its only input.");
      NormStatisticsCall call = statistics_call(device, in, a, 2);
      check_statistics(device, a.name(), "dy", dy, in.x, 2 * call.shape.units());
      call.dstatistics = dy.data();
      call.ddx = ddx->data();
      Tensor gx = gradient(device, in.x, true), ddy = gradient(device, dy, true);
      call.dx = gx.data();
      call.statistics = ddy.data();
      run(device, call);
      arguments.give({gx, Tensor(), Tensor(), Tensor(), Tensor(), ddy});
      return;
    }
    SpadeNormCall call = apply_call(device, in, a, 2);
    check_like_x(device, a.name(), "dy", dy, in.x, out_size(call.shape));
    call.dy = dy.data();
    call.ddx = pointer(ddx);
    if (!call.own_statistics) {
      check_statistics(device, a.name(), "ddmean", ddmean, in.x, call.shape.units());
      check_statistics(device, a.name(), "ddvariance", ddvariance, in.x, call.shape.units());
      call.ddmean = pointer(ddmean);
      call.ddvariance = pointer(ddvariance);
    }
    const Maps dd(device, in.x, call.shape, ddgamma, ddbeta, joined(in.x, in.gamma));
    call.ddgamma = dd.gamma;
    call.ddbeta = dd.beta;
    std::vector<Tensor> results = gradients(device, in, a, &call);
    Tensor ddy = gradient(device, dy, true);
    call.out = ddy.data();
    run(device, call);
    results.push_back(ddy);
    arguments.give(results);
  });
}

using OptionalShape = paddle::optional<Shape>;
using OptionalType = paddle::optional<DataType>;

std::vector<Shape> infer_shape(const Shape& x, const OptionalShape&, const OptionalShape&,
                               const OptionalShape&, const OptionalShape&, int kind, int over,
                               int64_t, int64_t, int upsample, int) {
  if (kind == kStatistics) {
    if (over == kInstance) return {{2, x[0], x[1]}};
    return {{2, x[1]}};
  }
  return {{x[0], x[1], upsample * x[2], upsample * x[3]}};
}
// Only statistics come without any.
std::vector<DataType> infer_type(const DataType& x, const OptionalType& mean, const OptionalType&,
                                 const OptionalType&, const OptionalType&) {
  return {mean ? x : statistics_type(x)};
}

}  // namespace
}  // namespace binding
}  // namespace pygan

// clang-format off
#define PYGAN_NORM_ATTRIBUTES \
  {"kind: int", "over: int", "epsilon: int64_t", "slope: int64_t", "upsample: int", "needs: int"}

PD_BUILD_OP(pg_norm)
    .Inputs({"X", paddle::Optional("Mean"), paddle::Optional("Variance"),
             paddle::Optional("Gamma"), paddle::Optional("Beta")})
    .Outputs({"Y"})
    .Attrs(PYGAN_NORM_ATTRIBUTES)
    .SetKernelFn(pygan::binding::forward)
    .SetInferShapeFn(PD_INFER_SHAPE(pygan::binding::infer_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(pygan::binding::infer_type));

PD_BUILD_GRAD_OP(pg_norm)
    .Inputs({"X", paddle::Optional("Mean"), paddle::Optional("Variance"),
             paddle::Optional("Gamma"), paddle::Optional("Beta"), paddle::Grad("Y")})
    .Outputs({paddle::Grad("X"), paddle::Grad(paddle::Optional("Mean")),
              paddle::Grad(paddle::Optional("Variance")),
              paddle::Grad(paddle::Optional("Gamma")), paddle::Grad(paddle::Optional("Beta"))})
    .Attrs(PYGAN_NORM_ATTRIBUTES)
    .SetKernelFn(pygan::binding::backward);

PD_BUILD_DOUBLE_GRAD_OP(pg_norm)
    .Inputs({"X", paddle::Optional("Mean"), paddle::Optional("Variance"),
             paddle::Optional("Gamma"), paddle::Optional("Beta"), paddle::Grad("Y"),
             paddle::Grad(paddle::Grad("X")),
             paddle::Grad(paddle::Grad(paddle::Optional("Mean"))),
             paddle::Grad(paddle::Grad(paddle::Optional("Variance"))),
             paddle::Grad(paddle::Grad(paddle::Optional("Gamma"))),
             paddle::Grad(paddle::Grad(paddle::Optional("Beta")))})
    .Outputs({paddle::Grad("X"), paddle::Grad(paddle::Optional("Mean")),
              paddle::Grad(paddle::Optional("Variance")),
              paddle::Grad(paddle::Optional("Gamma")), paddle::Grad(paddle::Optional("Beta")),
              paddle::Grad(paddle::Grad("Y"))})
    .Attrs(PYGAN_NORM_ATTRIBUTES)
    .SetKernelFn(pygan::binding::double_backward);
// clang-format on
