// The LSTM that looks before every step, through all steps, forward and backward. Attention itself is in attention.cuh.
//
// Version 1 takes a step as the launches of the rooms it is made of: six forward, seven backward, and with 20 steps their
// launches cost more than their work. Version 2 is one launch forward and one backward for all steps: blocks that stay meet
// between the phases of a step, and the pictures, keys and weights (35 MB for 32 pictures of 196 x 512) wait for the next step
// in the second-level cache. In both, what the next step back does not wait for, the gradients of keys, regions and weights,
// is one pass over all steps at the end: keys and regions are read once for all of them.
#ifndef ON_CPU
#include <cooperative_groups.h>
#endif
#include "attention.cuh"

#define REGIONS 8  // that a block of the last pass takes through all steps
#define ROWS 32    // of a product, one for each lane
#define DEPTH 128  // of a product, that is in shared memory at a time
#define PAD 33     // a row of 32 numbers and one, so that columns lie in different banks
#define WARPS 8

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

// What follows a step's attention where a region may be drawn, or the context goes through a gate: a block for each picture.
// draws is null where nothing is drawn, Wg where there is no gate. context enters as the mean of the regions by their weights.
// One thread adds the weights up, in the order of the regions and in double: so every variant draws the same region.
extern "C" __global__ void __launch_bounds__(128)
look_1(const float* __restrict__ x, const float* __restrict__ h, const float* __restrict__ alpha,
       const long long* __restrict__ draws, const float* __restrict__ Wg, const float* __restrict__ bg,
       float* __restrict__ looked, float* __restrict__ context, float* __restrict__ z, float* __restrict__ gate,
       int L, int D, int H) {
    __shared__ float sums[32];
    __shared__ int region;  // L where α is 0 everywhere, -1 where it is NaN
    int n = blockIdx.x;
    const float* weights = alpha + (size_t)n * L;
    float* row = context + (size_t)n * D;
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
                row[d] = region < 0 ? NAN : region < L ? x[((size_t)n * L + region) * D + d] : 0.0f;
    }
    if (!Wg) return;
    float sum = 0.0f;
    for (int j = threadIdx.x; j < H; j += blockDim.x) sum += h[(size_t)n * H + j] * Wg[j];
    float beta = sigmoid(block_sum(sum, sums) + bg[0]);
    if (threadIdx.x == 0) gate[n] = beta;
    for (int d = threadIdx.x; d < D; d += blockDim.x) z[(size_t)n * D + d] = beta * row[d];
}

