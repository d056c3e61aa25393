// Staging (staging.h): the plan, and a launch that does nothing else.
#include <algorithm>
#include <limits>

#include "modulated_conv2d/staging_jobs.cuh"

namespace pygan {
namespace {

// Blocks per processor that the registers leave room for. Left alone, ptxas takes more on sm_120,
// or spills one to keep six.
template <Product kProduct, typename T>
__global__ void __launch_bounds__(kStagingThreads, kProduct == Product::exact ? 4 : 5)
    stage_kernel(Staged<kProduct, T>* images, Staged<kProduct, T>* weights, const T* x,
                 const T* x_scale, const T* w, const StagingGeometry s) {
  using Job = Stager<kProduct, T>;
  extern __shared__ uint4 shared[];
  auto* tile = reinterpret_cast<Compute<T>*>(shared);
  const uint32_t block = blockIdx.x;
  if (block < s.image_blocks) {
    Job::image(images, x, TensorScales<T>{x_scale}, s, block, tile);
  } else if (block < s.image_blocks + s.border_blocks) {
    Job::border(images, s, block - s.image_blocks);
  } else {
    Job::weights(weights, w, s, block - s.image_blocks - s.border_blocks, tile);
  }
}

// Fills in what concerns the images; returns their blocks.
int64_t plan_images(StagingGeometry* s, const StagingCall& call) {
  const StagedImages& images = *call.images;
  if (call.h * call.w > std::numeric_limits<int32_t>::max()) {
    throw std::runtime_error("conv2d: images of " + std::to_string(call.h) + " x " +
                             std::to_string(call.w) + " pixels; up to 2^31 - 1 can be staged.");
  }
  s->w = static_cast<uint32_t>(call.w);
  s->area = static_cast<uint32_t>(call.h * call.w);
  s->hp = images.hp;
  s->wp = images.wp;
  s->top = images.top;
  s->left = images.left;
  s->channels = images.channels;
  s->cp = images.cp;
  s->groups = static_cast<uint32_t>(images.groups);
  s->chunks = static_cast<uint32_t>(images.cp / kStagedChannels);
  s->tiles = static_cast<uint32_t>(ceil_div(call.h * call.w, kTilePixels));
  s->row_begin = std::clamp<int64_t>(images.top, 0, images.hp);
  s->row_end = std::clamp<int64_t>(images.top + call.h, s->row_begin, images.hp);
  s->column_begin = std::clamp<int64_t>(images.left, 0, images.wp);
  s->column_end = std::clamp<int64_t>(images.left + call.w, s->column_begin, images.wp);
  s->border =
      images.hp * images.wp - (s->row_end - s->row_begin) * (s->column_end - s->column_begin);
  s->border_tiles = static_cast<uint32_t>(ceil_div(s->border, kBorderPixels));
  s->vector = reinterpret_cast<uintptr_t>(call.x) % (4 * size_of(call.storage)) == 0 &&
              call.h * call.w % 4 == 0;
  const int64_t image_blocks = images.n * images.groups * s->chunks * s->tiles;
  const int64_t border_blocks = images.n * s->border_tiles;
  if (image_blocks + border_blocks > kMaxGridX) {
    throw std::runtime_error("conv2d: the images have too many elements for one launch.");
  }
  s->image_blocks = static_cast<uint32_t>(image_blocks);
  s->border_blocks = static_cast<uint32_t>(border_blocks);
  return image_blocks + border_blocks;
}

int64_t plan_weights(StagingGeometry* s, const StagingCall& call, int compute_bytes) {
  const StagedWeights& weights = *call.weights;
  s->rows = weights.rows;
  s->columns = weights.columns;
  s->w_rp = weights.rp;
  s->w_cp = weights.cp;
  s->taps = static_cast<uint32_t>(weights.taps);
  s->w_groups = static_cast<uint32_t>(weights.groups);
  s->w_chunks = static_cast<uint32_t>(weights.cp / kStagedChannels);
  s->exchanged = call.layout.exchanged;
  s->mirrored = call.layout.mirrored;
  // As many rows as 16 KB of shared memory hold, up to 8: runs of 8 * taps elements are read
  // without a gap even if rows and columns are exchanged.
  const int64_t row_bytes = kStagedChannels * weights.taps * compute_bytes;
  s->rows_per_tile = 8;
  while (s->rows_per_tile > 1 && s->rows_per_tile * row_bytes > 16 * 1024) s->rows_per_tile /= 2;
  s->w_row_tiles = static_cast<uint32_t>(weights.rp / s->rows_per_tile);
  return weights.groups * s->w_row_tiles * s->w_chunks;
}

}  // namespace

StagingPlan plan_staging(const StagingCall& call) {
  StagingPlan plan;
  const int compute_bytes = call.storage == Storage::float64 ? 8 : 4;
  if (call.images != nullptr && call.images->size() > 0) {
    plan.blocks += plan_images(&plan.geometry, call);
    plan.shared_bytes = kStagedChannels * kTilePixels * compute_bytes;
  }
  if (call.weights != nullptr && call.weights->size() > 0) {
    plan.blocks += plan_weights(&plan.geometry, call, compute_bytes);
    // Runs of an odd length, whichever way they lie.
    const int64_t values = plan.geometry.rows_per_tile * call.weights->taps;
    plan.shared_bytes = std::max(plan.shared_bytes, kStagedChannels * (values + 1) * compute_bytes);
  }
  if (plan.blocks > kMaxGridX) {
    throw std::runtime_error("conv2d: the operands have too many elements for one launch.");
  }
  return plan;
}

void stage(const StagingCall& call, const CudaContext& context) {
  const StagingPlan plan = plan_staging(call);
  if (plan.blocks == 0) return;
  const int bytes = staged_bytes(call.product, call.storage);
  if (call.images != nullptr) call.images->data = context.get<char>(call.images->size() * bytes);
  if (call.weights != nullptr) {
    call.weights->data = context.get<char>(call.weights->size() * bytes);
  }
  dispatch_product(call.storage, call.product, [&](auto element, auto tag) {
    using T = decltype(element);
    constexpr Product kProduct = decltype(tag)::value;
    using S = Staged<kProduct, T>;
    const auto kernel = stage_kernel<kProduct, T>;
    allow_shared_memory(kernel, static_cast<int>(plan.shared_bytes), "stage");
    kernel<<<static_cast<unsigned>(plan.blocks), kStagingThreads,
             static_cast<size_t>(plan.shared_bytes), stream_of(context)>>>(
        static_cast<S*>(call.images != nullptr ? call.images->data : nullptr),
        static_cast<S*>(call.weights != nullptr ? call.weights->data : nullptr),
        static_cast<const T*>(call.x), static_cast<const T*>(call.x_scale),
        static_cast<const T*>(call.w_data), plan.geometry);
    check_launch("stage");
  });
}

}  // namespace pygan
