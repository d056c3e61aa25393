// Sweeps over float16 and bfloat16, by way of buffers of float.
#include "bias_act/run.h"

namespace pygan {
namespace PYGAN_ISA {
namespace {

constexpr int64_t kStage = 512;  // elements converted at a time

template <typename T>
const float* read(float* buffer, const T* from, int64_t n) {
  if (from == nullptr) return nullptr;
  for (int64_t i = 0; i < n; ++i) buffer[i] = to_float(from[i]);
  return buffer;
}

template <typename T>
void write(const float* buffer, T* to, int64_t n) {
  if (to == nullptr) return;
  for (int64_t i = 0; i < n; ++i) from_float(buffer[i], to + i);
}

}  // namespace

template <typename T>
void sweep_converted(Sweep<float> sweep, Parameters<float> p, Elements<T> e, int64_t n,
                     Sums<float>* sums) {
  alignas(64) float buffers[8][kStage];
  while (n > 0) {
    const int64_t count = n < kStage ? n : kStage;
    const Elements<float> converted = {
        read(buffers[0], e.x, count),           read(buffers[1], e.dy, count),
        read(buffers[2], e.ddx, count),         read(buffers[3], e.noise, count),
        read(buffers[4], e.ddnoise, count),     e.out == nullptr ? nullptr : buffers[5],
        e.gx == nullptr ? nullptr : buffers[6], e.gscale == nullptr ? nullptr : buffers[7]};
    sweep(p, converted, count, false, sums);
    write(buffers[5], e.out, count);
    write(buffers[6], e.gx, count);
    write(buffers[7], e.gscale, count);
    skip(&e, count);
    skip(&p, count);
    skip(&sums->b_elements, count);
    skip(&sums->noise_elements, count);
    n -= count;
  }
}

template void sweep_converted(Sweep<float>, Parameters<float>, Elements<float16>, int64_t,
                              Sums<float>*);
template void sweep_converted(Sweep<float>, Parameters<float>, Elements<bfloat16>, int64_t,
                              Sums<float>*);

}  // namespace PYGAN_ISA
}  // namespace pygan