// The way back of look_1, before that of the attention: dz becomes the gradient of the context, dcontext what of it goes on to
// the weights, which is nothing where a region was drawn; the gate's goes to dgate and, through Wg, to the state before.
extern "C" __global__ void __launch_bounds__(128)
look_backward_1(const float* __restrict__ context, const float* __restrict__ gate, const long long* __restrict__ draws,
                const float* __restrict__ Wg, float* __restrict__ dz, float* __restrict__ dcontext,
                float* __restrict__ dgate, float* __restrict__ dh, int D, int H) {
    __shared__ float sums[32];
    int n = blockIdx.x;
    size_t row = (size_t)n * D;
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

// --- 2 ---------------------------------------------------------------------------------------------------------------

// A product by a block: a lane has a row, of ROWS from row0 on, and the warps share the depth. `tile` is DEPTH x PAD numbers.
__device__ __forceinline__ void stage(float* tile, const float* rows, int row0, int N, int k0, int K) {
    __syncthreads();  // the tile before has been used
    for (int i = threadIdx.x; i < ROWS * DEPTH; i += blockDim.x) {
        int row = row0 + i / DEPTH, k = k0 + i % DEPTH;
        tile[i % DEPTH * PAD + i / DEPTH] = row < N && k < K ? rows[(size_t)row * K + k] : 0.0f;
    }
    __syncthreads();
}

// sums[g] += rows (N, K) times four columns of W (K, width), from `column` of the g-th group on; groups are `size` columns apart.
template <int G>
__device__ __forceinline__ void multiply(float4* sums, float* tile, const float* rows, int row0, int N, int K, const float* W,
                                         int width, int column, int size) {
    bool vectorised = rows_aligned(W, width) && size % 4 == 0;
    for (int k0 = 0; k0 < K; k0 += DEPTH) {
        stage(tile, rows, row0, N, k0, K);
        int depth = min(DEPTH, K - k0);
#pragma unroll (8 / G)
        for (int k = threadIdx.x / 32; k < depth; k += WARPS) {
            float value = tile[k * PAD + threadIdx.x % 32];
#pragma unroll
            for (int g = 0; g < G; ++g)
                sums[g] = add_scaled(sums[g], value, load4(W + (size_t)(k0 + k) * width + g * size, column, size, vectorised));
        }
    }
}

// sums[g] += rows (N, K) times the row `column` + g of W (columns, K): a product with W transposed.
template <int G>
__device__ __forceinline__ void multiply_transposed(float* sums, float* tile, const float* rows, int row0, int N, int K,
                                                    const float* W, int column, int columns) {
    bool vectorised = rows_aligned(W, K);
    for (int k0 = 0; k0 < K; k0 += DEPTH) {
        stage(tile, rows, row0, N, k0, K);
        int depth = min(DEPTH, K - k0);
#pragma unroll 2
        for (int k = threadIdx.x / 32 * 4; k < depth; k += 4 * WARPS) {
            const float* values = tile + k * PAD + threadIdx.x % 32;
            float4 four = make_float4(values[0], values[PAD], values[2 * PAD], values[3 * PAD]);
#pragma unroll
            for (int g = 0; g < G; ++g)
                if (column + g < columns)
                    sums[g] = add_dot4(sums[g], load4(W + (size_t)(column + g) * K, k0 + k, K, vectorised), four);
        }
    }
}

// The warps' partial sums of a product of `count` columns; all see them when it returns. `partials` is [WARPS][count][PAD].
__device__ __forceinline__ void store_partials(float* partials, const float* sums, int count) {
#pragma unroll
    for (int c = 0; c < count; ++c) partials[(threadIdx.x / 32 * count + c) * PAD + threadIdx.x % 32] = sums[c];
    __syncthreads();
}

__device__ __forceinline__ float sum_partials(const float* partials, int count, int c, int row) {
    float sum = 0.0f;
    for (int warp = 0; warp < WARPS; ++warp) sum += partials[(warp * count + c) * PAD + row];
    return sum;
}

// out (N, width) = rows (N, K) W (K, width), in jobs of ROWS rows and four columns.
__device__ __forceinline__ void product_2(float* out, const float* rows, const float* W,
                                          int N, int K, int width, float* tile, float* partials) {
    int across = (width + 3) / 4, jobs = across * ((N + ROWS - 1) / ROWS);
    for (int job = blockIdx.x; job < jobs; job += gridDim.x) {
        int row0 = job / across * ROWS, column = job % across * 4;
        float4 sum = splat(0.0f);
        multiply<1>(&sum, tile, rows, row0, N, K, W, width, column, width);
        store_partials(partials, (const float*)&sum, 4);
        for (int i = threadIdx.x; i < ROWS * 4; i += blockDim.x) {
            int n = row0 + i / 4, j = column + i % 4;
            if (n < N && j < width) out[(size_t)n * width + j] = sum_partials(partials, 4, i % 4, i / 4);
        }
    }
}

// The cell of step t. `gates` (N, 4H) enter as what the words bring, and z Wz and h Wh are added;
// a job is ROWS rows and four units.
__device__ __forceinline__ void cell_2(float* gates, const float* z, const float* Wz, const float* h,
                                       const float* Wh, const float* c, float* h_after, float* c_after,
                                       int N, int D, int H, float* tile, float* partials) {
    int across = (H + 3) / 4, jobs = across * ((N + ROWS - 1) / ROWS);
    for (int job = blockIdx.x; job < jobs; job += gridDim.x) {
        int row0 = job / across * ROWS, first = job % across * 4;
        float4 sums[4] = {splat(0.0f), splat(0.0f), splat(0.0f), splat(0.0f)};
        multiply<4>(sums, tile, h, row0, N, H, Wh, 4 * H, first, H);
        multiply<4>(sums, tile, z, row0, N, D, Wz, 4 * H, first, H);
        store_partials(partials, (const float*)sums, 16);
        for (int i = threadIdx.x; i < ROWS * 4; i += blockDim.x) {
            int n = row0 + i / 4, unit = first + i % 4;
            if (n >= N || unit >= H) continue;
            float* gate = gates + (size_t)n * 4 * H + unit;
            float in = sigmoid(gate[0] + sum_partials(partials, 16, i % 4, i / 4));
            float f = sigmoid(gate[H] + sum_partials(partials, 16, 4 + i % 4, i / 4));
            float g = tanhf(gate[2 * H] + sum_partials(partials, 16, 8 + i % 4, i / 4));
            float o = sigmoid(gate[3 * H] + sum_partials(partials, 16, 12 + i % 4, i / 4));
            size_t at = (size_t)n * H + unit;
            float c_here = f * c[at] + in * g;
            gate[0] = in, gate[H] = f, gate[2 * H] = g, gate[3 * H] = o;
            c_after[at] = c_here;
            h_after[at] = o * tanhf(c_here);
        }
    }
}

// All steps. `gates` (T, N, 4H) enter as what the words bring, h and c (T + 1, N, H) with the state before.
template <class Score>
__device__ __forceinline__ void forward_2(attention::Inputs in, float* gates, const float* Wq, const float* Wh, const float* Wz,
                                          float* query, float* alpha, float* z, float* h, float* c, float* maxima, float* sums,
                                          float* partial_z, int T, int N, int H, float* shared) {
    cooperative_groups::grid_group grid = cooperative_groups::this_grid();
    float *tile = shared, *partials = tile + DEPTH * PAD, *scores = partials + 16 * WARPS * PAD;
    int L = in.L, D = in.D, A = in.A, buffer = 0;
    for (int t = 0; t < T; ++t) {
        size_t rows = (size_t)t * N;
        float *h_t = h + rows * H, *c_t = c + rows * H;
        in.query = query + rows * A;
        product_2(query + rows * A, h_t, Wq, N, H, A, tile, partials);
        grid.sync();
        // scores by turns: no barrier
        for (int chunk = blockIdx.x; chunk < N * attention::count_chunks(L); chunk += gridDim.x, buffer ^= 1)
            attention::attend_3<Score, CHUNK / WARPS>(in, alpha + rows * L, maxima, sums, partial_z, chunk,
                                                      scores + buffer * CHUNK);
        grid.sync();
        for (int n = blockIdx.x; n < N; n += gridDim.x)
            attention::combine_3(alpha + rows * L, maxima, sums, partial_z, z + rows * D, n, L, D);
        grid.sync();
        cell_2(gates + rows * 4 * H, z + rows * D, Wz, h_t, Wh, c_t, h_t + (size_t)N * H, c_t + (size_t)N * H,
               N, D, H, tile, partials);
        if (t + 1 < T) grid.sync();
    }
}

// From the step after, dh (N, H), and what its query says, to dh of this step and to da (N, 4H), unless it is the state before
// the first step. A job is ROWS rows and four units; dc stays with it.
__device__ __forceinline__ void cell_backward_2(float* da, float* dh, float* dc, const float* gates, const float* c,
                                                const float* upstream, const float* dquery, const float* Wq,
                                                int N, int A, int H, bool last, bool before_first, float* tile, float* partials) {
    int across = (H + 3) / 4, jobs = across * ((N + ROWS - 1) / ROWS);
    for (int job = blockIdx.x; job < jobs; job += gridDim.x) {
        int row0 = job / across * ROWS, first = job % across * 4;
        float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        if (!last) {
            multiply_transposed<4>(sums, tile, dquery, row0, N, A, Wq, first, H);
            store_partials(partials, sums, 4);
        }
        for (int i = threadIdx.x; i < ROWS * 4; i += blockDim.x) {
            int n = row0 + i / 4, unit = first + i % 4;
            if (n >= N || unit >= H) continue;
            size_t at = (size_t)n * H + unit;
            float dh_here = last ? 0.0f : dh[at] + sum_partials(partials, 4, i % 4, i / 4);
            if (before_first) {
                dh[at] = dh_here;
                continue;
            }
            if (upstream) dh_here += upstream[at];
            const float* gate = gates + (size_t)n * 4 * H + unit;
            float in = gate[0], f = gate[H], g = gate[2 * H], o = gate[3 * H], tanh_c = tanhf(c[at + (size_t)N * H]);
            float dc_here = (last ? 0.0f : dc[at]) + dh_here * o * (1.0f - tanh_c * tanh_c);
            float* to = da + (size_t)n * 4 * H + unit;
            to[0] = dc_here * g * in * (1.0f - in);
            to[H] = dc_here * c[at] * f * (1.0f - f);
            to[2 * H] = dc_here * in * (1.0f - g * g);
            to[3 * H] = dh_here * tanh_c * o * (1.0f - o);
            dc[at] = dc_here * f;
        }
    }
}

// out (N, columns) = upstream + rows (N, K) Wᵀ, W (columns, K), in jobs of ROWS rows and eight columns, from job
// `job` on; returns what is left of them.
__device__ __forceinline__ int product_transposed_2(float* out, const float* upstream, const float* rows, const float* W,
                                                    int N, int K, int columns, int job, float* tile, float* partials) {
    int across = (columns + 7) / 8, jobs = across * ((N + ROWS - 1) / ROWS);
    for (; job < jobs; job += gridDim.x) {
        int row0 = job / across * ROWS, column = job % across * 8;
        float sums[8] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
        multiply_transposed<8>(sums, tile, rows, row0, N, K, W, column, columns);
        store_partials(partials, sums, 8);
        for (int i = threadIdx.x; i < ROWS * 8; i += blockDim.x) {
            int n = row0 + i / 8, j = column + i % 8;
            if (n >= N || j >= columns) continue;
            size_t at = (size_t)n * columns + j;
            out[at] = (upstream ? upstream[at] : 0.0f) + sum_partials(partials, 8, i % 8, i / 8);
        }
    }
    return job - jobs;
}

// All steps, from the last to the first: da (T, N, 4H), dz, dquery, de (T, N, L), and dh, dc (N, H) of the state before.
template <class Score>
__device__ __forceinline__ void backward_2(attention::Inputs in, const float* gates, const float* c, const float* query,
                                           const float* alpha, const float* dh_out, const float* dz_out,
                                           const float* dalpha_out, const float* Wq, const float* Wh, const float* Wz,
                                           float* da, float* dz, float* dquery, float* de, float* dh, float* dc, float* dalpha,
                                           float* dquery_partials, int T, int N, int H, float* shared) {
    cooperative_groups::grid_group grid = cooperative_groups::this_grid();
    float *tile = shared, *partials = tile + DEPTH * PAD, *alphas = partials + 16 * WARPS * PAD, *des = alphas + 2 * CHUNK;
    int L = in.L, D = in.D, A = in.A, chunks = attention::count_chunks(L), buffer = 0;
    for (int t = T - 1; t >= -1; --t) {
        size_t rows = (size_t)max(t, 0) * N;
        float *da_t = da + rows * 4 * H, *dz_t = dz + rows * D, *dquery_t = dquery + rows * A;
        cell_backward_2(da_t, dh, dc, gates + rows * 4 * H, c + rows * H, dh_out ? dh_out + rows * H : nullptr,
                        dquery + (size_t)(t + 1) * N * A, Wq, N, A, H, t == T - 1, t < 0, tile, partials);
        if (t < 0) return;
        grid.sync();
        int job = product_transposed_2(dh, nullptr, da_t, Wh, N, 4 * H, H, blockIdx.x, tile, partials);
        product_transposed_2(dz_t, dz_out ? dz_out + rows * D : nullptr, da_t, Wz, N, 4 * H, D, job, tile, partials);
        grid.sync();
        in.query = query + rows * A;
        attention::Gradients grads = {alpha + rows * L, dz_t, dalpha_out ? dalpha_out + rows * L : nullptr, nullptr, nullptr};
        for (int chunk = blockIdx.x; chunk < N * chunks; chunk += gridDim.x)
            attention::dalpha_3<CHUNK / WARPS>(in, grads, dalpha, chunk);
        grid.sync();
        for (int chunk = blockIdx.x; chunk < N * chunks; chunk += gridDim.x, buffer ^= 1)
            attention::attend_backward_3<Score>(in, grads, dalpha, de + rows * L, dquery_partials, nullptr, chunk,
                                                alphas + buffer * CHUNK, des + buffer * CHUNK);
        grid.sync();
        for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < (size_t)N * A; i += gridDim.x * (size_t)blockDim.x) {
            const float* part = dquery_partials + i / A * chunks * A + i % A;
            float sum = 0.0f;
            for (int chunk = 0; chunk < chunks; ++chunk) sum += part[(size_t)chunk * A];
            dquery_t[i] = sum;
        }
        grid.sync();
    }
}

