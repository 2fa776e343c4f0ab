// What a GPU can do at most, and what a launch costs: the measuring kernels of benchmarks/gpu.py.
//
// The sweeps take 16 bytes an access, four accesses in flight for each thread; n counts float4.
#include "scratchlv.cuh"
#ifndef ON_CPU
#include <cooperative_groups.h>
#endif

#define IN_FLIGHT 4

// y = x
extern "C" __global__ void __launch_bounds__(256) copy(const float4* __restrict__ x, float4* __restrict__ y, long long n) {
    long long stride = gridDim.x * (long long)blockDim.x, k = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    for (; k + (IN_FLIGHT - 1) * stride < n; k += IN_FLIGHT * stride) {
        float4 v[IN_FLIGHT];
#pragma unroll
        for (int i = 0; i < IN_FLIGHT; ++i) v[i] = x[k + i * stride];
#pragma unroll
        for (int i = 0; i < IN_FLIGHT; ++i) y[k + i * stride] = v[i];
    }
    for (; k < n; k += stride) y[k] = x[k];
}

__device__ __forceinline__ float4 next(float4 v) { return make_float4(v.x + 1.0f, v.y + 1.0f, v.z + 1.0f, v.w + 1.0f); }

// x += 1
extern "C" __global__ void __launch_bounds__(256) update(float4* x, long long n) {
    long long stride = gridDim.x * (long long)blockDim.x, k = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    for (; k + (IN_FLIGHT - 1) * stride < n; k += IN_FLIGHT * stride) {
        float4 v[IN_FLIGHT];
#pragma unroll
        for (int i = 0; i < IN_FLIGHT; ++i) v[i] = x[k + i * stride];
#pragma unroll
        for (int i = 0; i < IN_FLIGHT; ++i) x[k + i * stride] = next(v[i]);
    }
    for (; k < n; k += stride) x[k] = next(x[k]);
}

// Reads x; sums[thread] is the sum of what the thread saw. Afterwards the second-level cache holds the end of x, unchanged.
extern "C" __global__ void __launch_bounds__(256)
read_through(const float4* __restrict__ x, float* __restrict__ sums, long long n) {
    long long stride = gridDim.x * (long long)blockDim.x, first = blockIdx.x * (long long)blockDim.x + threadIdx.x, k = first;
    float sum = 0.0f;
    for (; k + (IN_FLIGHT - 1) * stride < n; k += IN_FLIGHT * stride) {
        float4 v[IN_FLIGHT];
#pragma unroll
        for (int i = 0; i < IN_FLIGHT; ++i) v[i] = x[k + i * stride];
#pragma unroll
        for (int i = 0; i < IN_FLIGHT; ++i) sum += v[i].x + v[i].y + v[i].z + v[i].w;
    }
    for (; k < n; k += stride) sum += x[k].x + x[k].y + x[k].z + x[k].w;
    sums[first] = sum;
}

// Does nothing, with an argument, as every kernel has one.
extern "C" __global__ void __launch_bounds__(32) nothing(float* x) {}

// Keeps the GPU busy for so long, while the host queues what is to be timed.
extern "C" __global__ void __launch_bounds__(1) spin(float* x, long long nanoseconds) {
#ifndef ON_CPU
    long long began, now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(began));
    do asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    while (now - began < nanoseconds);
#endif
}

// All blocks meet `times` times. In every round each says the round's number, in one of two places by turns, and counts a mistake
// if after the meeting its neighbour has not said the same. `said` (2, blocks); `mistakes` (blocks,).
extern "C" __global__ void __launch_bounds__(256) meet(int* said, int* __restrict__ mistakes, int times) {
    cooperative_groups::grid_group grid = cooperative_groups::this_grid();
    int neighbour = (blockIdx.x + 1) % gridDim.x, wrong = 0;
    for (int round = 1; round <= times; ++round) {
        volatile int* place = said + (round & 1) * gridDim.x;
        if (threadIdx.x == 0) place[blockIdx.x] = round;
        grid.sync();
        if (threadIdx.x == 0) wrong += place[neighbour] != round;
    }
    if (threadIdx.x == 0) mistakes[blockIdx.x] = wrong;
}
