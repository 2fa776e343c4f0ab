// Kernels that do what they must not, for the tests of the launcher and of the CPU that stands in for a GPU.
#include "scratchlv.cuh"
#ifndef ON_CPU
#include <cooperative_groups.h>
#endif

extern "C" __global__ void __launch_bounds__(256) twice(const float* __restrict__ x, float* __restrict__ y, int n, float scale) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = scale * x[i];
}

extern "C" __global__ void two_barriers(float* x) {
    if (threadIdx.x < 16)
        __syncthreads();
    else
        __syncthreads();
    x[threadIdx.x] = 1.0f;
}

extern "C" __global__ void ends_early(float* x, int n) {
    if (threadIdx.x >= n) return;
    __syncthreads();
    x[threadIdx.x] = 1.0f;
}

extern "C" __global__ void lane_outside_its_mask(float* x) { x[threadIdx.x] = __shfl_sync(0x0000ffffu, 1.0f, 0); }

extern "C" __global__ void two_shuffles(float* x) {
    if (threadIdx.x < 16)
        x[threadIdx.x] = __shfl_sync(FULL_WARP, 1.0f, 0);
    else
        x[threadIdx.x] = __shfl_sync(FULL_WARP, 2.0f, 0);
}

extern "C" __global__ void half_warps(int* x) {
    unsigned mask = threadIdx.x < 16 ? 0x0000ffffu : 0xffff0000u;
    int from = threadIdx.x < 16 ? 3 : 20;
    if (threadIdx.x < 16) x[threadIdx.x] = __shfl_sync(mask, (int)threadIdx.x, from);
    else x[threadIdx.x] = __shfl_sync(mask, (int)threadIdx.x, from);
}

// The lanes of a warp that is not there: what they hold is not defined.
extern "C" __global__ void from_a_lane_that_is_not_there(float* x) { x[threadIdx.x] = __shfl_sync(FULL_WARP, 1.0f, 31); }

extern "C" __global__ void reads_shared_memory_before_writing(float* x) {
    __shared__ float fixed[4];
    DYNAMIC_SHARED(float, free_size);
    x[0] = fixed[3];
    x[1] = free_size[3];
    fixed[3] = free_size[3] = 1.0f;  // the next block must not find it
}

extern "C" __global__ void some_blocks_meet(float* x) {
    cooperative_groups::grid_group grid = cooperative_groups::this_grid();
    if (blockIdx.x > 0) grid.sync();
    x[blockIdx.x] = 1.0f;
}

// Block b writes b + 1, and reads what its neighbour has written.
extern "C" __global__ void blocks_meet(float* x, float* y) {
    __shared__ float own;
    cooperative_groups::grid_group grid = cooperative_groups::this_grid();
    if (threadIdx.x == 0) x[blockIdx.x] = own = blockIdx.x + 1.0f;
    grid.sync();
    if (threadIdx.x == 0) y[blockIdx.x] = 100.0f * own + x[(blockIdx.x + 1) % gridDim.x];
}

// In which order the threads of each block, and the blocks, were let run.
extern "C" __global__ void who_comes_first(int* turn, int* order) { order[atomicAdd(turn, 1)] = blockIdx.x * blockDim.x + threadIdx.x; }

// Each warp reads what all have written, and writes again where others may not have read yet.
extern "C" __global__ void writes_before_all_have_read(float* x) {
    __shared__ float written[2];
    int warp = threadIdx.x / 32;
    written[warp] = warp;
    __syncthreads();
    x[threadIdx.x] = warp_max(written[0] + written[1]);
    written[warp] = 10.0f;
}

extern "C" __global__ void beyond_the_end(float* x, int n) { x[n + threadIdx.x] = 1.0f; }

extern "C" __global__ void beyond_the_shared_array(float* x) {
    __shared__ float small[8];
    small[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] = small[7 - threadIdx.x % 8];
}

extern "C" __global__ void beyond_dynamic_memory(float* x) {
    DYNAMIC_SHARED(float, memory);
    memory[threadIdx.x] = x[threadIdx.x];
}

extern "C" __global__ void not_on_a_boundary(float* x) { *(float4*)(x + 1) = make_float4(1.0f, 2.0f, 3.0f, 4.0f); }

extern "C" __global__ void to_and_from_bf16(const float* __restrict__ x, float* __restrict__ y, int n) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) y[i] = from_bf16(to_bf16(x[i]));
}
