// Staging (staging.h): one launch whose blocks do one of three jobs.
//
//   image    32 channels x 128 pixels of one sample through shared memory: read along pixels,
//            written along channels
//   border   zeros around the images
//   weights  a few rows x 32 columns x all taps, read as they lie, written tap by tap
//
// Pixels are counted in the image rather than in its padded copy, so reads are aligned whatever the
// padding; a written pixel is a whole number of 64-byte pieces at any place.
#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>

#include "modulated_conv2d/staging.cuh"

namespace pygan {
namespace {

constexpr int kThreads = 256;
constexpr int kTilePixels = 128;
constexpr int kBorderPixels = 32;  // per block

// All that the kernel knows besides pointers.
struct StagingGeometry {
  // Images.
  int64_t hp, wp, top, left;
  uint32_t w, area;  // pixels per row, per image
  int64_t channels, cp;
  uint32_t groups, chunks, tiles;  // 32-channel chunks per group, 128-pixel tiles per image
  int64_t row_begin, row_end, column_begin, column_end;  // the image's part of the padded one
  int64_t border;                                        // pixels around it
  uint32_t border_tiles;                                 // blocks per sample
  bool vector;                                           // four pixels of x can be read at once
  // Weights.
  int64_t rows, columns, w_rp, w_cp;
  uint32_t taps, w_groups, w_chunks, w_row_tiles, rows_per_tile;
  bool exchanged, mirrored;
  // Blocks that do each job; the rest stage weights.
  uint32_t image_blocks, border_blocks;
};

// 16 bytes in one instruction, past the L1 cache: whoever reads them is on another processor.
template <typename S, int kN>
__device__ __forceinline__ void store_piece(S* to, const Pack<S, kN>& piece) {
  uint4 word;
  static_assert(sizeof(piece) == sizeof(word), "16 bytes");
  memcpy(&word, &piece, sizeof(word));
  __stcg(reinterpret_cast<uint4*>(to), word);
}

template <Product kProduct, typename T>
struct Stager {
  using C = Compute<T>;
  using S = Staged<kProduct, T>;
  static constexpr int kPiece = 16 / sizeof(S);             // channels that are written at once
  static constexpr int kPieces = kStagedChannels / kPiece;  // per pixel
  // Pixels are exchanged within a channel's row of shared memory so that the threads of a warp,
  // which read kPieces channels at 32 / kPieces pixels (16 / kPieces for double), find each in
  // another bank. Float vectors of four stay whole.
  static constexpr int kSwizzle = std::is_same<C, double>::value ? 1 : 32 / kPieces;
  static constexpr int kVector = std::is_same<T, double>::value ? 1 : 4;

  __device__ static int slot(int channel, int pixel) {
    return channel * kTilePixels + (pixel ^ (kSwizzle * (channel / kPiece)));
  }

  // `out` = channels [chunk * 32, + 32) of pixels [tile * 128, + 128).
  __device__ static void image(S* out, const T* x, const T* x_scale, const StagingGeometry& s,
                               uint32_t block, C* tile) {
    const uint32_t chunk = block % s.chunks;
    block /= s.chunks;
    const uint32_t group = block % s.groups;
    block /= s.groups;
    const uint32_t first = block % s.tiles * kTilePixels;
    const int64_t sample = block / s.tiles;
    const int64_t channel0 = int64_t{chunk} * kStagedChannels;
    const int64_t plane = (sample * s.groups + group) * s.channels + channel0;
    const int channels = static_cast<int>(min(int64_t{kStagedChannels}, s.channels - channel0));
    const int pixels = static_cast<int>(min(uint32_t{kTilePixels}, s.area - first));

    x += plane * s.area + first;
    if (x_scale != nullptr) x_scale += plane;
    if (s.vector) {
      load<kVector>(x, x_scale, channels, pixels, s.area, tile);
    } else {
      load<1>(x, x_scale, channels, pixels, s.area, tile);
    }
    __syncthreads();

    const int piece = threadIdx.x % kPieces;
    const int64_t pixel_stride = s.groups * s.cp;
    out += sample * s.hp * s.wp * pixel_stride + group * s.cp + channel0 + piece * kPiece;
#pragma unroll
    for (int round = 0; round < kTilePixels * kPieces / kThreads; ++round) {
      const int pixel = threadIdx.x / kPieces + round * (kThreads / kPieces);
      if (pixel >= pixels) break;
      const uint32_t row = (first + pixel) / s.w;
      const int64_t i = row + s.top;
      const int64_t j = first + pixel - row * s.w + s.left;
      Pack<S, kPiece> pack;
#pragma unroll
      for (int k = 0; k < kPiece; ++k) {
        pack.v[k] = to_staged<kProduct, T>(tile[slot(piece * kPiece + k, pixel)]);
      }
      if (i < 0 || i >= s.hp || j < 0 || j >= s.wp) continue;
      store_piece(out + (i * s.wp + j) * pixel_stride, pack);
    }
  }

