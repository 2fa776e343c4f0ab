// Additive attention: e = v · tanh(keys + query), α = softmax(e), z = Σ α x, and its gradients. The work is in attention.cuh,
// the kernels that every score has in attention_kernels.cuh; here are those that sum the gradient of v.
#include "attention.cuh"
using Score = attention::Additive;
#include "attention_kernels.cuh"
#include "attention_queries.cuh"

extern "C" __global__ void __launch_bounds__(32)
v_backward_1(const float* __restrict__ keys, const float* __restrict__ query, const float* __restrict__ v,
             const float* __restrict__ alpha, const float* __restrict__ de, float* __restrict__ dv, int N, int L, int A) {
    attention::Gradients grads = {alpha, nullptr, nullptr, nullptr, nullptr};
    int a = 4 * (blockIdx.x * blockDim.x + threadIdx.x);
    if (a < A)
        attention::columns_backward_1<Score>(inputs(nullptr, keys, query, v, 1.0f, nullptr, L, 0, 0, A), grads, de, a, 0, N,
                                             nullptr, dv);
}

extern "C" __global__ void __launch_bounds__(256)
sum_partials_2(const float* __restrict__ dv_partials, float* __restrict__ dv, int N, int A) {
    __shared__ float table[8 * 32];
    attention::sum_rows(dv_partials, N, blockIdx.x * 32 + threadIdx.x, A, dv, table);
}
