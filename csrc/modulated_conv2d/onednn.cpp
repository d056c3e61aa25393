#include "modulated_conv2d/onednn.h"

#include <algorithm>
#include <exception>
#include <initializer_list>
#include <list>
#include <memory>
#include <mutex>

#include "common/parallel.h"
#include "common/scratch.h"
#include "modulated_conv2d/onednn_abi.h"
#include "modulated_conv2d/plan.h"
#include "modulated_conv2d/scale_kernels.h"

namespace pygan {
namespace {

using dnnl::Functions;

constexpr size_t kCachedPrimitives = 128;

const Functions* api() { return dnnl::functions(nullptr); }

// The engine and each thread's stream live until the process ends: the library may be gone before
// our static destructors run.
dnnl::Engine engine() {
  static const dnnl::Engine instance = [] {
    dnnl::Engine e = nullptr;
    return api()->engine_create(&e, dnnl::kCpu, 0) == dnnl::kSuccess ? e : nullptr;
  }();
  return instance;
}

dnnl::Stream stream() {
  thread_local const dnnl::Stream instance = [] {
    dnnl::Stream s = nullptr;
    const bool made = api()->stream_create(&s, engine(), dnnl::kInOrder) == dnnl::kSuccess;
    return made ? s : nullptr;
  }();
  return instance;
}

// An operand of a convolution: as it lies in memory (plain), as the primitive wants it (packed),
// and the reorder between the two where they differ.
struct Operand {
  dnnl::MemoryDesc plain = nullptr, packed = nullptr;
  dnnl::Primitive reorder = nullptr;
  dnnl::MemoryDesc reorder_scratch_desc = nullptr;
};

// One convolution made for one geometry and one number of threads.
struct Convolution {
  Operand in, other, out;  // other: the weights, or dy for the weight gradient
  int in_argument = 0, other_argument = 0, out_argument = 0;
  dnnl::Primitive primitive = nullptr;
  dnnl::MemoryDesc scratch_desc = nullptr;
  bool usable = false;

  Convolution() = default;
  Convolution(const Convolution&) = delete;
  Convolution& operator=(const Convolution&) = delete;
  ~Convolution() {
    const Functions* f = api();
    for (Operand* o : {&in, &other, &out}) {
      if (o->reorder) f->primitive_destroy(o->reorder);
      for (dnnl::MemoryDesc d : {o->plain, o->packed, o->reorder_scratch_desc}) {
        if (d) f->memory_desc_destroy(d);
      }
    }
    if (primitive) f->primitive_destroy(primitive);
    if (scratch_desc) f->memory_desc_destroy(scratch_desc);
  }
};

bool clone(dnnl::MemoryDesc* to, dnnl::ConstMemoryDesc from) {
  return from != nullptr && api()->memory_desc_clone(to, from) == dnnl::kSuccess;
}

// Turns a primitive descriptor, which it destroys, into a primitive and its scratchpad's layout.
bool finish(dnnl::PrimitiveDesc desc, dnnl::Primitive* primitive, dnnl::MemoryDesc* scratch) {
  const Functions* f = api();
  const bool made = clone(scratch, f->primitive_desc_query_md(desc, dnnl::kQueryScratchpad, 0)) &&
                    f->primitive_create(primitive, desc) == dnnl::kSuccess;
  f->primitive_desc_destroy(desc);
  return made;
}

// Layouts of one operand: dense with these extents, and left to the primitive.
struct Layouts {
  dnnl::MemoryDesc plain = nullptr, any = nullptr;

