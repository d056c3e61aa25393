#pragma once

#include "common/half.h"
#include "upfirdn2d/plan.h"

namespace pygan {

// Rows [row0, row1) of one output plane, y and x being the plane's first elements. `workspace` is
// 64-byte aligned and holds plan.workspace_bytes. T: float, double, float16 or bfloat16.
template <typename T>
void upfirdn2d_tile(const Upfirdn2dPlan<typename Compute<T>::type>& plan, T* y, const T* x,
                    int64_t row0, int64_t row1, void* workspace);

}  // namespace pygan
