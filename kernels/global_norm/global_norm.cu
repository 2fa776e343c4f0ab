// The norm of a gradient, and the factor that clips it: neither is asked of the host.
//
// The squares are bound by memory: numbers are read four at a time where their address is a multiple of 16.
#include "float4.cuh"

// parts[b] = Σ x² over what block b walks through.
extern "C" __global__ void __launch_bounds__(256)
sum_squares(const float* __restrict__ x, float* __restrict__ parts, long long n) {
    __shared__ float scratch[32];
    long long first = blockIdx.x * 256LL + threadIdx.x, step = gridDim.x * 256LL, fours = aligned(x) ? n / 4 : 0;
    float sum = 0.0f;
    for (long long i = first; i < fours; i += step) {
        float4 v = ((const float4*)x)[i];
        sum += (v.x * v.x + v.y * v.y) + (v.z * v.z + v.w * v.w);
    }
    for (long long i = 4 * fours + first; i < n; i += step) sum += x[i] * x[i];
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

// norm = √(Σ parts) in one block, and what to scale the gradient by so that its norm is at most `most`.
extern "C" __global__ void __launch_bounds__(256)
norm_and_factor(const float* __restrict__ parts, float* __restrict__ norm, float* __restrict__ factor, int n, float most) {
    __shared__ float scratch[32];
    float sum = 0.0f;
    for (int i = threadIdx.x; i < n; i += 256) sum += parts[i];
    sum = block_sum(sum, scratch);
    if (threadIdx.x > 0) return;
    float found = sqrtf(sum);
    *norm = found;
    *factor = found <= most ? 1.0f : found < INFINITY ? most / found : NAN;
}
