// Functions of the special function unit: sqrt, rcp, rsqrt, ex2, lg2, sin, cos, tanh. The
// approximate ones are computed accurately, so they may differ from a GPU in their last bits.
#include "decoder.h"
#include "elementwise.h"
#include "float_formats.h"

namespace ptxemu {
namespace {

struct Sqrt {
  static float Apply(float a) { return std::sqrt(a); }
  static double Apply(double a) { return std::sqrt(a); }
};
struct Reciprocal {
  static float Apply(float a) { return 1.0f / a; }
  static double Apply(double a) { return 1.0 / a; }
};
struct ReciprocalSqrt {
  static float Apply(float a) { return static_cast<float>(Apply(static_cast<double>(a))); }
  static double Apply(double a) { return 1.0 / std::sqrt(a); }
};
// Computed in double and rounded once.
#define PTXEMU_SINGLE(Name, expression)        \
  struct Name {                                \
    static float Apply(float a) {              \
      const double x = static_cast<double>(a); \
      return static_cast<float>(expression);   \
    }                                          \
  };
PTXEMU_SINGLE(Exp2, std::exp2(x))
PTXEMU_SINGLE(Log2, std::log2(x))
PTXEMU_SINGLE(Sin, std::sin(x))
PTXEMU_SINGLE(Cos, std::cos(x))
PTXEMU_SINGLE(Tanh, std::tanh(x))
#undef PTXEMU_SINGLE

template <class F>
struct Flushed {
  static float Apply(float a) { return FlushSubnormal(F::Apply(FlushSubnormal(a))); }
};
// .approx.ftz.f64 delivers the upper 32 bits only.
template <class F>
struct UpperHalf {
  static double Apply(double a) {
    return BitsDouble(DoubleBits(F::Apply(a)) & 0xffffffff00000000ull);
  }
};
// The 16-bit formats, by way of float.
template <class F, bool kBrain>
struct OnHalf {
  static uint16_t Apply(uint16_t a) {
    return kBrain ? FloatToBFloat(F::Apply(BFloatToFloat(a)))
                  : FloatToHalf(F::Apply(HalfToFloat(a)));
  }
};
template <class F>
struct OnPair {
  static uint32_t Apply(uint32_t a) {
    return F::Apply(static_cast<uint16_t>(a)) |
           static_cast<uint32_t>(F::Apply(static_cast<uint16_t>(a >> 16))) << 16;
  }
};

template <class F>
Handler Select(const Decoder& d) {
  switch (d.type()) {
    case Type::kF32:
      return d.Has("ftz") ? Unary<float, Flushed<F>> : Unary<float, F>;
    case Type::kF16:
      return Unary<uint16_t, OnHalf<F, false>>;
    case Type::kF16x2:
      return Unary<uint32_t, OnPair<OnHalf<F, false>>>;
    case Type::kBF16:
      return Unary<uint16_t, OnHalf<F, true>>;
    case Type::kBF16x2:
      return Unary<uint32_t, OnPair<OnHalf<F, true>>>;
    default:
      return nullptr;
  }
}

template <class F>
Handler SelectDouble(const Decoder& d) {
  return d.Has("approx") ? Unary<double, UpperHalf<F>> : Unary<double, F>;
}

}  // namespace

void DecodeSpecial(Decoder& d) {
  const std::string& base = d.base();
  if (d.Has("rz") || d.Has("rm") || d.Has("rp")) return DecodeDirected(d);
  d.out.category = Category::kSpecial;
  d.out.flops = IsPacked(d.type()) ? 2 : 1;
  d.Simple(1);
  if (base == "tanh" || (base == "ex2" && IsHalf(d.type()))) d.RequireArch(75);
  if (d.type() == Type::kBF16 || d.type() == Type::kBF16x2) d.RequireArch(90);
  if (d.type() == Type::kF64) {
    if (base == "sqrt") d.out.execute = SelectDouble<Sqrt>(d);
    if (base == "rcp") d.out.execute = SelectDouble<Reciprocal>(d);
    if (base == "rsqrt") d.out.execute = SelectDouble<ReciprocalSqrt>(d);
    return;
  }
  if (base == "sqrt") d.out.execute = Select<Sqrt>(d);
  if (base == "rcp") d.out.execute = Select<Reciprocal>(d);
  if (base == "rsqrt") d.out.execute = Select<ReciprocalSqrt>(d);
  if (base == "ex2") d.out.execute = Select<Exp2>(d);
  if (base == "lg2") d.out.execute = Select<Log2>(d);
  if (base == "sin") d.out.execute = Select<Sin>(d);
  if (base == "cos") d.out.execute = Select<Cos>(d);
  if (base == "tanh") d.out.execute = Select<Tanh>(d);
}

}  // namespace ptxemu