  // A thread reads the same pixels of several channels.
  template <int kV>
  __device__ static void load(const T* x, const T* x_scale, int channels, int pixels, int64_t area,
                              C* tile) {
    constexpr int kPerRow = kTilePixels / kV;
    constexpr int kChannelsAtOnce = kThreads / kPerRow;
    const int pixel = threadIdx.x % kPerRow * kV, channel0 = threadIdx.x / kPerRow;
    x += channel0 * area + pixel;
#pragma unroll
    for (int c = 0; c < kStagedChannels; c += kChannelsAtOnce) {
      const int channel = channel0 + c;
      Pack<T, kV> pack{};
      C scale = C(0);
      if (channel < channels && pixel < pixels) {
        pack = *reinterpret_cast<const Pack<T, kV>*>(x);
        scale = x_scale != nullptr ? load_value(x_scale[channel]) : C(1);
      }
      x += kChannelsAtOnce * area;
      Pack<C, kV> values;
#pragma unroll
      for (int k = 0; k < kV; ++k) values.v[k] = load_value(pack.v[k]) * scale;
      *reinterpret_cast<Pack<C, kV>*>(tile + slot(channel, pixel)) = values;
    }
  }

  // Zeros; one warp per pixel, which is a multiple of 64 bytes.
  __device__ static void border(S* out, const StagingGeometry& s, uint32_t block) {
    const int64_t sample = block / s.border_tiles;
    const int64_t first = int64_t{block % s.border_tiles} * kBorderPixels;
    const int64_t pixel_stride = s.groups * s.cp;
    const int lane = threadIdx.x % 32;
    const int64_t above = s.row_begin * s.wp;
    const int64_t side = s.wp - (s.column_end - s.column_begin);
    const int64_t beside = (s.row_end - s.row_begin) * side;
    for (int k = threadIdx.x / 32; k < kBorderPixels; k += kThreads / 32) {
      int64_t at = first + k;  // counted along the border, then in the padded image
      if (at >= s.border) return;
      if (at >= above + beside) {
        at += (s.row_end - s.row_begin) * (s.column_end - s.column_begin);
      } else if (at >= above) {
        const int64_t row = (at - above) / side;
        int64_t column = at - above - row * side;
        if (column >= s.column_begin) column += s.column_end - s.column_begin;
        at = (s.row_begin + row) * s.wp + column;
      }
      S* pixel = out + (sample * s.hp * s.wp + at) * pixel_stride;
      for (int64_t c = lane * kPiece; c < pixel_stride; c += 32 * kPiece) {
        store_piece(pixel + c, Pack<S, kPiece>{});
      }
    }
  }