// A kernel for each score: one for both would spill its registers.
extern "C" __global__ void __launch_bounds__(256)
additive_forward_2(float* gates, const float* __restrict__ x, const float* __restrict__ keys, const float* __restrict__ v,
                   const unsigned char* __restrict__ mask, const float* __restrict__ Wq, const float* __restrict__ Wh,
                   const float* __restrict__ Wz, float* query, float* alpha, float* z, float* h, float* c, float* maxima,
                   float* sums, float* partial_z, int T, int N, int L, int D, int A, int H) {
    DYNAMIC_SHARED(float, shared);
    attention::Inputs in = {x, keys, nullptr, v, mask, 1.0f, L, D, A};
    forward_2<attention::Additive>(in, gates, Wq, Wh, Wz, query, alpha, z, h, c, maxima, sums, partial_z, T, N, H, shared);
}

extern "C" __global__ void __launch_bounds__(256)
dot_forward_2(float* gates, const float* __restrict__ x, const float* __restrict__ keys, const float* __restrict__ v,
              const unsigned char* __restrict__ mask, const float* __restrict__ Wq, const float* __restrict__ Wh,
              const float* __restrict__ Wz, float* query, float* alpha, float* z, float* h, float* c, float* maxima,
              float* sums, float* partial_z, int T, int N, int L, int D, int A, int H) {
    DYNAMIC_SHARED(float, shared);
    attention::Inputs in = {x, keys, nullptr, v, mask, 1.0f, L, D, A};
    forward_2<attention::Dot>(in, gates, Wq, Wh, Wz, query, alpha, z, h, c, maxima, sums, partial_z, T, N, H, shared);
}

