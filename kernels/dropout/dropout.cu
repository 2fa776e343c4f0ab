// Dropout: y = x · keep / (1 - p). Value i stays if the upper 32 bits of output i of splitmix64 are at least p 2^32.
//
// Version 1 has a number for each thread, version 2 four, by reads and writes of 16 bytes. Drawing the mask takes about as long
// as moving the 8 bytes of a number, and goes on at the same time; a stored mask would have to be written and read twice.
#include "float4.cuh"

#define GOLDEN 0x9E3779B97F4A7C15ull

__device__ __forceinline__ float kept(float x, unsigned long long state, unsigned long long limit, float scale) {
    unsigned long long z = state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    z = z ^ (z >> 31);
    return x * ((z >> 32) >= limit ? scale : 0.0f);  // a product, so that NaN is not hidden
}

extern "C" __global__ void __launch_bounds__(256)
dropout_1(const float* __restrict__ x, float* __restrict__ y,
          unsigned long long key, unsigned long long limit, float scale, long long n) {
    for (long long i = blockIdx.x * 256LL + threadIdx.x; i < n; i += gridDim.x * 256LL)
        y[i] = kept(x[i], key + (unsigned long long)(i + 1) * GOLDEN, limit, scale);
}

extern "C" __global__ void __launch_bounds__(256)
dropout_2(const float* __restrict__ x, float* __restrict__ y,
          unsigned long long key, unsigned long long limit, float scale, long long n) {
    long long first = blockIdx.x * 256LL + threadIdx.x, step = gridDim.x * 256LL, fours = aligned(x) && aligned(y) ? n / 4 : 0;
    for (long long i = first; i < fours; i += step) {
        unsigned long long state = key + (unsigned long long)(4 * i + 1) * GOLDEN;
        float4 v = ((const float4*)x)[i];
        ((float4*)y)[i] = make_float4(kept(v.x, state, limit, scale), kept(v.y, state + GOLDEN, limit, scale),
                                      kept(v.z, state + 2 * GOLDEN, limit, scale), kept(v.w, state + 3 * GOLDEN, limit, scale));
    }
    for (long long i = 4 * fours + first; i < n; i += step)
        y[i] = kept(x[i], key + (unsigned long long)(i + 1) * GOLDEN, limit, scale);
}

// A part of the rows of a larger array: after `run` values in a row, the numbers of the places go on `gap` later.
extern "C" __global__ void __launch_bounds__(256)
dropout_rows(const float* __restrict__ x, float* __restrict__ y, unsigned long long key, unsigned long long limit, float scale,
             long long n, long long run, long long gap) {
    for (long long i = blockIdx.x * 256LL + threadIdx.x; i < n; i += gridDim.x * 256LL)
        y[i] = kept(x[i], key + (unsigned long long)(i + i / run * gap + 1) * GOLDEN, limit, scale);
}
