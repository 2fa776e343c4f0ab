// Versions 2 and 3 of the attending LSTM (attention_lstm.cu has version 1): one launch forward and one backward for all steps.
// Blocks that stay meet between the phases of a step, and the pictures, keys and weights (35 MB for 32 pictures of 196 x 512)
// wait for the next step in the second-level cache. In version 3 (KEPT) a block has the same columns of the products at every
// step, and keeps its weights in shared memory: they are read once, not at each step. A kernel for each score: one for both
// would spill its registers.
#pragma once
#ifndef ON_CPU
#include <cooperative_groups.h>
#endif
#include "attention.cuh"

#define ROWS 32    // of a product, one for each lane
#define DEPTH 128  // of a product, that is in shared memory at a time
#define PAD 33     // a row of 32 numbers and one, so that columns lie in different banks
#define WARPS 8
#define BESIDE (DEPTH * PAD + 16 * WARPS * PAD + 4 * CHUNK)  // floats of shared memory before the weights that are kept

// The jobs of a product that are a block's: `across` groups of columns for each ROWS rows. A block that keeps weights has one
// group.
template <bool KEPT> __device__ __forceinline__ int first_job(int across, int jobs) {
    return KEPT && blockIdx.x >= across ? jobs : blockIdx.x;
}
template <bool KEPT> __device__ __forceinline__ int next_job(int job, int across) { return job + (KEPT ? across : gridDim.x); }

// kept[k][g][e] = W (K, width)[k][g size + column + e]: four columns of each of G groups. Barriers come before they are used.
template <int G>
__device__ __forceinline__ void keep_columns(float* kept, const float* W, int K, int width, int column, int size) {
    for (int i = threadIdx.x; i < K * G * 4; i += blockDim.x) {
        int e = i % 4, g = i / 4 % G, k = i / (4 * G);
        kept[i] = column + e < size ? W[(size_t)k * width + g * size + column + e] : 0.0f;
    }
}

// kept (rows, K) = the rows of W (all, K) from `first` on, zero where there are none.
__device__ __forceinline__ void keep_rows(float* kept, const float* W, int first, int rows, int all, int K) {
    for (int i = threadIdx.x; i < rows * K; i += blockDim.x)
        kept[i] = first + i / K < all ? W[(size_t)first * K + i] : 0.0f;
}

// A product by a block: a lane has a row, of ROWS from row0 on, and the warps share the depth. `tile` is DEPTH x PAD numbers.
// Rows of K numbers begin `wide` apart.
__device__ __forceinline__ void stage(float* tile, const float* rows, int row0, int N, int k0, int K, int wide) {
    __syncthreads();  // the tile before has been used
    for (int i = threadIdx.x; i < ROWS * DEPTH; i += blockDim.x) {
        int row = row0 + i / DEPTH, k = k0 + i % DEPTH;
        tile[i % DEPTH * PAD + i / DEPTH] = row < N && k < K ? rows[(size_t)row * wide + k] : 0.0f;
    }
    __syncthreads();
}

