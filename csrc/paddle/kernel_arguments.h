// Inputs, attributes and outputs of a kernel, read one by one.
//
// PD_KERNEL spells a kernel's whole signature in templates. In Paddle 2.6 it instantiates itself
// twice for every optional input, one after the other: thirteen of them take the compiler a quarter
// of an hour. A function of the kernel context costs nothing, on every version:
//
//   void forward(paddle::CustomOpKernelContext* context) {
//     KernelArguments in(context);
//     const Tensor& x = in.tensor();
//     const OptionalTensor b = in.optional();
//     const auto gain = in.attribute<int64_t>();
//     in.give({y});
//   }
//   PD_BUILD_OP(...).SetKernelFn(forward)
#pragma once

#include <vector>

#include "paddle/common.h"

namespace pygan {
namespace binding {

class KernelArguments {
 public:
  explicit KernelArguments(paddle::CustomOpKernelContext* context) : context_(context) {}

  // The next input, or the next attribute, in the order of registration.
  const Tensor& tensor() { return context_->InputAt(context_->InputRangeAt(input_++).first); }
  OptionalTensor optional() {
    const Tensor& x = tensor();
    if (!x.initialized()) return paddle::none;
    return x;
  }
  template <typename T>
  T attribute() {
    return context_->AttrAt<T>(attribute_++);
  }

  // The outputs, in order; undefined ones for the gradients of absent optional inputs.
  void give(const std::vector<Tensor>& outputs) { assign(context_, outputs, 0); }

 private:
  // Paddle 3 has a function of its own for this.
  template <typename Context>
  static auto assign(Context* context, const std::vector<Tensor>& outputs, int)
      -> decltype(context->ValidateAndAssignOutputs(outputs)) {
    return context->ValidateAndAssignOutputs(outputs);
  }
  template <typename Context>
  static void assign(Context* context, const std::vector<Tensor>& outputs, long) {
    const std::vector<Tensor*>& slots = *context->AllMutablePlainOutput();
    PD_CHECK(slots.size() == outputs.size(), "pygan: internal error, ", outputs.size(),
             " outputs for ", slots.size(), " slots.");
    for (size_t i = 0; i < outputs.size(); ++i) paddle::AssignTensorImpl(outputs[i], slots[i]);
  }

  paddle::CustomOpKernelContext* context_;
  size_t input_ = 0, attribute_ = 0;
};

}  // namespace binding
}  // namespace pygan
