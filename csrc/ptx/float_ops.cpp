// f32 and f64 arithmetic, rounded to nearest even. Directed roundings: rounding_ops.cpp.
#include "decoder.h"
#include "elementwise.h"
#include "float_formats.h"

namespace ptxemu {
namespace {

template <bool kFlush>
float Flush(float value) {
  return kFlush ? FlushSubnormal(value) : value;
}

struct Add {
  template <class T>
  static T Apply(T a, T b) {
    return a + b;
  }
};
struct Sub {
  template <class T>
  static T Apply(T a, T b) {
    return a - b;
  }
};
struct Mul {
  template <class T>
  static T Apply(T a, T b) {
    return a * b;
  }
};
struct Div {
  template <class T>
  static T Apply(T a, T b) {
    return a / b;
  }
};
struct Min {
  template <class T>
  static T Apply(T a, T b) {
    return MinimumNumber(a, b);
  }
};
struct Max {
  template <class T>
  static T Apply(T a, T b) {
    return MaximumNumber(a, b);
  }
};
// .NaN: a NaN in either operand wins. .xorsign.abs: magnitudes, and the product's sign.
template <class F>
struct PropagateNan {
  static float Apply(float a, float b) {
    return a != a || b != b ? BitsFloat(0x7fffffff) : F::Apply(a, b);
  }
};
template <class F>
struct XorSign {
  static float Apply(float a, float b) {
    const uint32_t sign = (FloatBits(a) ^ FloatBits(b)) & 0x80000000;
    const uint32_t magnitude = FloatBits(F::Apply(std::fabs(a), std::fabs(b)));
    return BitsFloat((magnitude & 0x7fffffff) | sign);
  }
};
struct Fma {
  static float Apply(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
  static double Apply(double a, double b, double c) { return __builtin_fma(a, b, c); }
};
struct Neg {
  template <class T>
  static T Apply(T a) {
    return -a;
  }
};
struct Abs {
  template <class T>
  static T Apply(T a) {
    return std::fabs(a);
  }
};

// Subnormal operands and results as zeros (.ftz), results clamped to [0, 1] (.sat).
template <class F, bool kFlush, bool kSaturate>
struct Adjusted {
  template <class... T>
  static float Apply(T... operands) {
    const float result = Flush<kFlush>(F::Apply(Flush<kFlush>(operands)...));
    return kSaturate ? Saturate(result) : result;
  }
};

template <class F>
Handler BinarySingle(bool flush, bool saturate) {
  if (saturate) {
    return flush ? Binary<float, Adjusted<F, true, true>> : Binary<float, Adjusted<F, false, true>>;
  }
  return flush ? Binary<float, Adjusted<F, true, false>> : Binary<float, F>;
}

template <class F>
Handler MinMaxSingle(const Decoder& d) {
  if (d.Has("xorsign")) return BinarySingle<XorSign<F>>(d.Has("ftz"), false);
  if (d.Has("NaN")) return BinarySingle<PropagateNan<F>>(d.Has("ftz"), false);
  return BinarySingle<F>(d.Has("ftz"), false);
}

Handler SingleHandler(const Decoder& d) {
  const std::string& base = d.base();
  const bool flush = d.Has("ftz"), saturate = d.Has("sat");
  if (base == "add") return BinarySingle<Add>(flush, saturate);
  if (base == "sub") return BinarySingle<Sub>(flush, saturate);
  if (base == "mul") return BinarySingle<Mul>(flush, saturate);
  if (base == "div") return BinarySingle<Div>(flush, false);  // approximations are exact here
  if (base == "min") return MinMaxSingle<Min>(d);
  if (base == "max") return MinMaxSingle<Max>(d);
  if (base == "neg") return flush ? Unary<float, Adjusted<Neg, true, false>> : Unary<float, Neg>;
  if (base == "abs") return flush ? Unary<float, Adjusted<Abs, true, false>> : Unary<float, Abs>;
  if (base != "fma" && base != "mad") return nullptr;
  if (saturate) {
    return flush ? Ternary<float, Adjusted<Fma, true, true>>
                 : Ternary<float, Adjusted<Fma, false, true>>;
  }
  return flush ? Ternary<float, Adjusted<Fma, true, false>> : Ternary<float, Fma>;
}

Handler DoubleHandler(const std::string& base) {
  if (base == "add") return Binary<double, Add>;
  if (base == "sub") return Binary<double, Sub>;
  if (base == "mul") return Binary<double, Mul>;
  if (base == "div") return Binary<double, Div>;
  if (base == "min") return Binary<double, Min>;
  if (base == "max") return Binary<double, Max>;
  if (base == "neg") return Unary<double, Neg>;
  if (base == "abs") return Unary<double, Abs>;
  if (base == "fma" || base == "mad") return Ternary<double, Fma>;
  return nullptr;
}

}  // namespace

void DecodeFloat(Decoder& d) {
  const std::string& base = d.base();
  const bool is_single = d.type() == Type::kF32;
  d.out.category = base == "div" ? Category::kSpecial : is_single ? Category::kF32 : Category::kF64;
  const bool fused = base == "fma" || base == "mad", unary = base == "neg" || base == "abs";
  const size_t operands = fused ? 4 : unary ? 2 : 3;
  if (d.operand_count() != operands) return d.Unsupported();  // min and max of three: sm_100
  d.Simple(static_cast<int>(operands) - 1);
  d.out.flops = fused ? 2 : unary ? 0 : 1;
  d.out.execute = is_single ? SingleHandler(d) : DoubleHandler(base);
}

}  // namespace ptxemu
