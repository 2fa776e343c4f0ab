// One step of RMSProp, in place, over flat arrays.
//
//     g = grad_scale g + λ θ      v += (1 - ρ) (g² - v)      θ -= lr g / (√v + ε)
//
// or, with momentum, velocity = μ velocity + g / (√v + ε) and θ -= lr velocity. Where the gradient is clipped, its factor may
// have been computed on the GPU: `factor` points to it, and nobody waits for it on the host; where it is NaN, the gradient is
// not finite, and all is left as it is. 20 bytes are moved for a parameter, with momentum 28. `velocity` is null without.
// Version 1 has a parameter for each thread, version 2 four, by reads and writes of 16 bytes.
#include "float4.cuh"

struct Rates {
    float lr, one_minus_rho, eps, weight_decay, grad_scale, momentum;
};

// With `speed`, null without momentum.
__device__ __forceinline__ void update(float& p, float g, float& v, float* speed, const Rates& r) {
    g = r.grad_scale * g + r.weight_decay * p;
    v += r.one_minus_rho * (g * g - v);
    float scaled = g / (sqrtf(v) + r.eps);
    if (speed) scaled = *speed = r.momentum * *speed + scaled;
    p -= r.lr * scaled;
}

__device__ __forceinline__ bool is_nan(const float* factor) { return factor && *factor != *factor; }

extern "C" __global__ void __launch_bounds__(256)
rmsprop_1(float* __restrict__ params, const float* __restrict__ grads, float* __restrict__ v, float* __restrict__ velocity,
          const float* __restrict__ factor, float lr, float one_minus_rho, float eps, float weight_decay, float grad_scale,
          float momentum, long long n) {
    if (is_nan(factor)) return;
    Rates rates = {lr, one_minus_rho, eps, weight_decay, factor ? *factor : grad_scale, momentum};
    for (long long i = blockIdx.x * 256LL + threadIdx.x; i < n; i += gridDim.x * 256LL)
        update(params[i], grads[i], v[i], velocity ? velocity + i : nullptr, rates);
}

extern "C" __global__ void __launch_bounds__(256, 4)
rmsprop_2(float* __restrict__ params, const float* __restrict__ grads, float* __restrict__ v, float* __restrict__ velocity,
          const float* __restrict__ factor, float lr, float one_minus_rho, float eps, float weight_decay, float grad_scale,
          float momentum, long long n) {
    if (is_nan(factor)) return;
    Rates rates = {lr, one_minus_rho, eps, weight_decay, factor ? *factor : grad_scale, momentum};
    long long first = blockIdx.x * 256LL + threadIdx.x, step = gridDim.x * 256LL;
    long long fours = aligned(params) && aligned(grads) && aligned(v) && aligned(velocity) ? n / 4 : 0;
    for (long long i = first; i < fours; i += step) {
        float4 p = ((const float4*)params)[i], g = ((const float4*)grads)[i], square = ((const float4*)v)[i];
        float4 speed = velocity ? ((const float4*)velocity)[i] : splat(0.0f);
        update(p.x, g.x, square.x, velocity ? &speed.x : nullptr, rates);
        update(p.y, g.y, square.y, velocity ? &speed.y : nullptr, rates);
        update(p.z, g.z, square.z, velocity ? &speed.z : nullptr, rates);
        update(p.w, g.w, square.w, velocity ? &speed.w : nullptr, rates);
        ((float4*)params)[i] = p;
        ((float4*)v)[i] = square;
        if (velocity) ((float4*)velocity)[i] = speed;
    }
    for (long long i = 4 * fours + first; i < n; i += step)
        update(params[i], grads[i], v[i], velocity ? velocity + i : nullptr, rates);
}
