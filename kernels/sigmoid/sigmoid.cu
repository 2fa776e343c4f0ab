// Logistic sigmoid: y = 1 / (1 + e^-x), and its slope, which y tells: y (1 - y).
//
// Both passes are bound by memory: 8 bytes a number forward, 12 backward, and four numbers for each thread by reads and writes of
// 16 bytes.
#include "float4.cuh"

__device__ __forceinline__ float passed(float dy, float y) { return dy * y * (1.0f - y); }

extern "C" __global__ void __launch_bounds__(256)
sigmoid_forward(const float* __restrict__ x, float* __restrict__ y, long long n) {
    long long first = blockIdx.x * 256LL + threadIdx.x, step = gridDim.x * 256LL, fours = aligned(x) && aligned(y) ? n / 4 : 0;
    for (long long i = first; i < fours; i += step) {
        float4 v = ((const float4*)x)[i];
        ((float4*)y)[i] = make_float4(sigmoid(v.x), sigmoid(v.y), sigmoid(v.z), sigmoid(v.w));
    }
    for (long long i = 4 * fours + first; i < n; i += step) y[i] = sigmoid(x[i]);
}

extern "C" __global__ void __launch_bounds__(256)
sigmoid_backward(const float* __restrict__ dy, const float* __restrict__ y, float* __restrict__ dx, long long n) {
    long long first = blockIdx.x * 256LL + threadIdx.x, step = gridDim.x * 256LL;
    long long fours = aligned(dy) && aligned(y) && aligned(dx) ? n / 4 : 0;
    for (long long i = first; i < fours; i += step) {
        float4 d = ((const float4*)dy)[i], v = ((const float4*)y)[i];
        ((float4*)dx)[i] = make_float4(passed(d.x, v.x), passed(d.y, v.y), passed(d.z, v.z), passed(d.w, v.w));
    }
    for (long long i = 4 * fours + first; i < n; i += step) dx[i] = passed(dy[i], y[i]);
}
