// What every CUDA C file of the project begins with. It compiles under nvcc, NVRTC and, with ON_CPU defined, g++.
#pragma once

#if defined(ON_CPU)
#include "cuda_on_cpu.h"
#else
#define DYNAMIC_SHARED(type, name) extern __shared__ __align__(16) type name[]
#ifndef INFINITY  // NVRTC has no <math.h>
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fffffff)
#endif
#endif

#define FULL_WARP 0xffffffffu

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }  // e^{-x} = inf gives 0

// --- bfloat16: the upper half of a float, kept as 16 bits ------------------------------------------------------------

__device__ __forceinline__ float from_bf16(unsigned short bits) { return __uint_as_float((unsigned)bits << 16); }

// Rounded to the nearest, ties to even; NaN stays NaN.
__device__ __forceinline__ unsigned short to_bf16(float x) {
    unsigned bits = __float_as_uint(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (unsigned short)((bits >> 16) | 0x40u);
    return (unsigned short)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// --- sums and maxima over a warp, and over a block -------------------------------------------------------------------

// Every lane receives the sum of all 32. The order of the additions is always the same.
__device__ __forceinline__ float warp_sum(float v) {
    for (int offset = 16; offset > 0; offset >>= 1) v += __shfl_xor_sync(FULL_WARP, v, offset);
    return v;
}

// The larger; NaN where one of them is: fmaxf would hide it.
__device__ __forceinline__ float larger(float a, float b) { return a != a ? a : (b > a || b != b) ? b : a; }

__device__ __forceinline__ float warp_max(float v) {
    for (int offset = 16; offset > 0; offset >>= 1) v = larger(v, __shfl_xor_sync(FULL_WARP, v, offset));
    return v;
}

// Every thread receives the sum over the block, whose threads are a multiple of 32 in one dimension. `scratch` is 32 floats of
// shared memory. Another sum in the same scratch needs a barrier in between: some may still be reading.
__device__ __forceinline__ float block_sum(float v, float* scratch) {
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
    v = warp_sum(v);
    if (lane == 0) scratch[warp] = v;
    __syncthreads();
    return warp_sum(lane < warps ? scratch[lane] : 0.0f);
}

__device__ __forceinline__ float block_max(float v, float* scratch) {
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
    v = warp_max(v);
    if (lane == 0) scratch[warp] = v;
    __syncthreads();
    return warp_max(lane < warps ? scratch[lane] : -INFINITY);
}