  Layouts(std::initializer_list<int64_t> extents) {
    dnnl::Dims dims = {}, strides = {};
    const int count = static_cast<int>(extents.size());
    std::copy(extents.begin(), extents.end(), dims);
    int64_t stride = 1;
    for (int i = count - 1; i >= 0; --i) {
      strides[i] = stride;
      stride *= dims[i];
    }
    api()->memory_desc_create_with_strides(&plain, count, dims, dnnl::kFloat32, strides);
    api()->memory_desc_create_with_tag(&any, count, dims, dnnl::kFloat32, dnnl::kAnyLayout);
  }
  Layouts(const Layouts&) = delete;
  Layouts& operator=(const Layouts&) = delete;
  ~Layouts() {
    if (plain) api()->memory_desc_destroy(plain);
    if (any) api()->memory_desc_destroy(any);
  }
  bool made() const { return plain && any; }
};

struct AttributesHolder {
  dnnl::Attributes value = nullptr;
  AttributesHolder() {
    if (api()->primitive_attr_create(&value) != dnnl::kSuccess) value = nullptr;
    if (value) api()->primitive_attr_set_scratchpad_mode(value, dnnl::kUserScratchpad);
  }
  ~AttributesHolder() {
    if (value) api()->primitive_attr_destroy(value);
  }
};

bool make_operand(Operand* o, const Layouts& layouts, dnnl::ConstMemoryDesc packed, bool is_output,
                  dnnl::Attributes attributes) {
  const Functions* f = api();
  if (!clone(&o->plain, layouts.plain) || !clone(&o->packed, packed)) return false;
  if (f->memory_desc_equal(o->plain, o->packed)) return true;
  dnnl::PrimitiveDesc desc = nullptr;
  const auto from = is_output ? o->packed : o->plain, to = is_output ? o->plain : o->packed;
  if (f->reorder_primitive_desc_create(&desc, from, engine(), to, engine(), attributes) !=
      dnnl::kSuccess) {
    return false;
  }
  return finish(desc, &o->reorder, &o->reorder_scratch_desc);
}

// The trailing padding that gives `out` positions: zero if it can be, and none below zero.
bool trailing_padding(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t dilation,
                      int64_t leading, int64_t* trailing) {
  const int64_t least = (out - 1) * stride + (kernel - 1) * dilation + 1 - in - leading;
  *trailing = least > 0 ? least : 0;
  return *trailing < least + stride;
}

bool make_convolution(Convolution* c, ConvOp op, const ConvShape& s) {
  const Functions* f = api();
  if (engine() == nullptr || s.pad_top < 0 || s.pad_left < 0 || s.macs() == 0) return false;
  const dnnl::Dims strides = {s.stride_y, s.stride_x};
  const dnnl::Dims dilations = {s.dilation_y - 1, s.dilation_x - 1};
  const dnnl::Dims leading = {s.pad_top, s.pad_left};
  dnnl::Dims trailing = {};
  if (!trailing_padding(s.h, s.oh, s.kh, s.stride_y, s.dilation_y, s.pad_top, &trailing[0]) ||
      !trailing_padding(s.w, s.ow, s.kw, s.stride_x, s.dilation_x, s.pad_left, &trailing[1])) {
    return false;
  }
  const Layouts x{s.n, s.ci, s.h, s.w}, y{s.n, s.co, s.oh, s.ow};
  const int64_t ci = s.ci_per_group(), co = s.co_per_group();
  const Layouts w =
      s.groups > 1 ? Layouts{s.groups, co, ci, s.kh, s.kw} : Layouts{s.co, s.ci, s.kh, s.kw};
  const AttributesHolder attributes;
  if (!x.made() || !y.made() || !w.made() || attributes.value == nullptr) return false;

  dnnl::PrimitiveDesc forward = nullptr, desc = nullptr;
  if (f->convolution_forward_primitive_desc_create(
          &forward, engine(), dnnl::kForwardTraining, dnnl::kDirect, x.any, w.any, nullptr, y.any,
          strides, dilations, leading, trailing, attributes.value) != dnnl::kSuccess) {
    return false;
  }
  const auto query = [f](dnnl::PrimitiveDesc d, int what) {
    return f->primitive_desc_query_md(d, what, 0);
  };
  const dnnl::Attributes a = attributes.value;
  bool made = false;
  switch (op) {
    case ConvOp::forward:
      c->in_argument = dnnl::kArgSource;
      c->other_argument = dnnl::kArgWeights;
      c->out_argument = dnnl::kArgDestination;
      desc = forward;
      made = make_operand(&c->in, x, query(desc, dnnl::kQuerySource), false, a) &&
             make_operand(&c->other, w, query(desc, dnnl::kQueryWeights), false, a) &&
             make_operand(&c->out, y, query(desc, dnnl::kQueryDestination), true, a);
      break;
    case ConvOp::input_grad:
      c->in_argument = dnnl::kArgDiffDestination;
      c->other_argument = dnnl::kArgWeights;
      c->out_argument = dnnl::kArgDiffSource;
      made = f->convolution_backward_data_primitive_desc_create(
                 &desc, engine(), dnnl::kDirect, x.any, w.any, y.any, strides, dilations, leading,
                 trailing, forward, a) == dnnl::kSuccess &&
             make_operand(&c->in, y, query(desc, dnnl::kQueryDiffDestination), false, a) &&
             make_operand(&c->other, w, query(desc, dnnl::kQueryWeights), false, a) &&
             make_operand(&c->out, x, query(desc, dnnl::kQueryDiffSource), true, a);
      break;
    case ConvOp::weight_grad:
      c->in_argument = dnnl::kArgSource;
      c->other_argument = dnnl::kArgDiffDestination;
      c->out_argument = dnnl::kArgDiffWeights;
      made = f->convolution_backward_weights_primitive_desc_create(
                 &desc, engine(), dnnl::kDirect, x.any, w.any, nullptr, y.any, strides, dilations,
                 leading, trailing, forward, a) == dnnl::kSuccess &&
             make_operand(&c->in, x, query(desc, dnnl::kQuerySource), false, a) &&
             make_operand(&c->other, y, query(desc, dnnl::kQueryDiffDestination), false, a) &&
             make_operand(&c->out, w, query(desc, dnnl::kQueryDiffWeights), true, a);
      break;
  }
  if (desc != forward) f->primitive_desc_destroy(forward);
  if (!made) {
    if (desc) f->primitive_desc_destroy(desc);
    return false;
  }
  return finish(desc, &c->primitive, &c->scratch_desc);
}

struct Key {
  ConvOp op;
  ConvShape shape;
  int threads;
};

bool same(const Key& a, const Key& b) {
  const ConvShape &s = a.shape, &t = b.shape;
  return a.op == b.op && a.threads == b.threads && s.n == t.n && s.ci == t.ci && s.co == t.co &&
         s.h == t.h && s.w == t.w && s.oh == t.oh && s.ow == t.ow && s.kh == t.kh && s.kw == t.kw &&
         s.stride_y == t.stride_y && s.stride_x == t.stride_x && s.dilation_y == t.dilation_y &&
         s.dilation_x == t.dilation_x && s.pad_top == t.pad_top && s.pad_left == t.pad_left &&
         s.groups == t.groups;
}

// The convolution for this geometry, made on first use, or one that is not usable. A network has
// tens of geometries; the one used longest ago gives way.
std::shared_ptr<const Convolution> convolution(ConvOp op, const ConvShape& shape) {
  struct Entry {
    Key key;
    std::shared_ptr<const Convolution> value;
  };
  static std::mutex mutex;
  static auto& entries = *new std::list<Entry>;  // never destroyed: see engine()
  const Key key{op, shape, max_threads()};
  const std::lock_guard<std::mutex> lock(mutex);
  for (auto e = entries.begin(); e != entries.end(); ++e) {
    if (same(e->key, key)) {
      entries.splice(entries.begin(), entries, e);
      return e->value;
    }
  }
  auto made = std::make_shared<Convolution>();
  made->usable = make_convolution(made.get(), op, shape);
  entries.push_front({key, made});
  if (entries.size() > kCachedPrimitives) entries.pop_back();
  return made;
}

// Memories of one execution.
class Execution {
 public:
  ~Execution() {
    for (int i = 0; i < count_; ++i) api()->memory_destroy(memories_[i]);
  }

