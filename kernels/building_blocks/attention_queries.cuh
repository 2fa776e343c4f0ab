// The kernels of soft attention for several queries (N, T, A) that look at the same keys (N, L, A). A file says which score, and
// includes this after attention_kernels.cuh, whose softmax_1 serves here as well: a row of scores for each query.
//
// As in version 1 there is a launch for each line of the formula, and a thread for each number, or for four next to each other.
// No key is copied: the threads of a picture read its keys from where they lie, and nothing is of the size (N, T, L, A).
#pragma once

// Query `row` = n T + t of picture n looks at the keys before `end`, where its mask is true.
struct Look {
    const unsigned char* mask;  // (N, L) or (N, T, L), or null: all are looked at
    int masks;                  // of a picture: 1 or T
    int T, L, offset;           // query t looks at no key after t + offset

    __device__ __forceinline__ int end(long long row) const { return max(0, min(L, (int)(row % T) + 1 + offset)); }
    __device__ __forceinline__ bool at(long long row, int l) const {
        return l < end(row) && (!mask || mask[(masks == 1 ? row / T : row) * L + l]);
    }
};

// A thread for each of the `count` = N T L scores: to e, unless that is null, and to alpha where the query may look.
extern "C" __global__ void __launch_bounds__(256)
scores_of_queries(const float* __restrict__ keys, const float* __restrict__ query, const float* __restrict__ v, float scale,
                  const unsigned char* __restrict__ mask, int masks, float* __restrict__ e, float* __restrict__ alpha,
                  long long count, int T, int L, int A, int offset) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i >= count) return;
    long long row = i / L;
    int l = (int)(i % L);
    bool looks = Look{mask, masks, T, L, offset}.at(row, l);
    attention::Inputs in = inputs(nullptr, keys, query, v, scale, nullptr, L, 0, 0, A);
    double sum = 0.0;  // one thread adds up all of a score
    if (looks || e)
        for (int a = 0; a < A; a += 4)
            sum += Score::add(0.0f, load4(in.key((int)(row / T), l), a, A, false), load4(query + row * A, a, A, false),
                              in.v4(a, false));
    float score = in.scale * (float)sum;
    alpha[i] = looks ? score : -INFINITY;
    if (e) e[i] = score;
}

// A thread for each of the `count` = N T D numbers of z.
extern "C" __global__ void __launch_bounds__(256)
context_of_queries(const float* __restrict__ x, const float* __restrict__ alpha, const unsigned char* __restrict__ mask,
                   int masks, float* __restrict__ z, long long count, int T, int L, int D, int wide, int offset) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i >= count) return;
    long long row = i / D;
    const float* region = x + row / T * L * wide + i % D;
    Look look = {mask, masks, T, L, offset};
    int end = look.end(row);
    float sum = 0.0f;
    for (int l = 0; l < end; ++l)
        if (look.at(row, l)) sum += alpha[row * L + l] * region[(size_t)l * wide];
    z[i] = sum;
}

// A block for each query: de of its scores. de_out (N, T, L), or null, is what comes to the scores directly.
extern "C" __global__ void __launch_bounds__(256)
softmax_backward_of_queries(const float* __restrict__ x, const float* __restrict__ alpha, const float* __restrict__ dz,
                            const float* __restrict__ dalpha_out, const float* __restrict__ de_out, float* __restrict__ de,
                            int T, int L, int D, int wide) {
    __shared__ float sums[32];
    size_t row = (size_t)blockIdx.x * L;
    const float* regions = x + (size_t)(blockIdx.x / T) * L * wide;
    float sum = 0.0f;
    for (int l = threadIdx.x; l < L; l += blockDim.x) {
        float weight = alpha[row + l], dalpha = 0.0f;
        if (weight != 0.0f) {
            dalpha = dalpha_out ? dalpha_out[row + l] : 0.0f;
            for (int d = 0; dz && d < D; ++d) dalpha += regions[(size_t)l * wide + d] * dz[(size_t)blockIdx.x * D + d];
        }
        de[row + l] = dalpha;
        sum += weight * dalpha;
    }
    sum = block_sum(sum, sums);
    for (int l = threadIdx.x; l < L; l += blockDim.x)
        de[row + l] = attention::softmax_backward(alpha[row + l], de[row + l], sum) + (de_out ? de_out[row + l] : 0.0f);
}

