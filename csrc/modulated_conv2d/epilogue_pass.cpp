#include "modulated_conv2d/epilogue_pass.h"

#include "common/parallel.h"

namespace pygan {
namespace {

template <typename T>
void run_plane(T* y, const Epilogue<T>& epilogue, int64_t sample, int64_t channel, int64_t channels,
               int64_t area) {
  PYGAN_DISPATCH(epilogue_plane(y, epilogue, sample, channel, channels, area));
}

}  // namespace

template <typename T>
void apply_epilogue_planes(T* y, const Epilogue<T>& epilogue, int64_t begin, int64_t end,
                           int64_t channels, int64_t area) {
  for (int64_t i = begin; i < end; ++i) {
    run_plane<T>(y + i * area, epilogue, i / channels, i % channels, channels, area);
  }
}

template <typename T>
void apply_epilogue(T* y, const Epilogue<T>& epilogue, int64_t n, int64_t channels, int64_t area) {
  if (is_identity(epilogue)) return;
#pragma omp parallel for schedule(static) if (n * channels * area >= kSerialBelow)
  for (int64_t i = 0; i < n * channels; ++i) {
    apply_epilogue_planes<T>(y, epilogue, i, i + 1, channels, area);
  }
}

#define PYGAN_INSTANTIATE(T)                                                                \
  template void apply_epilogue_planes<T>(T*, const Epilogue<T>&, int64_t, int64_t, int64_t, \
                                         int64_t);                                          \
  template void apply_epilogue<T>(T*, const Epilogue<T>&, int64_t, int64_t, int64_t);
PYGAN_INSTANTIATE(float)
PYGAN_INSTANTIATE(double)
#undef PYGAN_INSTANTIATE

}  // namespace pygan
