// C entry points of the Winograd convolution for tests, which call it through ctypes with the
// instruction set and the number of threads of their choice.
#include "common/isa.h"
#include "modulated_conv2d/winograd_launch.h"

#define PYGAN_TEST_API extern "C" __attribute__((visibility("default")))

namespace {

// Sets the number of OpenMP threads for the lifetime of the object.
class Threads {
 public:
  explicit Threads(int count) : before_(pygan::max_threads()) { set(count); }
  ~Threads() { set(before_); }

 private:
  static void set(int count) {
#if defined(_OPENMP)
    omp_set_num_threads(count);
#else
    (void)count;
#endif
  }
  int before_;
};

pygan::WinogradShape shape_of(const int64_t sizes[5], int polyphase) {
  pygan::WinogradShape shape;
  shape.n = sizes[0];
  shape.ci = sizes[1];
  shape.co = sizes[2];
  shape.h = sizes[3];
  shape.w = sizes[4];
  shape.input_space_to_depth = polyphase == 1;
  shape.output_depth_to_space = polyphase == 2;
  return shape;
}

bool filter_of(pygan::PolyphaseFilter* filter, const float* taps) {
  if (taps == nullptr) return false;
  for (int i = 0; i < 4; ++i) {
    filter->y[i] = taps[i];
    filter->x[i] = taps[4 + i];
  }
  return true;
}

}  // namespace

// The best instruction set of this machine: 0 baseline, 1 avx2, 2 avx512.
PYGAN_TEST_API int pygan_test_cpu_isa() { return static_cast<int>(pygan::cpu_isa()); }

// sizes: n, ci, co, h, w. polyphase: 0 none, 1 input space-to-depth, 2 output depth-to-space.
// taps: y[4], x[4] or null. parameters: noise strength, alpha, gain, clamp.
PYGAN_TEST_API void pygan_test_winograd_forward(int isa, int threads, float* y, const float* x,
                                                const float* w, int transpose,
                                                const float* in_scale, const float* scale,
                                                const float* noise, int64_t noise_sample_stride,
                                                const float* bias, int act,
                                                const float parameters[4], const int64_t sizes[5],
                                                int polyphase, const float* taps) {
  const Threads guard(threads);
  pygan::Epilogue<float> epilogue;
  epilogue.scale = scale;
  epilogue.noise = noise;
  epilogue.noise_sample_stride = noise_sample_stride;
  epilogue.bias = bias;
  epilogue.act = static_cast<pygan::EpilogueAct>(act);
  epilogue.strength = parameters[0];
  epilogue.alpha = parameters[1];
  epilogue.gain = parameters[2];
  epilogue.clamp = parameters[3];
  pygan::PolyphaseFilter filter;
  const bool filtered = filter_of(&filter, taps);
  pygan::winograd_forward_with(pygan::winograd_kernels(static_cast<pygan::Isa>(isa)), y, x, w,
                               transpose != 0, in_scale, epilogue, shape_of(sizes, polyphase),
                               filtered ? &filter : nullptr);
}

PYGAN_TEST_API void pygan_test_winograd_weight_grad(int isa, int threads, float* dw, const float* x,
                                                    const float* dy, const float* x_scale,
                                                    const float* dy_scale, const int64_t sizes[5],
                                                    int polyphase, const float* taps) {
  const Threads guard(threads);
  pygan::PolyphaseFilter filter;
  const bool filtered = filter_of(&filter, taps);
  pygan::winograd_weight_grad_with(pygan::winograd_kernels(static_cast<pygan::Isa>(isa)), dw, x, dy,
                                   x_scale, dy_scale, shape_of(sizes, polyphase),
                                   filtered ? &filter : nullptr);
}

// w_eff <- w, or with `adjoint` w <- w_eff.
PYGAN_TEST_API void pygan_test_polyphase_weights(float* w_eff, float* w, int64_t co, int64_t ci,
                                                 int up, int adjoint, const float* taps) {
  pygan::PolyphaseFilter filter;
  if (!filter_of(&filter, taps)) return;
  if (adjoint != 0) {
    (up != 0 ? pygan::polyphase_weights_up_adjoint : pygan::polyphase_weights_down_adjoint)(
        w, w_eff, co, ci, filter);
  } else {
    (up != 0 ? pygan::polyphase_weights_up : pygan::polyphase_weights_down)(w_eff, w, co, ci,
                                                                            filter);
  }
}
