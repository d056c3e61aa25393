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

// Forward: output i reads i * stride + (a * dilation - pad) at tap a.
Taps forward_taps(int kernel, int64_t dilation, int64_t pad, int64_t weight_stride) {
  Taps taps;
  for (int64_t a = 0; a < kernel; ++a) {
    taps.source.push_back(a * dilation - pad);
    taps.weight.push_back(a * weight_stride);
  }
  return taps;
}

// Input gradient: input phase + stride * j receives output j + (phase + pad - a * dilation) / stride
// through each tap a for which the division is exact.
Taps phase_taps(int kernel, int64_t stride, int64_t dilation, int64_t pad, int64_t phase,
                int64_t weight_stride) {
  Taps taps;
  for (int64_t a = 0; a < kernel; ++a) {
    const int64_t distance = phase + pad - a * dilation;
    if (distance % stride != 0) continue;
    taps.source.push_back(distance / stride);
    taps.weight.push_back(a * weight_stride);
  }
  return taps;
}

template <typename T>
Epilogue<T> of_group(Epilogue<T> e, int64_t first_channel) {
  if (e.scale) e.scale += first_channel;
  if (e.bias) e.bias += first_channel;
  return e;
}

template <typename T>
void set_taps(CorrGemm<T>* p, const Taps& y, const Taps& x) {
  p->taps_y = y.count();
  p->taps_x = x.count();
  p->src_y = y.source.data();
  p->a_y = y.weight.data();
  p->src_x = x.source.data();
  p->a_x = x.weight.data();
}

// A 1x1 kernel that reads every pixel in place sees the image as one long row.
template <typename T>
void flatten(CorrGemm<T>* p) {
  if (p->taps_y != 1 || p->taps_x != 1 || p->src_y[0] != 0 || p->src_x[0] != 0) return;
  if (p->step_y != 1 || p->step_x != 1 || p->out_step_y != 1 || p->out_step_x != 1) return;
  if (p->grid_h != p->src_h || p->grid_w != p->src_w) return;
  if (p->grid_h != p->out_h || p->grid_w != p->out_w || p->y0 != 0 || p->x0 != 0) return;
  p->grid_w = p->src_w = p->out_w = p->grid_h * p->grid_w;
  p->grid_h = p->src_h = p->out_h = 1;
}

}  // namespace

template <typename T>
void direct_forward(T* y, const T* x, const T* w, const T* x_scale, const Epilogue<T>& epilogue,
                    const ConvShape& s) {
  if (s.y_size() == 0) return;
  const int64_t ci = s.ci_per_group(), co = s.co_per_group(), taps = s.taps();
  const Taps taps_y = forward_taps(s.kh, s.dilation_y, s.pad_top, s.kw);
  const Taps taps_x = forward_taps(s.kw, s.dilation_x, s.pad_left, 1);
  for (int64_t g = 0; g < s.groups; ++g) {
    CorrGemm<T> p;
    p.rows = co;
    p.channels = ci;
    p.n = s.n;
    p.grid_h = s.oh;
    p.grid_w = s.ow;
    p.src = x + g * ci * s.input_area();
    p.src_sample_stride = s.ci * s.input_area();
    p.src_h = s.h;
    p.src_w = s.w;
    p.step_y = s.stride_y;
    p.step_x = s.stride_x;
    p.scale = x_scale ? x_scale + g * ci : nullptr;
    p.scale_stride = s.ci;
    p.a = w + g * co * ci * taps;
    p.a_row_stride = ci * taps;
    p.a_channel_stride = taps;
    set_taps(&p, taps_y, taps_x);
    p.out = y + g * co * s.output_area();
    p.out_sample_stride = s.co * s.output_area();
    p.out_h = s.oh;
    p.out_w = s.ow;
    p.y0 = p.x0 = 0;
    p.out_step_y = p.out_step_x = 1;
    p.epilogue = of_group(epilogue, g * co);
    p.epilogue_channels = s.co;
    flatten(&p);
    run(p);
  }
}

template <typename T>
void direct_input_grad(T* dx, const T* dy, const T* w, const T* dy_scale,
                       const Epilogue<T>& epilogue, const ConvShape& s) {
  if (s.x_size() == 0) return;
  const int64_t ci = s.ci_per_group(), co = s.co_per_group(), taps = s.taps();
  for (int64_t phase = 0; phase < int64_t{s.stride_y} * s.stride_x; ++phase) {
    const int64_t y0 = phase / s.stride_x, x0 = phase % s.stride_x;
    if (y0 >= s.h || x0 >= s.w) continue;
    const Taps taps_y = phase_taps(s.kh, s.stride_y, s.dilation_y, s.pad_top, y0, s.kw);
    const Taps taps_x = phase_taps(s.kw, s.stride_x, s.dilation_x, s.pad_left, x0, 1);
    for (int64_t g = 0; g < s.groups; ++g) {
      CorrGemm<T> p;
      p.rows = ci;
      p.channels = co;
      p.n = s.n;
      p.grid_h = (s.h - y0 + s.stride_y - 1) / s.stride_y;
      p.grid_w = (s.w - x0 + s.stride_x - 1) / s.stride_x;
      p.src = dy + g * co * s.output_area();
      p.src_sample_stride = s.co * s.output_area();
      p.src_h = s.oh;
      p.src_w = s.ow;
      p.step_y = p.step_x = 1;
      p.scale = dy_scale ? dy_scale + g * co : nullptr;
      p.scale_stride = s.co;
      p.a = w + g * co * ci * taps;
      p.a_row_stride = taps;
      p.a_channel_stride = ci * taps;
      set_taps(&p, taps_y, taps_x);
      p.out = dx + g * ci * s.input_area();
      p.out_sample_stride = s.ci * s.input_area();
      p.out_h = s.h;
      p.out_w = s.w;
      p.y0 = y0;
      p.x0 = x0;
      p.out_step_y = s.stride_y;
      p.out_step_x = s.stride_x;
      p.epilogue = of_group(epilogue, g * ci);
      p.epilogue_channels = s.ci;
      flatten(&p);
      run(p);
    }
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

#define PYGAN_INSTANTIATE(T)                                                             \
  template void direct_forward(T*, const T*, const T*, const T*, const Epilogue<T>&,     \
                               const ConvShape&);                                        \
  template void direct_input_grad(T*, const T*, const T*, const T*, const Epilogue<T>&,  \
                                  const ConvShape&);                                     \
  template void direct_weight_grad(T*, const T*, const T*, const T*, const T*, const ConvShape&);
PYGAN_INSTANTIATE(float)
PYGAN_INSTANTIATE(double)
#undef PYGAN_INSTANTIATE

}  // namespace pygan