// sums[g] += rows (N, K) times four columns of W (K, width), from `column` of the g-th group on; groups are `size` columns apart.
template <int G>
__device__ __forceinline__ void multiply(float4* sums, float* tile, const float* rows, int row0, int N, int K, int wide,
                                         const float* W, int width, int column, int size) {
    bool vectorised = rows_aligned(W, width) && size % 4 == 0;
    for (int k0 = 0; k0 < K; k0 += DEPTH) {
        stage(tile, rows, row0, N, k0, K, wide);
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
        stage(tile, rows, row0, N, k0, K, K);
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

// out (N, width) = rows (N, K) W (K, width), in jobs of ROWS rows and four columns; W is what the block keeps of it if KEPT.
template <bool KEPT>
__device__ __forceinline__ void product_2(float* out, const float* rows, const float* W,
                                          int N, int K, int width, float* tile, float* partials) {
    int across = (width + 3) / 4, jobs = across * ((N + ROWS - 1) / ROWS);
    for (int job = first_job<KEPT>(across, jobs); job < jobs; job = next_job<KEPT>(job, across)) {
        int row0 = job / across * ROWS, column = job % across * 4;
        float4 sum = splat(0.0f);
        multiply<1>(&sum, tile, rows, row0, N, K, K, W, KEPT ? 4 : width, KEPT ? 0 : column, KEPT ? 4 : width);
        store_partials(partials, (const float*)&sum, 4);
        for (int i = threadIdx.x; i < ROWS * 4; i += blockDim.x) {
            int n = row0 + i / 4, j = column + i % 4;
            if (n < N && j < width) out[(size_t)n * width + j] = sum_partials(partials, 4, i % 4, i / 4);
        }
    }
}

// The cell of step t. `gates` (N, 4H) enter as what the words bring, and z Wz and h Wh are added;
// a job is ROWS rows and four units.
template <bool KEPT>
__device__ __forceinline__ void cell_2(float* gates, const float* z, const float* Wz, const float* h,
                                       const float* Wh, const float* c, float* h_after, float* c_after,
                                       int N, int D, int wide, int H, float* tile, float* partials) {
    int across = (H + 3) / 4, jobs = across * ((N + ROWS - 1) / ROWS);
    for (int job = first_job<KEPT>(across, jobs); job < jobs; job = next_job<KEPT>(job, across)) {
        int row0 = job / across * ROWS, first = job % across * 4;
        float4 sums[4] = {splat(0.0f), splat(0.0f), splat(0.0f), splat(0.0f)};
        multiply<4>(sums, tile, h, row0, N, H, H, Wh, KEPT ? 16 : 4 * H, KEPT ? 0 : first, KEPT ? 4 : H);
        multiply<4>(sums, tile, z, row0, N, D, wide, Wz, KEPT ? 16 : 4 * H, KEPT ? 0 : first, KEPT ? 4 : H);
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

// All steps. `gates` (T, N, 4H) enter as what the words bring, h and c (T + 1, N, H) with the state before; z is (T, N, wide).
template <class Score, bool KEPT>
__device__ __forceinline__ void forward_2(attention::Inputs in, float* gates, const float* Wq, const float* Wh, const float* Wz,
                                          float* query, float* alpha, float* z, float* h, float* c, float* maxima, float* sums,
                                          float* partial_z, int T, int N, int H, float* shared) {
    cooperative_groups::grid_group grid = cooperative_groups::this_grid();
    float *tile = shared, *partials = tile + DEPTH * PAD, *scores = partials + 16 * WARPS * PAD;
    int L = in.L, D = in.D, wide = in.wide, A = in.A, buffer = 0;
    if (KEPT) {
        float *kept_q = shared + BESIDE, *kept_h = kept_q + 4 * H, *kept_z = kept_h + 16 * H;
        int column = 4 * blockIdx.x;
        if (column < A) keep_columns<1>(kept_q, Wq, H, A, column, A);
        if (column < H) keep_columns<4>(kept_h, Wh, H, 4 * H, column, H), keep_columns<4>(kept_z, Wz, D, 4 * H, column, H);
        Wq = kept_q, Wh = kept_h, Wz = kept_z;
    }
    for (int t = 0; t < T; ++t) {
        size_t rows = (size_t)t * N;
        float *h_t = h + rows * H, *c_t = c + rows * H;
        in.query = query + rows * A;
        product_2<KEPT>(query + rows * A, h_t, Wq, N, H, A, tile, partials);
        grid.sync();
        // scores by turns: no barrier
        for (int chunk = blockIdx.x; chunk < N * attention::count_chunks(L); chunk += gridDim.x, buffer ^= 1)
            attention::attend_3<Score, CHUNK / WARPS>(in, alpha + rows * L, maxima, sums, partial_z, chunk,
                                                      scores + buffer * CHUNK);
        grid.sync();
        for (int n = blockIdx.x; n < N; n += gridDim.x)
            attention::combine_3(alpha + rows * L, maxima, sums, partial_z, z + rows * wide, n, L, D, wide);
        grid.sync();
        cell_2<KEPT>(gates + rows * 4 * H, z + rows * wide, Wz, h_t, Wh, c_t, h_t + (size_t)N * H, c_t + (size_t)N * H,
                     N, D, wide, H, tile, partials);
        if (t + 1 < T) grid.sync();
    }
}

// From the step after, dh (N, H), and what its query says, to dh of this step and to da (N, 4H), unless it is the state before
// the first step. A job is ROWS rows and four units; dc stays with it.
template <bool KEPT>
__device__ __forceinline__ void cell_backward_2(float* da, float* dh, float* dc, const float* gates, const float* c,
                                                const float* upstream, const float* dquery, const float* Wq,
                                                int N, int A, int H, bool last, bool before_first, float* tile, float* partials) {
    int across = (H + 3) / 4, jobs = across * ((N + ROWS - 1) / ROWS);
    for (int job = first_job<KEPT>(across, jobs); job < jobs; job = next_job<KEPT>(job, across)) {
        int row0 = job / across * ROWS, first = job % across * 4;
        float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        if (!last) {
            multiply_transposed<4>(sums, tile, dquery, row0, N, A, Wq, KEPT ? 0 : first, KEPT ? 4 : H);
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

// out (N, wide) = upstream (N, columns) + rows (N, K) Wᵀ, W (columns, K), in jobs of ROWS rows and eight columns, from job
// `job` on; returns what is left of them. A block that keeps weights has eight columns of one product.
template <bool KEPT>
__device__ __forceinline__ int product_transposed_2(float* out, const float* upstream, const float* rows, const float* W,
                                                    int N, int K, int columns, int wide, int job, float* tile,
                                                    float* partials) {
    int across = (columns + 7) / 8, jobs = across * ((N + ROWS - 1) / ROWS);
    if (KEPT && (job < 0 || job >= across)) return job - across;
    for (; job < jobs; job = next_job<KEPT>(job, across)) {
        int row0 = job / across * ROWS, column = job % across * 8;
        float sums[8] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
        multiply_transposed<8>(sums, tile, rows, row0, N, K, W, KEPT ? 0 : column, KEPT ? 8 : columns);
        store_partials(partials, sums, 8);
        for (int i = threadIdx.x; i < ROWS * 8; i += blockDim.x) {
            int n = row0 + i / 8, j = column + i % 8;
            if (n >= N || j >= columns) continue;
            float before = upstream ? upstream[(size_t)n * columns + j] : 0.0f;
            out[(size_t)n * wide + j] = before + sum_partials(partials, 8, i % 8, i / 8);
        }
    }
    return KEPT ? -1 : job - jobs;
}

// All steps, from the last to the first: da (T, N, 4H), dz (T, N, wide), dquery, de (T, N, L), and dh, dc (N, H) of the state
// before.
template <class Score, bool KEPT>
__device__ __forceinline__ void backward_2(attention::Inputs in, const float* gates, const float* c, const float* query,
                                           const float* alpha, const float* dh_out, const float* dz_out,
                                           const float* dalpha_out, const float* Wq, const float* Wh, const float* Wz,
                                           float* da, float* dz, float* dquery, float* de, float* dh, float* dc, float* dalpha,
                                           float* dquery_partials, int T, int N, int H, float* shared) {
    cooperative_groups::grid_group grid = cooperative_groups::this_grid();
    float *tile = shared, *partials = tile + DEPTH * PAD, *alphas = partials + 16 * WARPS * PAD, *des = alphas + 2 * CHUNK;
    int L = in.L, D = in.D, wide = in.wide, A = in.A, chunks = attention::count_chunks(L), buffer = 0;
    if (KEPT) {
        float *kept_q = shared + BESIDE, *kept = kept_q + 4 * A;
        int across = (H + 7) / 8, column = 8 * blockIdx.x;
        if (4 * blockIdx.x < H) keep_rows(kept_q, Wq, 4 * blockIdx.x, 4, H, A);
        if (column < H) keep_rows(kept, Wh, column, 8, H, 4 * H);
        else if (column - 8 * across < D) keep_rows(kept, Wz, column - 8 * across, 8, D, 4 * H);
        Wq = kept_q, Wh = Wz = kept;
    }
    for (int t = T - 1; t >= -1; --t) {
        size_t rows = (size_t)max(t, 0) * N;
        float *da_t = da + rows * 4 * H, *dz_t = dz + rows * wide, *dquery_t = dquery + rows * A;
        cell_backward_2<KEPT>(da_t, dh, dc, gates + rows * 4 * H, c + rows * H, dh_out ? dh_out + rows * H : nullptr,
                              dquery + (size_t)(t + 1) * N * A, Wq, N, A, H, t == T - 1, t < 0, tile, partials);
        if (t < 0) return;
        grid.sync();
        int job = product_transposed_2<KEPT>(dh, nullptr, da_t, Wh, N, 4 * H, H, H, blockIdx.x, tile, partials);
        product_transposed_2<KEPT>(dz_t, dz_out ? dz_out + rows * D : nullptr, da_t, Wz, N, 4 * H, D, wide, job, tile,
                                    partials);
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