  dnnl::Memory memory(dnnl::ConstMemoryDesc desc, const void* data) {
    dnnl::Memory m = nullptr;
    void* handle = const_cast<void*>(data);
    if (api()->memory_create(&m, desc, engine(), handle) != dnnl::kSuccess) return nullptr;
    memories_[count_++] = m;
    return m;
  }

  dnnl::Memory workspace(dnnl::ConstMemoryDesc desc) {
    return memory(desc, scratch_.bytes(api()->memory_desc_get_size(desc)));
  }

  bool run(dnnl::Primitive primitive, dnnl::ConstMemoryDesc scratch_desc,
           std::initializer_list<dnnl::Argument> arguments) {
    dnnl::Argument all[4];
    int count = 0;
    for (const dnnl::Argument& a : arguments) all[count++] = a;
    all[count++] = {dnnl::kArgScratchpad, workspace(scratch_desc)};
    for (int i = 0; i < count; ++i) {
      if (all[i].memory == nullptr) return false;
    }
    return api()->primitive_execute(primitive, stream(), count, all) == dnnl::kSuccess;
  }

  // The operand as the primitive wants it.
  dnnl::Memory packed(const Operand& o, const void* data) {
    const dnnl::Memory plain = memory(o.plain, data);
    if (o.reorder == nullptr) return plain;
    const dnnl::Memory to = workspace(o.packed);
    const bool done = run(o.reorder, o.reorder_scratch_desc,
                          {{dnnl::kArgSource, plain}, {dnnl::kArgDestination, to}});
    return done ? to : nullptr;
  }

