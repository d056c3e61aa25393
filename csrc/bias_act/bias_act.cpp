#include "bias_act/bias_act.h"

#include "common/isa.h"

namespace pygan {

PYGAN_DECLARE_KERNELS(void bias_act_kernel(const BiasActCall& call);)

namespace {
void dispatch(const BiasActCall& call) { PYGAN_DISPATCH(bias_act_kernel(call)); }
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