extern "C" __global__ void __launch_bounds__(256)
additive_backward_2(const float* __restrict__ gates, const float* __restrict__ c, const float* __restrict__ x,
                    const float* __restrict__ keys, const float* __restrict__ v, const float* __restrict__ query,
                    const float* __restrict__ alpha, const float* __restrict__ dh_out, const float* __restrict__ dz_out,
                    const float* __restrict__ dalpha_out, const float* __restrict__ Wq, const float* __restrict__ Wh,
                    const float* __restrict__ Wz, float* da, float* dz, float* dquery, float* de, float* dh, float* dc,
                    float* dalpha, float* dquery_partials, int T, int N, int L, int D, int A, int H) {
    DYNAMIC_SHARED(float, shared);
    attention::Inputs in = {x, keys, nullptr, v, nullptr, 1.0f, L, D, A};
    backward_2<attention::Additive>(in, gates, c, query, alpha, dh_out, dz_out, dalpha_out, Wq, Wh, Wz,
                                    da, dz, dquery, de, dh, dc, dalpha, dquery_partials, T, N, H, shared);
}

extern "C" __global__ void __launch_bounds__(256)
dot_backward_2(const float* __restrict__ gates, const float* __restrict__ c, const float* __restrict__ x,
               const float* __restrict__ keys, const float* __restrict__ v, const float* __restrict__ query,
               const float* __restrict__ alpha, const float* __restrict__ dh_out, const float* __restrict__ dz_out,
               const float* __restrict__ dalpha_out, const float* __restrict__ Wq, const float* __restrict__ Wh,
               const float* __restrict__ Wz, float* da, float* dz, float* dquery, float* de, float* dh, float* dc,
               float* dalpha, float* dquery_partials, int T, int N, int L, int D, int A, int H) {
    DYNAMIC_SHARED(float, shared);
    attention::Inputs in = {x, keys, nullptr, v, nullptr, 1.0f, L, D, A};
    backward_2<attention::Dot>(in, gates, c, query, alpha, dh_out, dz_out, dalpha_out, Wq, Wh, Wz,
                               da, dz, dquery, de, dh, dc, dalpha, dquery_partials, T, N, H, shared);
}
