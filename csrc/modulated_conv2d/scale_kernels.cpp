#include "modulated_conv2d/scale_kernels.h"

#include "common/parallel.h"
#include "modulated_conv2d/epilogue_apply.h"

namespace pygan {
namespace PYGAN_ISA {

void scale_planes(float* out, const float* in, const float* scale, int64_t planes, int64_t area) {
  constexpr int L = lanes<float>();
#pragma omp parallel for schedule(static) if (planes * area >= kSerialBelow)
  for (int64_t p = 0; p < planes; ++p) {
    const float s = scale[p];
    const float* from = in + p * area;
    float* to = out + p * area;
    int64_t i = 0;
    for (; i + L <= area; i += L) store(to + i, load(from + i) * splat(s));
    for (; i < area; ++i) to[i] = from[i] * s;
  }
}

void apply_epilogue(float* y, const Epilogue<float>& epilogue, int64_t n, int64_t channels,
                    int64_t area) {
#pragma omp parallel for schedule(static) if (n * channels * area >= kSerialBelow)
  for (int64_t p = 0; p < n * channels; ++p) {
    apply_run(y + p * area, y + p * area, area, 0,
              channel_epilogue(epilogue, p / channels, p % channels, channels));
  }
}

}  // namespace PYGAN_ISA
}  // namespace pygan
