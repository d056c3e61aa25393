#include "bias_act/sums.cuh"

namespace pygan {
namespace device {
namespace {

constexpr int kThreads = 256;
constexpr int kWarp = 32;
constexpr int64_t kBlockPerLine = 1024;  // values from which on a block adds them, not a warp

template <typename T>
struct SumsArgs {
  LineSums<T> lines[kLineSums];
  int64_t line_blocks[kLineSums];
  ColumnSums<T> columns;
  int column_rows;  // threads that share a column
};

template <typename C>
__device__ __forceinline__ C sum_warp(C v) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    v += __shfl_xor_sync(0xffffffffu, v, offset);
  }
  return v;
}

template <typename T>
__device__ __forceinline__ void add_line(const LineSums<T>& job, int64_t block,
                                         Compute<T>* shared) {
  using C = Compute<T>;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const bool together = job.count >= kBlockPerLine;
  const int64_t output = together ? block : block * (kThreads / kWarp) + warp;
  C sum = 0;
  if (output < job.outputs) {
    const C* const from = job.from + output * job.count;
    const int step = together ? kThreads : kWarp;
#pragma unroll 4
    for (int64_t i = together ? threadIdx.x : lane; i < job.count; i += step) sum += from[i];
  }
  sum = sum_warp(sum);
  if (together) {
    if (lane == 0) shared[warp] = sum;
    __syncthreads();
    if (warp == 0) sum = sum_warp(lane < kThreads / kWarp ? shared[lane] : C(0));
  }
  if (output < job.outputs && (together ? threadIdx.x : lane) == 0) {
    job.to[output] = store_value<T>(sum);
  }
}

template <typename T>
__device__ __forceinline__ void add_columns(const ColumnSums<T>& job, int rows, int64_t block,
                                            Compute<T>* shared) {
  using C = Compute<T>;
  const int width = kThreads / rows;
  const int64_t blocks = ceil_div(job.length, width);
  const int64_t output = block / blocks;
  const int row = threadIdx.x / width;
  const int64_t j = block % blocks * width + threadIdx.x % width;
  C sum = 0;
  if (j < job.length) {
    const C* const from = job.from + output * job.count * job.length + j;
#pragma unroll 4
    for (int64_t k = row; k < job.count; k += rows) sum += from[k * job.length];
  }
  for (int half = rows / 2; half > 0; half /= 2) {
    shared[threadIdx.x] = sum;
    __syncthreads();
    if (row < half) sum += shared[threadIdx.x + half * width];
    __syncthreads();
  }
  if (row == 0 && j < job.length) job.to[output * job.length + j] = store_value<T>(sum);
}

template <typename T>
__global__ void __launch_bounds__(kThreads) sums_kernel(const SumsArgs<T> a) {
  __shared__ Compute<T> shared[kThreads];
  int64_t block = blockIdx.x;
#pragma unroll
  for (int i = 0; i < kLineSums; ++i) {
    if (block < a.line_blocks[i]) return add_line(a.lines[i], block, shared);
    block -= a.line_blocks[i];
  }
  add_columns(a.columns, a.column_rows, block, shared);
}

}  // namespace

template <typename T>
void launch_sums(const LineSums<T> (&lines)[kLineSums], const ColumnSums<T>& columns,
                 cudaStream_t stream) {
  SumsArgs<T> args;
  int64_t blocks = 0;
  for (int i = 0; i < kLineSums; ++i) {
    const LineSums<T>& job = args.lines[i] = lines[i];
    const bool together = job.count >= kBlockPerLine;
    args.line_blocks[i] =
        job.to == nullptr ? 0 : ceil_div(job.outputs, together ? 1 : kThreads / kWarp);
    blocks += args.line_blocks[i];
  }
  args.columns = columns;
  args.column_rows = columns.count <= 16 ? 1 : columns.count <= 512 ? 8 : 64;
  if (columns.to != nullptr) {
    blocks += columns.outputs * ceil_div(columns.length, kThreads / args.column_rows);
  }
  if (blocks == 0) return;
  sums_kernel<<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(args);
  check_launch("bias_act (sums)");
}

template void launch_sums(const LineSums<float> (&)[kLineSums], const ColumnSums<float>&,
                          cudaStream_t);
template void launch_sums(const LineSums<double> (&)[kLineSums], const ColumnSums<double>&,
                          cudaStream_t);
template void launch_sums(const LineSums<__half> (&)[kLineSums], const ColumnSums<__half>&,
                          cudaStream_t);
template void launch_sums(const LineSums<__nv_bfloat16> (&)[kLineSums],
                          const ColumnSums<__nv_bfloat16>&, cudaStream_t);

}  // namespace device
}  // namespace pygan
