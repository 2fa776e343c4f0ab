// One step of stochastic gradient descent, in place, over flat arrays: θ = shrink θ - rate factor g.
//
// `factor`, if given, was computed on the GPU: what the gradient is clipped by; where it is NaN, all is left as it is.
// 12 bytes are moved for a parameter, with momentum 20. Version 1 has one for each thread, version 2 four, by reads and writes
// of 16 bytes.
#include "float4.cuh"

__device__ __forceinline__ bool is_nan(const float* factor) { return factor && *factor != *factor; }

extern "C" __global__ void __launch_bounds__(256)
sgd_1(float* __restrict__ params, const float* __restrict__ grads, const float* __restrict__ factor,
      float rate, float shrink, long long n) {
    if (is_nan(factor)) return;
    float r = factor ? rate * *factor : rate;
    for (long long i = blockIdx.x * 256LL + threadIdx.x; i < n; i += gridDim.x * 256LL)
        params[i] = params[i] * shrink - r * grads[i];
}

extern "C" __global__ void __launch_bounds__(256)
sgd_2(float* __restrict__ params, const float* __restrict__ grads, const float* __restrict__ factor,
      float rate, float shrink, long long n) {
    if (is_nan(factor)) return;
    float r = factor ? rate * *factor : rate;
    long long first = blockIdx.x * 256LL + threadIdx.x, step = gridDim.x * 256LL;
    long long fours = aligned(params) && aligned(grads) ? n / 4 : 0;
    for (long long i = first; i < fours; i += step) {
        float4 p = ((const float4*)params)[i], g = ((const float4*)grads)[i];
        ((float4*)params)[i] = make_float4(p.x * shrink - r * g.x, p.y * shrink - r * g.y,
                                           p.z * shrink - r * g.z, p.w * shrink - r * g.w);
    }
    for (long long i = 4 * fours + first; i < n; i += step) params[i] = params[i] * shrink - r * grads[i];
}

// --- with momentum: v = μ v + g, θ = θ - lr v, or, looking ahead (Nesterov), θ - lr (g + μ v) ---------------------------

struct Rates {
    float lr, grad_scale, weight_decay, momentum;
    bool nesterov;
};

__device__ __forceinline__ void update(float& p, float g, float& v, const Rates& r) {
    g = r.grad_scale * g + r.weight_decay * p;
    v = r.momentum * v + g;
    p -= r.lr * (r.nesterov ? g + r.momentum * v : v);
}

extern "C" __global__ void __launch_bounds__(256)
sgd_momentum_1(float* __restrict__ params, const float* __restrict__ grads, float* __restrict__ velocity,
               const float* __restrict__ factor, float lr, float grad_scale, float weight_decay, float momentum, int nesterov,
               long long n) {
    if (is_nan(factor)) return;
    Rates rates = {lr, factor ? *factor : grad_scale, weight_decay, momentum, nesterov != 0};
    for (long long i = blockIdx.x * 256LL + threadIdx.x; i < n; i += gridDim.x * 256LL)
        update(params[i], grads[i], velocity[i], rates);
}

extern "C" __global__ void __launch_bounds__(256)
sgd_momentum_2(float* __restrict__ params, const float* __restrict__ grads, float* __restrict__ velocity,
               const float* __restrict__ factor, float lr, float grad_scale, float weight_decay, float momentum, int nesterov,
               long long n) {
    if (is_nan(factor)) return;
    Rates rates = {lr, factor ? *factor : grad_scale, weight_decay, momentum, nesterov != 0};
    long long first = blockIdx.x * 256LL + threadIdx.x, step = gridDim.x * 256LL;
    long long fours = aligned(params) && aligned(grads) && aligned(velocity) ? n / 4 : 0;
    for (long long i = first; i < fours; i += step) {
        float4 p = ((const float4*)params)[i], g = ((const float4*)grads)[i], v = ((const float4*)velocity)[i];
        update(p.x, g.x, v.x, rates);
        update(p.y, g.y, v.y, rates);
        update(p.z, g.z, v.z, rates);
        update(p.w, g.w, v.w, rates);
        ((float4*)params)[i] = p;
        ((float4*)velocity)[i] = v;
    }
    for (long long i = 4 * fours + first; i < n; i += step) update(params[i], grads[i], velocity[i], rates);
}