  // rows_per_tile x 32 of one group's matrices. In memory these are runs: of all taps of 32 columns
  // for each row, or of all taps of rows_per_tile rows for each column.
  __device__ static void weights(S* out, const T* w, const StagingGeometry& s, uint32_t block,
                                 C* tile) {
    const int64_t column0 = int64_t{block % s.w_chunks} * kStagedChannels;
    block /= s.w_chunks;
    const int64_t row0 = int64_t{block % s.w_row_tiles} * s.rows_per_tile;
    const int64_t group = block / s.w_row_tiles;
    const int rows = static_cast<int>(s.rows_per_tile), taps = static_cast<int>(s.taps);
    const int64_t rows_left = max(s.rows - row0, int64_t{0}), columns_left = s.columns - column0;

    const int runs = s.exchanged ? kStagedChannels : rows;
    const int length = (s.exchanged ? rows : kStagedChannels) * taps;
    const int64_t runs_left = s.exchanged ? columns_left : rows_left;
    const int64_t length_left = (s.exchanged ? rows_left : columns_left) * taps;
    const int64_t run_stride = (s.exchanged ? s.rows : s.columns) * taps;
    const int pitch = length | 1;  // odd: neighbouring runs in other banks
    w += s.exchanged ? ((group * s.columns + column0) * s.rows + row0) * taps
                     : ((group * s.rows + row0) * s.columns + column0) * taps;
    for (int run = threadIdx.x / 32; run < runs; run += kThreads / 32) {
      const T* from = w + run * run_stride;
      for (int k = threadIdx.x % 32; k < length; k += 32) {
        tile[run * pitch + k] = run < runs_left && k < length_left ? load_value(from[k]) : C(0);
      }
    }
    __syncthreads();

    const int row_pitch = s.exchanged ? taps : pitch, column_pitch = s.exchanged ? pitch : taps;
    const int piece = threadIdx.x % kPieces;
    const int64_t tap_stride = s.w_groups * s.w_rp * s.w_cp;
    out += (group * s.w_rp + row0) * s.w_cp + column0 + piece * kPiece;
    tile += piece * kPiece * column_pitch;
    for (int item = threadIdx.x / kPieces; item < rows * taps; item += kThreads / kPieces) {
      const int row = item / taps, tap = item - row * taps;
      Pack<S, kPiece> pack;
#pragma unroll
      for (int k = 0; k < kPiece; ++k) {
        pack.v[k] = to_staged<kProduct, T>(tile[row * row_pitch + k * column_pitch + tap]);
      }
      store_piece(out + (s.mirrored ? taps - 1 - tap : tap) * tap_stride + row * s.w_cp, pack);
    }
  }
};

// Left alone, ptxas spills a register on sm_120 to keep six blocks on a processor.
template <Product kProduct, typename T>
__global__ void __launch_bounds__(kThreads, 4)
    stage_kernel(Staged<kProduct, T>* images, Staged<kProduct, T>* weights, const T* x,
                 const T* x_scale, const T* w, const StagingGeometry s) {
  using Job = Stager<kProduct, T>;
  extern __shared__ uint4 shared[];
  auto* tile = reinterpret_cast<Compute<T>*>(shared);
  const uint32_t block = blockIdx.x;
  if (block < s.image_blocks) {
    Job::image(images, x, x_scale, s, block, tile);
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

void stage(const StagingCall& call, const CudaContext& context) {
  StagingGeometry geometry{};
  const int bytes = staged_bytes(call.product, call.storage);
  const int compute_bytes = call.storage == Storage::float64 ? 8 : 4;
  int64_t blocks = 0, shared = 0;
  if (call.images != nullptr && call.images->size() > 0) {
    call.images->data = context.get<char>(call.images->size() * bytes);
    blocks += plan_images(&geometry, call);
    shared = kStagedChannels * kTilePixels * compute_bytes;
  }
  if (call.weights != nullptr && call.weights->size() > 0) {
    call.weights->data = context.get<char>(call.weights->size() * bytes);
    blocks += plan_weights(&geometry, call, compute_bytes);
    // Runs of an odd length, whichever way they lie.
    const int64_t values = geometry.rows_per_tile * call.weights->taps;
    shared = std::max(shared, kStagedChannels * (values + 1) * compute_bytes);
  }
  if (blocks == 0) return;
  if (blocks > kMaxGridX) {
    throw std::runtime_error("conv2d: the operands have too many elements for one launch.");
  }
  dispatch_product(call.storage, call.product, [&](auto element, auto tag) {
    using T = decltype(element);
    constexpr Product kProduct = decltype(tag)::value;
    using S = Staged<kProduct, T>;
    const auto kernel = stage_kernel<kProduct, T>;
    allow_shared_memory(kernel, static_cast<int>(shared), "stage");
    kernel<<<static_cast<unsigned>(blocks), kThreads, static_cast<size_t>(shared),
             stream_of(context)>>>(
        static_cast<S*>(call.images != nullptr ? call.images->data : nullptr),
        static_cast<S*>(call.weights != nullptr ? call.weights->data : nullptr),
        static_cast<const T*>(call.x), static_cast<const T*>(call.x_scale),
        static_cast<const T*>(call.w_data), geometry);
    check_launch("stage");
  });
}

}  // namespace pygan
