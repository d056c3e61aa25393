#pragma once

#include "common/half.h"
#include "common/isa.h"
#include "upfirdn2d/plan.h"

namespace pygan {

// Rows [row0, row1) of one output plane, y and x being the plane's first elements. `workspace` is
// 64-byte aligned and holds plan.workspace_bytes.
PYGAN_DECLARE_KERNELS(
    void upfirdn2d_tile(const Upfirdn2dPlan<float>& plan, float* y, const float* x, int64_t row0,
                        int64_t row1, void* workspace);
    void upfirdn2d_tile(const Upfirdn2dPlan<double>& plan, double* y, const double* x, int64_t row0,
                        int64_t row1, void* workspace);
    void upfirdn2d_tile(const Upfirdn2dPlan<float>& plan, float16* y, const float16* x,
                        int64_t row0, int64_t row1, void* workspace);
    void upfirdn2d_tile(const Upfirdn2dPlan<float>& plan, bfloat16* y, const bfloat16* x,
                        int64_t row0, int64_t row1, void* workspace);)

}  // namespace pygan
