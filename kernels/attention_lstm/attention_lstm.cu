// The LSTM that looks before every step, through all steps, forward and backward. Attention itself is in attention.cuh.
//
// Version 1 takes a step as the launches of the rooms it is made of: six forward, seven backward, and with 20 steps their
// launches cost more than their work. Version 2 is one launch forward and one backward for all steps: attention_lstm.cuh, and
// a file for each score, so that only the one in use is compiled. In both, what the next step back does not wait for, the
// gradients of keys, regions and weights, is one pass over all steps at the end: keys and regions are read once for all of them.
#include "attention.cuh"

#define REGIONS 8  // that a block of the last pass takes through all steps

// --- 1 ---------------------------------------------------------------------------------------------------------------

// What a step's attention says to its query, by chunks; de is kept for the last pass. v is null where the score is the
// dot product.
extern "C" __global__ void __launch_bounds__(128)
query_backward_1(const float* __restrict__ keys, const float* __restrict__ query, const float* __restrict__ v,
                 const float* __restrict__ alpha, const float* __restrict__ dalpha, float* __restrict__ de,
                 float* __restrict__ dquery_partials, int L, int A) {
    __shared__ float alphas[CHUNK], des[CHUNK];
    attention::Inputs in = {nullptr, keys, query, v, nullptr, 1.0f, L, 0, A};
    attention::Gradients grads = {alpha, nullptr, nullptr, nullptr, nullptr};
    if (v)
        attention::attend_backward_3<attention::Additive>(in, grads, dalpha, de, dquery_partials, nullptr, blockIdx.x, alphas,
                                                          des);
    else attention::attend_backward_3<attention::Dot>(in, grads, dalpha, de, dquery_partials, nullptr, blockIdx.x, alphas, des);
}

// --- The last pass ---------------------------------------------------------------------------------------------------

// A block for REGIONS keys of a picture, `tiles` blocks each: dkeys = Σ_t de_t v (1 - tanh²),
// and their part of dv, (N, tiles, A).
extern "C" __global__ void __launch_bounds__(128, 4)
keys_backward(const float* __restrict__ keys, const float* __restrict__ query, const float* __restrict__ v,
              const float* __restrict__ de, float* __restrict__ dkeys, float* __restrict__ dv_partials,
              int T, int N, int L, int A, int tiles) {
    int n = blockIdx.x / tiles, first = blockIdx.x % tiles * REGIONS, count = min(REGIONS, L - first);
    size_t row = (size_t)n * L + first;
    bool vectorised = rows_aligned(keys, A) && rows_aligned(query, A) && rows_aligned(v, A) && rows_aligned(dkeys, A) &&
                      rows_aligned(dv_partials, A);
    for (int a = 4 * threadIdx.x; a < A; a += 4 * blockDim.x) {
        float4 k[REGIONS], dk[REGIONS], v4 = load4(v, a, A, vectorised), dv = splat(0.0f);
#pragma unroll
        for (int r = 0; r < REGIONS; ++r) {
            dk[r] = splat(0.0f);
            if (r < count) k[r] = load4(keys + (row + r) * A, a, A, vectorised);
        }
        for (int t = 0; t < T; ++t) {
            float4 q = load4(query + ((size_t)t * N + n) * A, a, A, vectorised);
            const float* de_t = de + (size_t)t * N * L + row;
#pragma unroll
            for (int r = 0; r < REGIONS; ++r)
                if (r < count && de_t[r] != 0.0f) dk[r] = dk[r] + attention::Additive::key_backward(k[r], q, v4, de_t[r], dv);
        }
#pragma unroll
        for (int r = 0; r < REGIONS; ++r)
            if (r < count) store4(dkeys + (row + r) * A, a, A, vectorised, dk[r]);
        store4(dv_partials + (size_t)blockIdx.x * A, a, A, vectorised, dv);
    }
}

// out[n, l] = Σ_t weights[t, n, l] rows[t, n]: dx from α and dz, and without v dkeys from de and the queries.
extern "C" __global__ void __launch_bounds__(128)
sum_over_steps(const float* __restrict__ weights, const float* __restrict__ rows, float* __restrict__ out,
               int T, int N, int L, int D, int tiles) {
    int n = blockIdx.x / tiles, first = blockIdx.x % tiles * REGIONS, count = min(REGIONS, L - first);
    size_t row = (size_t)n * L + first;
    bool vectorised = rows_aligned(rows, D) && rows_aligned(out, D);
    for (int d = 4 * threadIdx.x; d < D; d += 4 * blockDim.x) {
        float4 sums[REGIONS];
#pragma unroll
        for (int r = 0; r < REGIONS; ++r) sums[r] = splat(0.0f);
        for (int t = 0; t < T; ++t) {
            float4 value = load4(rows + ((size_t)t * N + n) * D, d, D, vectorised);
            const float* weights_t = weights + (size_t)t * N * L + row;
#pragma unroll
            for (int r = 0; r < REGIONS; ++r)
                if (r < count && weights_t[r] != 0.0f) sums[r] = add_scaled(sums[r], weights_t[r], value);
        }
#pragma unroll
        for (int r = 0; r < REGIONS; ++r)
            if (r < count) store4(out + (row + r) * D, d, D, vectorised, sums[r]);
    }
}
