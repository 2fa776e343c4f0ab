// One step of Adam, in place, over flat arrays.
//
//     m += (1 - β1) (g - m)      v += (1 - β2) (g² - v)      θ = shrink θ - rate m / (correction √v + ε)
//
// The bias corrections are numbers, not arrays: the host multiplies them into the rate and into √v. Where the gradient
// is clipped, its factor may have been computed on the GPU: `factor` points to it, and nobody waits for it on the host.
// A factor of NaN says that the gradient is not finite: all is left as it is. One sweep reads four arrays and writes three,
// 28 bytes a parameter, where array operations would make about twenty sweeps. Version 1 has a parameter for each thread,
// version 2 four, by reads and writes of 16 bytes.
#include "float4.cuh"

struct Rates {
    float rate, one_minus_beta1, one_minus_beta2, correction, eps, shrink, grad_scale;
};

__device__ __forceinline__ void update(float& p, float g, float& m, float& v, const Rates& r) {
    g *= r.grad_scale;
    m += r.one_minus_beta1 * (g - m);
    v += r.one_minus_beta2 * (g * g - v);
    p = p * r.shrink - r.rate * m / (sqrtf(v) * r.correction + r.eps);
}

__device__ __forceinline__ bool is_nan(const float* factor) { return factor && *factor != *factor; }

extern "C" __global__ void __launch_bounds__(256)
adam_1(float* __restrict__ params, const float* __restrict__ grads, float* __restrict__ m, float* __restrict__ v,
       const float* __restrict__ factor, float rate, float one_minus_beta1, float one_minus_beta2, float correction, float eps,
       float shrink, float grad_scale, long long n) {
    if (is_nan(factor)) return;
    Rates rates = {rate, one_minus_beta1, one_minus_beta2, correction, eps, shrink, factor ? *factor : grad_scale};
    for (long long i = blockIdx.x * 256LL + threadIdx.x; i < n; i += gridDim.x * 256LL)
        update(params[i], grads[i], m[i], v[i], rates);
}

extern "C" __global__ void __launch_bounds__(256)
adam_2(float* __restrict__ params, const float* __restrict__ grads, float* __restrict__ m, float* __restrict__ v,
       const float* __restrict__ factor, float rate, float one_minus_beta1, float one_minus_beta2, float correction, float eps,
       float shrink, float grad_scale, long long n) {
    if (is_nan(factor)) return;
    Rates rates = {rate, one_minus_beta1, one_minus_beta2, correction, eps, shrink, factor ? *factor : grad_scale};
    long long first = blockIdx.x * 256LL + threadIdx.x, step = gridDim.x * 256LL;
    long long fours = aligned(params) && aligned(grads) && aligned(m) && aligned(v) ? n / 4 : 0;
    for (long long i = first; i < fours; i += step) {
        float4 p = ((const float4*)params)[i], g = ((const float4*)grads)[i];
        float4 mean = ((const float4*)m)[i], square = ((const float4*)v)[i];
        update(p.x, g.x, mean.x, square.x, rates);
        update(p.y, g.y, mean.y, square.y, rates);
        update(p.z, g.z, mean.z, square.z, rates);
        update(p.w, g.w, mean.w, square.w, rates);
        ((float4*)params)[i] = p;
        ((float4*)m)[i] = mean;
        ((float4*)v)[i] = square;
    }
    for (long long i = 4 * fours + first; i < n; i += step) update(params[i], grads[i], m[i], v[i], rates);
}
