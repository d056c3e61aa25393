// The activations of bias_act and of fused epilogues, by number (pygan/ops/bias_act.py has the same
// table with names, formulas and defaults).
#pragma once

namespace pygan {

enum class Activation : int {
  linear = 0,
  relu = 1,
  lrelu = 2,
  tanh = 3,
  sigmoid = 4,
  elu = 5,
  selu = 6,
  softplus = 7,
  swish = 8,
};
constexpr int kActivations = 9;

}  // namespace pygan
