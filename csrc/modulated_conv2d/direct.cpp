#include "modulated_conv2d/direct.h"

#include <vector>

#include "modulated_conv2d/corr_gemm.h"

namespace pygan {
namespace {

template <typename T>
void run(const CorrGemm<T>& p) {
  PYGAN_DISPATCH(corr_gemm(p));
}
template <typename T>
void run(const WeightGemm<T>& p) {
  PYGAN_DISPATCH(weight_gemm(p));
}

// Tables of one axis of one phase: which kernel taps it uses, and where they read.
struct Taps {
  std::vector<int64_t> source, weight;
  int count() const { return static_cast<int>(source.size()); }
};

// Where tap a of an axis lies among its weights.
int64_t weight_of_tap(int64_t a, int kernel, int64_t stride, const WeightLayout& layout) {
  return (layout.mirrored ? kernel - 1 - a : a) * stride;
}

// Forward: output i reads i * stride + (a * dilation - pad) at tap a.
Taps forward_taps(int kernel, int64_t dilation, int64_t pad, int64_t weight_stride,
                  const WeightLayout& layout) {
  Taps taps;
  for (int64_t a = 0; a < kernel; ++a) {
    taps.source.push_back(a * dilation - pad);
    taps.weight.push_back(weight_of_tap(a, kernel, weight_stride, layout));
  }
  return taps;
}

// Input gradient: input phase + stride * j receives output j + (phase + pad - a * dilation) /
// stride through each tap a for which the division is exact.
Taps phase_taps(int kernel, int64_t stride, int64_t dilation, int64_t pad, int64_t phase,
                int64_t weight_stride, const WeightLayout& layout) {
  Taps taps;
  for (int64_t a = 0; a < kernel; ++a) {
    const int64_t distance = phase + pad - a * dilation;
    if (distance % stride != 0) continue;
    taps.source.push_back(distance / stride);
    taps.weight.push_back(weight_of_tap(a, kernel, weight_stride, layout));
  }
  return taps;
}

// The weights of one group, as the rows of the product - the channels of its output - read them.
template <typename T>
void set_weights(CorrGemm<T>* p, const T* w, int64_t taps, bool rows_outside) {
  p->a = w;
  p->a_row_stride = (rows_outside ? p->channels : 1) * taps;
  p->a_channel_stride = (rows_outside ? 1 : p->rows) * taps;
  p->copy_a = !rows_outside;
}

template <typename T>
Epilogue<T> of_group(Epilogue<T> e, int64_t first_channel) {
  if (e.scale) e.scale += first_channel;
  if (e.bias) e.bias += first_channel;
  return e;
}

CorrPhase phase_of(int64_t grid_h, int64_t grid_w, int64_t y0, int64_t x0, const Taps& y,
                   const Taps& x) {
  return {grid_h,
          grid_w,
          y0,
          x0,
          y.count(),
          x.count(),
          y.source.data(),
          y.weight.data(),
          x.source.data(),
          x.weight.data()};
}

// A 1x1 kernel that reads every pixel in place sees the image as one long row.
template <typename T>
void flatten(CorrGemm<T>* p, CorrPhase* phase) {
  if (p->phase_count != 1 || phase->taps_y != 1 || phase->taps_x != 1) return;
  if (phase->src_y[0] != 0 || phase->src_x[0] != 0 || phase->y0 != 0 || phase->x0 != 0) return;
  if (p->step_y != 1 || p->step_x != 1 || p->out_step_y != 1 || p->out_step_x != 1) return;
  if (phase->grid_h != p->src_h || phase->grid_w != p->src_w) return;
  if (phase->grid_h != p->out_h || phase->grid_w != p->out_w) return;
  phase->grid_w = p->src_w = p->out_w = phase->grid_h * phase->grid_w;
  phase->grid_h = p->src_h = p->out_h = 1;
}

// Up to this size of the result the phases of an input gradient run one after the other, each on a
// grid that fits it; above, they take turns on blocks of one grid, so that the cache lines which
// they share are written to memory once.
constexpr int64_t kSharedGridBytes = int64_t{4} << 20;

}  // namespace

template <typename T>
void direct_forward(T* y, const T* x, const T* w, const T* x_scale, const Epilogue<T>& epilogue,
                    const ConvShape& s, const WeightLayout& layout) {
  if (s.y_size() == 0) return;
  const int64_t ci = s.ci_per_group(), co = s.co_per_group(), taps = s.taps();
  const Taps taps_y = forward_taps(s.kh, s.dilation_y, s.pad_top, s.kw, layout);
  const Taps taps_x = forward_taps(s.kw, s.dilation_x, s.pad_left, 1, layout);
  for (int64_t g = 0; g < s.groups; ++g) {
    CorrPhase phase = phase_of(s.oh, s.ow, 0, 0, taps_y, taps_x);
    CorrGemm<T> p;
    p.phases = &phase;
    p.phase_count = 1;
    p.interleave = false;
    p.rows = co;
    p.channels = ci;
    p.n = s.n;
    p.src = x + g * ci * s.input_area();
    p.src_sample_stride = s.ci * s.input_area();
    p.src_h = s.h;
    p.src_w = s.w;
    p.step_y = s.stride_y;
    p.step_x = s.stride_x;
    p.scale = x_scale ? x_scale + g * ci : nullptr;
    p.scale_stride = s.ci;
    set_weights(&p, w + g * co * ci * taps, taps, !layout.exchanged);
    p.out = y + g * co * s.output_area();
    p.out_sample_stride = s.co * s.output_area();
    p.out_h = s.oh;
    p.out_w = s.ow;
    p.out_step_y = p.out_step_x = 1;
    p.epilogue = of_group(epilogue, g * co);
    p.epilogue_channels = s.co;
    flatten(&p, &phase);
    run(p);
  }
}

template <typename T>
void direct_input_grad(T* dx, const T* dy, const T* w, const T* dy_scale,
                       const Epilogue<T>& epilogue, const ConvShape& s,
                       const WeightLayout& layout) {
  if (s.x_size() == 0) return;
  const int64_t ci = s.ci_per_group(), co = s.co_per_group(), taps = s.taps();
  std::vector<Taps> taps_y, taps_x;
  for (int64_t y0 = 0; y0 < s.stride_y; ++y0) {
    taps_y.push_back(phase_taps(s.kh, s.stride_y, s.dilation_y, s.pad_top, y0, s.kw, layout));
  }
  for (int64_t x0 = 0; x0 < s.stride_x; ++x0) {
    taps_x.push_back(phase_taps(s.kw, s.stride_x, s.dilation_x, s.pad_left, x0, 1, layout));
  }
  const bool interleave = s.x_size() * int64_t{sizeof(T)} > kSharedGridBytes;
  const auto grid = [interleave](int64_t size, int64_t first, int64_t stride) {
    return (size - (interleave ? 0 : first) + stride - 1) / stride;
  };
  for (int64_t g = 0; g < s.groups; ++g) {
    std::vector<CorrPhase> phases;
    for (int64_t y0 = 0; y0 < s.stride_y && y0 < s.h; ++y0) {
      for (int64_t x0 = 0; x0 < s.stride_x && x0 < s.w; ++x0) {
        phases.push_back(phase_of(grid(s.h, y0, s.stride_y), grid(s.w, x0, s.stride_x), y0, x0,
                                  taps_y[y0], taps_x[x0]));
      }
    }
    CorrGemm<T> p;
    p.phases = phases.data();
    p.phase_count = static_cast<int>(phases.size());
    p.interleave = interleave;
    p.rows = ci;
    p.channels = co;
    p.n = s.n;
    p.src = dy + g * co * s.output_area();
    p.src_sample_stride = s.co * s.output_area();
    p.src_h = s.oh;
    p.src_w = s.ow;
    p.step_y = p.step_x = 1;
    p.scale = dy_scale ? dy_scale + g * co : nullptr;
    p.scale_stride = s.co;
    set_weights(&p, w + g * co * ci * taps, taps, layout.exchanged);
    p.out = dx + g * ci * s.input_area();
    p.out_sample_stride = s.ci * s.input_area();
    p.out_h = s.h;
    p.out_w = s.w;
    p.out_step_y = s.stride_y;
    p.out_step_x = s.stride_x;
    p.epilogue = of_group(epilogue, g * ci);
    p.epilogue_channels = s.ci;
    flatten(&p, phases.data());
    run(p);
  }
}

template <typename T>
void direct_weight_grad(T* dw, const T* x, const T* dy, const T* x_scale, const T* dy_scale,
                        const ConvShape& s) {
  if (s.weight_size() == 0) return;
  const int64_t ci = s.ci_per_group(), co = s.co_per_group();
  for (int64_t g = 0; g < s.groups; ++g) {
    WeightGemm<T> p;
    p.dw = dw + g * co * ci * s.taps();
    p.x = x + g * ci * s.input_area();
    p.dy = dy + g * co * s.output_area();
    p.x_scale = x_scale ? x_scale + g * ci : nullptr;
    p.dy_scale = dy_scale ? dy_scale + g * co : nullptr;
    p.x_sample_stride = s.ci * s.input_area();
    p.dy_sample_stride = s.co * s.output_area();
    p.x_scale_stride = s.ci;
    p.dy_scale_stride = s.co;
    p.n = s.n;
    p.ci = ci;
    p.co = co;
    p.h = s.h;
    p.w = s.w;
    p.oh = s.oh;
    p.ow = s.ow;
    p.kh = s.kh;
    p.kw = s.kw;
    p.stride_y = s.stride_y;
    p.stride_x = s.stride_x;
    p.dilation_y = s.dilation_y;
    p.dilation_x = s.dilation_x;
    p.pad_top = s.pad_top;
    p.pad_left = s.pad_left;
    run(p);
  }
}

#define PYGAN_INSTANTIATE(T)                                                            \
  template void direct_forward(T*, const T*, const T*, const T*, const Epilogue<T>&,    \
                               const ConvShape&, const WeightLayout&);                  \
  template void direct_input_grad(T*, const T*, const T*, const T*, const Epilogue<T>&, \
                                  const ConvShape&, const WeightLayout&);               \
  template void direct_weight_grad(T*, const T*, const T*, const T*, const T*, const ConvShape&);
PYGAN_INSTANTIATE(float)
PYGAN_INSTANTIATE(double)
#undef PYGAN_INSTANTIATE

}  // namespace pygan