// A thread for each four columns of a row of keys: `count` = N L ceil(A / 4). Every query met the key.
extern "C" __global__ void __launch_bounds__(256)
keys_backward_of_queries(const float* __restrict__ keys, const float* __restrict__ query, const float* __restrict__ v,
                         float scale, const float* __restrict__ de, float* __restrict__ dkeys, long long count, int T, int L,
                         int A) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i >= count) return;
    int groups = (A + 3) / 4, a = 4 * (int)(i % groups);
    long long row = i / groups, n = row / L;
    attention::Inputs in = inputs(nullptr, keys, query, v, scale, nullptr, L, 0, 0, A);
    bool vectorised = in.keys_aligned() && rows_aligned(dkeys, A);
    float4 sum = splat(0.0f), unused = sum, factor = in.v4(a, vectorised), key = sum;
    bool read = false;  // a key that nobody may look at is not
    de += n * T * L + row % L;  // of the first query
    query += n * T * A;
    for (int t = 0; t < T; ++t, de += L, query += A) {
        float d = in.scale * *de;
        if (d == 0.0f) continue;
        if (!read) key = load4(keys + row * A, a, A, vectorised), read = true;
        sum = sum + Score::key_backward(key, load4(query, a, A, vectorised), factor, d, unused);
    }
    store4(dkeys + row * A, a, A, vectorised, sum);
}

// A thread for each four columns of a row of x: `count` = N L ceil(D / 4). Every query looked at the region.
extern "C" __global__ void __launch_bounds__(256)
regions_backward_of_queries(const float* __restrict__ alpha, const float* __restrict__ dz, float* __restrict__ dx,
                            long long count, int T, int L, int D) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i >= count) return;
    int groups = (D + 3) / 4, d = 4 * (int)(i % groups);
    long long row = i / groups, n = row / L;
    bool vectorised = rows_aligned(dz, D) && rows_aligned(dx, D);
    float4 sum = splat(0.0f);
    alpha += n * T * L + row % L;  // of the first query
    if (dz) dz += n * T * D;
    for (int t = 0; dz && t < T; ++t, alpha += L, dz += D) sum = add_scaled(sum, *alpha, load4(dz, d, D, vectorised));
    store4(dx + row * D, d, D, vectorised, sum);
}

// A thread for each four columns of a query: `count` = N T ceil(A / 4); and what the query's scores say to v: dv_partials
// (N T, A), or null.
extern "C" __global__ void __launch_bounds__(256)
query_backward_of_queries(const float* __restrict__ keys, const float* __restrict__ query, const float* __restrict__ v,
                          float scale, const float* __restrict__ de, float* __restrict__ dquery,
                          float* __restrict__ dv_partials, long long count, int T, int L, int A) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i >= count) return;
    int groups = (A + 3) / 4, a = 4 * (int)(i % groups);
    long long row = i / groups;
    attention::Inputs in = inputs(nullptr, keys, query, v, scale, nullptr, L, 0, 0, A);
    bool vectorised = in.keys_aligned() && rows_aligned(dquery, A) && rows_aligned(dv_partials, A);
    float4 dq = splat(0.0f), dv = dq, q = load4(query + row * A, a, A, vectorised), factor = in.v4(a, vectorised);
    for (int l = 0; l < L; ++l) {
        float d = in.scale * de[row * L + l];
        if (d == 0.0f) continue;
        float4 key = load4(in.key((int)(row / T), l), a, A, vectorised);
        dq = dq + Score::query_backward(key, Score::key_backward(key, q, factor, d, dv), d);
    }
    store4(dquery + row * A, a, A, vectorised, dq);
    if (Score::HAS_V) store4(dv_partials + row * A, a, A, vectorised, dv);
}
