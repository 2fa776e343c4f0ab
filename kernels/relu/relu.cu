// Rectified linear unit: y = min(max(x, 0), cap), and its slope, which y tells. A cap of NaN is none: no number is at least NaN.
//
// Both versions move 8 bytes a number forward and 12 backward, and that is all they cost. Version 1 has a number for each thread.
// Version 2 has four, by reads and writes of 16 bytes: a quarter of the instructions, and four times as many bytes under way.
#include "float4.cuh"

__device__ __forceinline__ float rectified(float x, float cap) {
    float v = x <= 0.0f ? 0.0f : x;  // a comparison with NaN is false: NaN passes through
    return v >= cap ? cap : v;
}

__device__ __forceinline__ float passed(float dy, float y, float cap) { return y <= 0.0f || y >= cap ? 0.0f : dy; }

extern "C" __global__ void __launch_bounds__(256)
relu_forward_1(const float* __restrict__ x, float* __restrict__ y, float cap, long long n) {
    for (long long i = blockIdx.x * 256LL + threadIdx.x; i < n; i += gridDim.x * 256LL) y[i] = rectified(x[i], cap);
}

extern "C" __global__ void __launch_bounds__(256)
relu_backward_1(const float* __restrict__ dy, const float* __restrict__ y, float* __restrict__ dx, float cap, long long n) {
    for (long long i = blockIdx.x * 256LL + threadIdx.x; i < n; i += gridDim.x * 256LL) dx[i] = passed(dy[i], y[i], cap);
}

extern "C" __global__ void __launch_bounds__(256)
relu_forward_2(const float* __restrict__ x, float* __restrict__ y, float cap, long long n) {
    long long first = blockIdx.x * 256LL + threadIdx.x, step = gridDim.x * 256LL, fours = aligned(x) && aligned(y) ? n / 4 : 0;
    for (long long i = first; i < fours; i += step) {
        float4 v = ((const float4*)x)[i];
        ((float4*)y)[i] = make_float4(rectified(v.x, cap), rectified(v.y, cap), rectified(v.z, cap), rectified(v.w, cap));
    }
    for (long long i = 4 * fours + first; i < n; i += step) y[i] = rectified(x[i], cap);
}

extern "C" __global__ void __launch_bounds__(256)
relu_backward_2(const float* __restrict__ dy, const float* __restrict__ y, float* __restrict__ dx, float cap, long long n) {
    long long first = blockIdx.x * 256LL + threadIdx.x, step = gridDim.x * 256LL;
    long long fours = aligned(dy) && aligned(y) && aligned(dx) ? n / 4 : 0;
    for (long long i = first; i < fours; i += step) {
        float4 d = ((const float4*)dy)[i], v = ((const float4*)y)[i];
        ((float4*)dx)[i] = make_float4(passed(d.x, v.x, cap), passed(d.y, v.y, cap),
                                       passed(d.z, v.z, cap), passed(d.w, v.w, cap));
    }
    for (long long i = 4 * fours + first; i < n; i += step) dx[i] = passed(dy[i], y[i], cap);
}
