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
    attention::Inputs in = {nullptr, keys, query, v, nullptr, 1.0f, L, 0, 0, A};
    attention::Gradients grads = {alpha, nullptr, nullptr, nullptr, nullptr};
    if (v)
        attention::attend_backward_3<attention::Additive>(in, grads, dalpha, de, dquery_partials, nullptr, blockIdx.x, alphas,
                                                          des);
    else attention::attend_backward_3<attention::Dot>(in, grads, dalpha, de, dquery_partials, nullptr, blockIdx.x, alphas, des);
}

// What follows a step's attention where a region may be drawn, or the context goes through a gate: a block for each picture.
// draws is null where nothing is drawn, Wg where there is no gate. context enters as the mean of the regions by their weights.
// One thread adds the weights up, in the order of the regions and in double: so every variant draws the same region.
extern "C" __global__ void __launch_bounds__(128)
look_1(const float* __restrict__ x, const float* __restrict__ h, const float* __restrict__ alpha,
       const long long* __restrict__ draws, const float* __restrict__ Wg, const float* __restrict__ bg,
       float* __restrict__ looked, float* __restrict__ context, float* __restrict__ z, float* __restrict__ gate,
       int L, int D, int wide, int H) {
    __shared__ float sums[32];
    __shared__ int region;  // L where α is 0 everywhere, -1 where it is NaN
    int n = blockIdx.x;
    const float* weights = alpha + (size_t)n * L;
    float* row = context + (size_t)n * wide;
    if (draws) {
        bool drawn = draws[n] >= 0;
        if (drawn && threadIdx.x == 0) {
            double total = 0.0, reached = 0.0;
            for (int l = 0; l < L; ++l) total += weights[l];
            double most = draws[n] / 16777216.0 * total;
            int l = 0;
            for (; l < L; ++l) {
                reached += weights[l];
                if (reached > most) break;
            }
            region = total == total ? l : -1;
        }
        __syncthreads();
        for (int l = threadIdx.x; l < L; l += blockDim.x)
            looked[(size_t)n * L + l] = !drawn ? weights[l] : region < 0 ? NAN : l == region ? 1.0f : 0.0f;
        if (drawn)
            for (int d = threadIdx.x; d < D; d += blockDim.x)
                row[d] = region < 0 ? NAN : region < L ? x[((size_t)n * L + region) * wide + d] : 0.0f;
    }
    if (!Wg) return;
    float sum = 0.0f;
    for (int j = threadIdx.x; j < H; j += blockDim.x) sum += h[(size_t)n * H + j] * Wg[j];
    float beta = sigmoid(block_sum(sum, sums) + bg[0]);
    if (threadIdx.x == 0) gate[n] = beta;
    for (int d = threadIdx.x; d < D; d += blockDim.x) z[(size_t)n * wide + d] = beta * row[d];
}

// The way back of look_1, before that of the attention: dz becomes the gradient of the context, dcontext what of it goes on to
// the weights, which is nothing where a region was drawn; the gate's goes to dgate and, through Wg, to the state before.
extern "C" __global__ void __launch_bounds__(128)
look_backward_1(const float* __restrict__ context, const float* __restrict__ gate, const long long* __restrict__ draws,
                const float* __restrict__ Wg, float* __restrict__ dz, float* __restrict__ dcontext,
                float* __restrict__ dgate, float* __restrict__ dh, int D, int wide, int H) {
    __shared__ float sums[32];
    int n = blockIdx.x;
    size_t row = (size_t)n * wide;
    float beta = 1.0f;
    if (Wg) {
        float sum = 0.0f;
        for (int d = threadIdx.x; d < D; d += blockDim.x) sum += dz[row + d] * context[row + d];
        beta = gate[n];
        float dg = block_sum(sum, sums) * beta * (1.0f - beta);
        if (threadIdx.x == 0) dgate[n] = dg;
        for (int j = threadIdx.x; j < H; j += blockDim.x) dh[(size_t)n * H + j] += dg * Wg[j];
    }
    bool drawn = draws && draws[n] >= 0;
    for (int d = threadIdx.x; d < D; d += blockDim.x) {
        float dc = beta * dz[row + d];
        dz[row + d] = dc;
        dcontext[row + d] = drawn ? 0.0f : dc;
    }
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

// out[n, l] = Σ_t weights[t, n, l] rows[t, n]: dx from α and dz, and without v dkeys from de and the queries. `rows` begin
// `wide` floats apart.
extern "C" __global__ void __launch_bounds__(128)
sum_over_steps(const float* __restrict__ weights, const float* __restrict__ rows, float* __restrict__ out,
               int T, int N, int L, int D, int wide, int tiles) {
    int n = blockIdx.x / tiles, first = blockIdx.x % tiles * REGIONS, count = min(REGIONS, L - first);
    size_t row = (size_t)n * L + first;
    bool vectorised = rows_aligned(rows, wide) && rows_aligned(out, D);
    for (int d = 4 * threadIdx.x; d < D; d += 4 * blockDim.x) {
        float4 sums[REGIONS];
#pragma unroll
        for (int r = 0; r < REGIONS; ++r) sums[r] = splat(0.0f);
        for (int t = 0; t < T; ++t) {
            float4 value = load4(rows + ((size_t)t * N + n) * wide, d, D, vectorised);
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