 private:
  Scratch scratch_;
  dnnl::Memory memories_[16];
  int count_ = 0;
};

bool execute(const Convolution& c, float* out, const float* in, const float* other) {
  if (stream() == nullptr) return false;
  Execution run;
  const dnnl::Memory a = run.packed(c.in, in), b = run.packed(c.other, other);
  const dnnl::Memory plain = run.memory(c.out.plain, out);
  const dnnl::Memory result = c.out.reorder ? run.workspace(c.out.packed) : plain;
  bool done = run.run(c.primitive, c.scratch_desc,
                      {{c.in_argument, a}, {c.other_argument, b}, {c.out_argument, result}});
  if (done && c.out.reorder) {
    done = run.run(c.out.reorder, c.out.reorder_scratch_desc,
                   {{dnnl::kArgSource, result}, {dnnl::kArgDestination, plain}});
  }
  return api()->stream_wait(stream()) == dnnl::kSuccess && done;
}

void scale(float* out, const float* in, const float* factors, int64_t planes, int64_t area) {
  PYGAN_DISPATCH(scale_planes(out, in, factors, planes, area));
}

void finish(float* y, const Epilogue<float>& epilogue, int64_t n, int64_t channels, int64_t area) {
  PYGAN_DISPATCH(apply_epilogue(y, epilogue, n, channels, area));
}

// v * factors in scratch memory, or v where there are none.
const float* scaled(Scratch* scratch, const float* v, const float* factors, int64_t planes,
                    int64_t area) {
  if (factors == nullptr) return v;
  float* copy = scratch->get<float>(planes * area);
  scale(copy, v, factors, planes, area);
  return copy;
}

}  // namespace

bool onednn_available() { return api() != nullptr; }

const char* onednn_status() {
  const char* status;
  dnnl::functions(&status);
  return status;
}

bool onednn_forward(float* y, const float* x, const float* w, const float* x_scale,
                    const Epilogue<float>& epilogue, const ConvShape& s) try {
  if (!onednn_available()) return false;
  const auto c = convolution(ConvOp::forward, s);
  if (!c->usable) return false;
  Scratch scratch;
  if (!execute(*c, y, scaled(&scratch, x, x_scale, s.n * s.ci, s.input_area()), w)) return false;
  if (!is_identity(epilogue)) finish(y, epilogue, s.n, s.co, s.output_area());
  return true;
} catch (const std::exception&) {
  return false;
}

bool onednn_input_grad(float* dx, const float* dy, const float* w, const float* dy_scale,
                       const Epilogue<float>& epilogue, const ConvShape& s) try {
  if (!onednn_available()) return false;
  const auto c = convolution(ConvOp::input_grad, s);
  if (!c->usable) return false;
  Scratch scratch;
  const float* scaled_dy = scaled(&scratch, dy, dy_scale, s.n * s.co, s.output_area());
  if (!execute(*c, dx, scaled_dy, w)) return false;
  if (!is_identity(epilogue)) finish(dx, epilogue, s.n, s.ci, s.input_area());
  return true;
} catch (const std::exception&) {
  return false;
}

bool onednn_weight_grad(float* dw, const float* x, const float* dy, const float* x_scale,
                        const float* dy_scale, const ConvShape& s) try {
  if (!onednn_available()) return false;
  const auto c = convolution(ConvOp::weight_grad, s);
  if (!c->usable) return false;
  Scratch scratch;
  const float* scaled_x = scaled(&scratch, x, x_scale, s.n * s.ci, s.input_area());
  const float* scaled_dy = scaled(&scratch, dy, dy_scale, s.n * s.co, s.output_area());
  return execute(*c, dw, scaled_x, scaled_dy);
} catch (const std::exception&) {
  return false;
}

}  // namespace pygan
