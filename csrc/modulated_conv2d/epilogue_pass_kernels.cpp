#include "modulated_conv2d/epilogue_apply.h"
#include "modulated_conv2d/epilogue_pass.h"

namespace pygan {
namespace PYGAN_ISA {

void epilogue_plane(float* y, const Epilogue<float>& epilogue, int64_t sample, int64_t channel,
                    int64_t channels, int64_t area) {
  apply_run(y, y, area, 0, channel_epilogue(epilogue, sample, channel, channels));
}

void epilogue_plane(double* y, const Epilogue<double>& epilogue, int64_t sample, int64_t channel,
                    int64_t channels, int64_t area) {
  apply_run(y, y, area, 0, channel_epilogue(epilogue, sample, channel, channels));
}

}  // namespace PYGAN_ISA
}  // namespace pygan
