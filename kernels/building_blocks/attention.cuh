// Soft attention, whatever the score: α = softmax(e), z = Σ α x, and the backward pass. A kernel chooses
// the score: `Additive` or `Dot`.
//
// 1: a thread for each number that is wanted. 2: one block for a picture, softmax and all, in one launch. 3: a picture is
// cut into chunks of 16 regions, so that a batch of 32 fills the chip; each chunk has a softmax of its
// own, and a second launch combines them.
//
// Rows of x begin `wide` floats apart, D or more, and so do those of z, of its parts and of dz: where D is no multiple of four,
// `wide` is, so that rows can be read as float4. What lies beyond D is neither read nor written: the last numbers of a row are
// taken one by one.
#pragma once
#include "float4.cuh"

#define CHUNK 16  // regions that a block of version 3 looks at

namespace attention {

struct Additive {  // e = v · tanh(k + q)
    static constexpr bool HAS_V = true;
    static __device__ __forceinline__ float add(float e, float4 k, float4 q, float4 v) {
        return add_dot4(e, v, make_float4(tanhf(k.x + q.x), tanhf(k.y + q.y), tanhf(k.z + q.z), tanhf(k.w + q.w)));
    }
    // The gradient dk of k for the gradient de of e; dv receives de tanh(k + q).
    static __device__ __forceinline__ float4 key_backward(float4 k, float4 q, float4 v, float de, float4& dv) {
        float4 s = make_float4(tanhf(k.x + q.x), tanhf(k.y + q.y), tanhf(k.z + q.z), tanhf(k.w + q.w));
        dv = add_scaled(dv, de, s);
        return make_float4(de * v.x * (1.0f - s.x * s.x), de * v.y * (1.0f - s.y * s.y), de * v.z * (1.0f - s.z * s.z),
                           de * v.w * (1.0f - s.w * s.w));
    }
    static __device__ __forceinline__ float4 query_backward(float4, float4 dk, float) { return dk; }  // k and q are added
};

struct Dot {  // e = k · q, and times the scale
    static constexpr bool HAS_V = false;
    static __device__ __forceinline__ float add(float e, float4 k, float4 q, float4) { return add_dot4(e, k, q); }
    static __device__ __forceinline__ float4 key_backward(float4, float4 q, float4, float de, float4&) {
        return add_scaled(splat(0.0f), de, q);
    }
    static __device__ __forceinline__ float4 query_backward(float4 k, float4, float de) { return add_scaled(splat(0.0f), de, k); }
};

// Where there is nothing to look at, the largest score is -INFINITY. It is taken for 0: the exponentials are 0 then, and so is
// their sum, by which they are divided. That is taken for 1.
__device__ __forceinline__ float shift_of(float largest) { return largest == -INFINITY ? 0.0f : largest; }
__device__ __forceinline__ float divisor_of(float sum) { return sum == 0.0f ? 1.0f : sum; }

struct Inputs {
    const float *x, *keys, *query, *v;  // (N, L, wide), (N, L, A), (N, A), (A,) or null
    const unsigned char* mask;          // (N, L), or null: all are looked at
    float scale;                        // of the score
    int L, D, wide, A;

    __device__ __forceinline__ const float* region(int n, int l) const { return x + ((size_t)n * L + l) * wide; }
    __device__ __forceinline__ const float* key(int n, int l) const { return keys + ((size_t)n * L + l) * A; }
    __device__ __forceinline__ bool masked(int n, int l) const { return mask && !mask[(size_t)n * L + l]; }
    __device__ __forceinline__ float4 v4(int a, bool vectorised) const { return v ? load4(v, a, A, vectorised) : splat(0.0f); }
    __device__ __forceinline__ bool keys_aligned() const {
        return rows_aligned(keys, A) && rows_aligned(query, A) && rows_aligned(v, A);
    }
    __device__ __forceinline__ bool regions_aligned(const void* rows) const {
        return rows_aligned(x, wide) && rows_aligned(rows, wide);
    }
};

struct Gradients {
    const float *alpha, *dz, *dalpha_out;  // (N, L), (N, wide) or null, (N, L) or null
    float *dx, *dkeys;                     // (N, L, D), (N, L, A)
};

// The upstream gradient of a region's α: dα is this and x · dz. Where nobody looked nothing is read.
__device__ __forceinline__ float upstream(const Gradients& grads, size_t row) {
    return grads.dalpha_out ? grads.dalpha_out[row] : 0.0f;
}

// de of a region, from its dα and Σ α dα.
__device__ __forceinline__ float softmax_backward(float alpha, float dalpha, float sum) {
    return alpha == 0.0f ? 0.0f : alpha * (dalpha - sum);
}

// --- 1 ---------------------------------------------------------------------------------------------------------------

// A thread for each of the `count` = N L scores.
template <class Score> __device__ __forceinline__ void scores_1(const Inputs& in, float* e, long long count) {
    long long row = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (row >= count) return;
    int n = (int)(row / in.L), l = (int)(row % in.L);
    double sum = 0.0;  // one thread adds up all of a row
    if (!in.masked(n, l))
        for (int a = 0; a < in.A; a += 4)
            sum += Score::add(0.0f, load4(in.key(n, l), a, in.A, false),
                              load4(in.query + (size_t)n * in.A, a, in.A, false), in.v4(a, false));
    e[row] = in.masked(n, l) ? -INFINITY : in.scale * (float)sum;
}

// A block for each picture.
__device__ __forceinline__ void softmax_1(float* e, int L, float* maxima, float* sums) {
    e += (size_t)blockIdx.x * L;
    float largest = -INFINITY, sum = 0.0f;
    for (int l = threadIdx.x; l < L; l += blockDim.x) largest = larger(largest, e[l]);
    largest = shift_of(block_max(largest, maxima));
    for (int l = threadIdx.x; l < L; l += blockDim.x) sum += expf(e[l] - largest);
    sum = divisor_of(block_sum(sum, sums));
    for (int l = threadIdx.x; l < L; l += blockDim.x) e[l] = expf(e[l] - largest) / sum;
}

// A thread for each of the `count` = N D numbers of z.
__device__ __forceinline__ void context_1(const Inputs& in, const float* alpha, float* z, long long count) {
    long long k = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (k >= count) return;
    int n = (int)(k / in.D), d = (int)(k % in.D);
    float sum = 0.0f;
    for (int l = 0; l < in.L; ++l)
        if (!in.masked(n, l)) sum += alpha[(size_t)n * in.L + l] * in.region(n, l)[d];
    z[(size_t)n * in.wide + d] = sum;
}

// A block for each picture: de of its regions.
__device__ __forceinline__ void softmax_backward_1(const Inputs& in, const Gradients& grads, float* de, float* sums) {
    size_t first = (size_t)blockIdx.x * in.L;
    float sum = 0.0f;
    for (int l = threadIdx.x; l < in.L; l += blockDim.x) {
        float alpha = grads.alpha[first + l], dalpha = 0.0f;
        if (alpha != 0.0f) {
            dalpha = upstream(grads, first + l);
            for (int d = 0; grads.dz && d < in.D; ++d)
                dalpha += in.region(blockIdx.x, l)[d] * grads.dz[(size_t)blockIdx.x * in.wide + d];
        }
        de[first + l] = dalpha;
        sum += alpha * dalpha;
    }
    sum = block_sum(sum, sums);
    for (int l = threadIdx.x; l < in.L; l += blockDim.x)
        de[first + l] = softmax_backward(grads.alpha[first + l], de[first + l], sum);
}

// A thread for each of the `count` = N L regions.
template <class Score>
__device__ __forceinline__ void regions_backward_1(const Inputs& in, const Gradients& grads, const float* de, long long count) {
    long long row = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (row >= count) return;
    int n = (int)(row / in.L), l = (int)(row % in.L);
    float4 zero = splat(0.0f), unused = zero;
    for (int a = 0; a < in.A; a += 4) {
        float4 k = load4(in.key(n, l), a, in.A, false), q = load4(in.query + (size_t)n * in.A, a, in.A, false);
        float4 dk = Score::key_backward(k, q, in.v4(a, false), in.scale * de[row], unused);
        store4(grads.dkeys + row * in.A, a, in.A, false, grads.alpha[row] == 0.0f ? zero : dk);
    }
    for (int d = 0; d < in.D; ++d)
        grads.dx[row * in.D + d] = grads.dz ? grads.alpha[row] * grads.dz[(size_t)n * in.wide + d] : 0.0f;
}

// A thread for four columns of A: what the regions of pictures `first` to `last` - 1 say to the query, and to v.
template <class Score>
__device__ __forceinline__ void columns_backward_1(const Inputs& in, const Gradients& grads, const float* de,
                                               int a, int first, int last, float* dquery, float* dv) {
    float4 dq = splat(0.0f), sum = dq;
    for (int n = first; n < last; ++n)
        for (int l = 0; l < in.L; ++l) {
            size_t row = (size_t)n * in.L + l;
            if (grads.alpha[row] == 0.0f) continue;
            float4 k = load4(in.key(n, l), a, in.A, false), q = load4(in.query + (size_t)n * in.A, a, in.A, false);
            float4 dk = Score::key_backward(k, q, in.v4(a, false), in.scale * de[row], sum);
            dq = dq + Score::query_backward(k, dk, in.scale * de[row]);
        }
    if (dquery) store4(dquery, a, in.A, false, dq);
    if (dv) store4(dv, a, in.A, false, sum);
}

// A thread for each of the `count` = N ceil(A / 4) groups of columns of dquery.
template <class Score>
__device__ __forceinline__ void query_backward_1(const Inputs& in, const Gradients& grads, const float* de, float* dquery,
                                             long long count) {
    long long k = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (k >= count) return;
    int groups = (in.A + 3) / 4, n = (int)(k / groups), a = 4 * (int)(k % groups);
    columns_backward_1<Score>(in, grads, de, a, n, n + 1, dquery + (size_t)n * in.A, nullptr);
}

// --- 2 ---------------------------------------------------------------------------------------------------------------

// A warp's scores of up to R regions of picture n, l = first to last - 1: the query and v are read once
// for all of them. All lanes receive them.
template <class Score, int R>
__device__ __forceinline__ void scores_of_regions(const Inputs& in, int n, int first, int last, bool vectorised, float* e) {
    bool live[R];
    for (int r = 0; r < R; ++r) {
        live[r] = first + r < last && !in.masked(n, first + r);
        e[r] = 0.0f;
    }
    for (int a = 4 * (threadIdx.x % 32); a < in.A; a += 128) {
        float4 q = load4(in.query + (size_t)n * in.A, a, in.A, vectorised), v = in.v4(a, vectorised), k[R];
#pragma unroll
        for (int r = 0; r < R; ++r)
            if (live[r]) k[r] = load4(in.key(n, first + r), a, in.A, vectorised);
#pragma unroll
        for (int r = 0; r < R; ++r)
            if (live[r]) e[r] = Score::add(e[r], k[r], q, v);
    }
#pragma unroll
    for (int r = 0; r < R; ++r) {
        float sum = warp_sum(e[r]);
        e[r] = live[r] ? in.scale * sum : -INFINITY;
    }
}

// A warp's dα of up to R regions. All lanes receive them.
template <int R>
__device__ __forceinline__ void dalpha_of_regions(const Inputs& in, const Gradients& grads,
                                                  int n, int first, int last, float* dalpha) {
    bool vectorised = in.regions_aligned(grads.dz), live[R];
    for (int r = 0; r < R; ++r) {
        live[r] = first + r < last && grads.alpha[(size_t)n * in.L + first + r] != 0.0f;
        dalpha[r] = live[r] && threadIdx.x % 32 == 0 ? upstream(grads, (size_t)n * in.L + first + r) : 0.0f;
    }
    for (int d = 4 * (threadIdx.x % 32); grads.dz && d < in.D; d += 128) {
        bool four = vectorised && d + 4 <= in.D;
        float4 dz = load4(grads.dz + (size_t)n * in.wide, d, in.D, four), x[R];
#pragma unroll
        for (int r = 0; r < R; ++r)
            if (live[r]) x[r] = load4(in.region(n, first + r), d, in.D, four);
#pragma unroll
        for (int r = 0; r < R; ++r)
            if (live[r]) dalpha[r] = add_dot4(dalpha[r], x[r], dz);
    }
#pragma unroll
    for (int r = 0; r < R; ++r) dalpha[r] = warp_sum(dalpha[r]);
}

// A block for each picture; `e` is L numbers of shared memory.
template <class Score>
__device__ __forceinline__ void attend_2(const Inputs& in, float* alpha, float* z, float* e, float* maxima, float* sums) {
    int n = blockIdx.x, L = in.L, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    bool vectorised = in.keys_aligned();
    for (int l = 2 * warp; l < L; l += 2 * warps) {
        float pair[2];
        scores_of_regions<Score, 2>(in, n, l, L, vectorised, pair);
        if (threadIdx.x % 32 == 0) {
            e[l] = pair[0];
            if (l + 1 < L) e[l + 1] = pair[1];
        }
    }
    __syncthreads();
    float largest = -INFINITY, sum = 0.0f;
    for (int l = threadIdx.x; l < L; l += blockDim.x) largest = larger(largest, e[l]);
    largest = shift_of(block_max(largest, maxima));
    for (int l = threadIdx.x; l < L; l += blockDim.x) sum += e[l] = expf(e[l] - largest);
    sum = divisor_of(block_sum(sum, sums));  // its barrier also lets all see the exponentials
    for (int l = threadIdx.x; l < L; l += blockDim.x) alpha[(size_t)n * L + l] = e[l] / sum;
    vectorised = in.regions_aligned(z) && in.D % 4 == 0;  // to ask it of each four would spill registers here
    for (int d = 4 * threadIdx.x; d < in.D; d += 4 * blockDim.x) {
        float4 mean = splat(0.0f);
        for (int l = 0; l < L; ++l)
            if (!in.masked(n, l)) mean = add_scaled(mean, e[l] / sum, load4(in.region(n, l), d, in.D, vectorised));
        store4(z + (size_t)n * in.wide, d, in.D, vectorised, mean);
    }
}

// A block for each picture; `de` is L numbers of shared memory. dv_partials (N, A), or null, is what each picture says to v.
template <class Score>
__device__ __forceinline__ void attend_backward_2(const Inputs& in, const Gradients& grads, float* dquery, float* dv_partials,
                                                  float* de, float* sums) {
    int n = blockIdx.x, L = in.L, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    const float* alpha = grads.alpha + (size_t)n * L;
    for (int l = 2 * warp; l < L; l += 2 * warps) {
        float pair[2];
        dalpha_of_regions<2>(in, grads, n, l, L, pair);
        if (threadIdx.x % 32 == 0) {
            de[l] = pair[0];
            if (l + 1 < L) de[l + 1] = pair[1];
        }
    }
    __syncthreads();
    float sum = 0.0f;
    for (int l = threadIdx.x; l < L; l += blockDim.x) sum += alpha[l] * de[l];
    sum = block_sum(sum, sums);
    for (int l = threadIdx.x; l < L; l += blockDim.x) de[l] = softmax_backward(alpha[l], de[l], sum);
    __syncthreads();
    bool vectorised = in.keys_aligned() && rows_aligned(grads.dkeys, in.A) && rows_aligned(dquery, in.A);
    float4 zero = splat(0.0f);
    for (int a = 4 * threadIdx.x; a < in.A; a += 4 * blockDim.x) {
        float4 q = load4(in.query + (size_t)n * in.A, a, in.A, vectorised), v = in.v4(a, vectorised), dq = zero, dv = zero;
        for (int l = 0; l < L; ++l) {
            float4 dk = zero;
            if (alpha[l] != 0.0f) {
                float4 k = load4(in.key(n, l), a, in.A, vectorised);
                dk = Score::key_backward(k, q, v, in.scale * de[l], dv);
                dq = dq + Score::query_backward(k, dk, in.scale * de[l]);
            }
            store4(grads.dkeys + ((size_t)n * L + l) * in.A, a, in.A, vectorised, dk);
        }
        store4(dquery + (size_t)n * in.A, a, in.A, vectorised, dq);
        if (dv_partials) store4(dv_partials + (size_t)n * in.A, a, in.A, vectorised, dv);
    }
    vectorised = rows_aligned(grads.dx, in.D) && rows_aligned(grads.dz, in.wide);
    for (int d = 4 * threadIdx.x; d < in.D; d += 4 * blockDim.x) {
        float4 dz = grads.dz ? load4(grads.dz + (size_t)n * in.wide, d, in.D, vectorised) : zero;
        for (int l = 0; l < L; ++l)
            store4(grads.dx + ((size_t)n * L + l) * in.D, d, in.D, vectorised, add_scaled(zero, alpha[l], dz));
    }
}

// out[column] = Σ rows of one block of columns: 32 columns, blockDim = (32, 8). `table` is 8 x 32 numbers of shared memory.
__device__ __forceinline__ void sum_rows(const float* rows, int count, int column, int columns, float* out, float* table) {
    float sum = 0.0f;
    if (column < columns)
        for (int row = threadIdx.y; row < count; row += blockDim.y) sum += rows[(size_t)row * columns + column];
    table[threadIdx.y * 32 + threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || column >= columns) return;
    for (int y = 1; y < blockDim.y; ++y) sum += table[y * 32 + threadIdx.x];
    out[column] = sum;
}

// --- 3 ---------------------------------------------------------------------------------------------------------------

__device__ __forceinline__ int count_chunks(int L) { return (L + CHUNK - 1) / CHUNK; }

// A block for each chunk of each picture: the scores go to `e` (N, L), the chunk's largest score, the sum of its exponentials
// and its weighted sum of regions to maxima, sums (N, chunks) and partial_z (N, chunks, wide).
// `scores` is CHUNK numbers of shared memory; a warp scores R.
template <class Score, int R = CHUNK / 4>
__device__ __forceinline__ void attend_3(const Inputs& in, float* e, float* maxima, float* sums, float* partial_z,
                                         int block, float* scores) {
    int chunks = count_chunks(in.L), n = block / chunks, first = block % chunks * CHUNK, last = min(first + CHUNK, in.L);
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    float few[R];
    scores_of_regions<Score, R>(in, n, first + warp * R, last, in.keys_aligned(), few);
#pragma unroll
    for (int r = 0; r < R; ++r)
        if (lane == r) scores[warp * R + r] = few[r];
    __syncthreads();
    // from here on every warp knows them all: a lane has a region
    float mine = first + lane < last ? scores[lane] : -INFINITY, largest = warp_max(mine);
    float p = mine == -INFINITY ? 0.0f : expf(mine - largest), sum = warp_sum(p);
    if (warp == 0 && first + lane < last) e[(size_t)n * in.L + first + lane] = mine;
    if (threadIdx.x == 0) maxima[block] = largest, sums[block] = sum;
    unsigned live = __ballot_sync(FULL_WARP, first + lane < last && !in.masked(n, first + lane));
    float weights[CHUNK];
#pragma unroll
    for (int r = 0; r < CHUNK; ++r) weights[r] = __shfl_sync(FULL_WARP, p, r);
    bool vectorised = in.regions_aligned(partial_z);
    for (int d = 4 * threadIdx.x; d < in.D; d += 4 * blockDim.x) {
        bool four = vectorised && d + 4 <= in.D;
        float4 partial = splat(0.0f);
#pragma unroll
        for (int r = 0; r < CHUNK; ++r)
            if (live >> r & 1) partial = add_scaled(partial, weights[r], load4(in.region(n, first + r), d, in.D, four));
        store4(partial_z + (size_t)block * in.wide, d, in.D, four, partial);
    }
}

// A block for each picture: the scores in `alpha` become the attention, and the partial sums one z.
// Each warp finds the softmax by itself.
__device__ __forceinline__ void combine_3(float* alpha, const float* maxima, const float* sums, const float* partial_z, float* z,
                                          int n, int L, int D, int wide) {
    int chunks = count_chunks(L), lane = threadIdx.x % 32;
    maxima += (size_t)n * chunks, sums += (size_t)n * chunks, partial_z += (size_t)n * chunks * wide;
    alpha += (size_t)n * L, z += (size_t)n * wide;
    float largest = -INFINITY, sum = 0.0f;
    for (int chunk = lane; chunk < chunks; chunk += 32) largest = larger(largest, maxima[chunk]);
    largest = shift_of(warp_max(largest));
    for (int chunk = lane; chunk < chunks; chunk += 32) sum += sums[chunk] * expf(maxima[chunk] - largest);
    sum = divisor_of(warp_sum(sum));
    for (int l = threadIdx.x; l < L; l += blockDim.x) alpha[l] = expf(alpha[l] - largest) / sum;
    bool vectorised = rows_aligned(partial_z, wide) && rows_aligned(z, wide);
    for (int d = 4 * threadIdx.x; d < D; d += 4 * blockDim.x) {
        bool four = vectorised && d + 4 <= D;
        float4 mean = splat(0.0f);
        for (int chunk = 0; chunk < chunks; ++chunk)
            mean = add_scaled(mean, expf(maxima[chunk] - largest) / sum, load4(partial_z + (size_t)chunk * wide, d, D, four));
        store4(z, d, D, four, mean);
    }
}

// A block for each chunk of each picture: dα of its regions.
template <int R = CHUNK / 4>
__device__ __forceinline__ void dalpha_3(const Inputs& in, const Gradients& grads, float* dalpha, int block) {
    int chunks = count_chunks(in.L), n = block / chunks, first = block % chunks * CHUNK, last = min(first + CHUNK, in.L);
    int begin = first + threadIdx.x / 32 * R;
    float few[R];
    dalpha_of_regions<R>(in, grads, n, begin, last, few);
#pragma unroll
    for (int r = 0; r < R; ++r)
        if (threadIdx.x % 32 == r && begin + r < last) dalpha[(size_t)n * in.L + begin + r] = few[r];
}

// A lane's de, of region first + lane of picture n. Each warp adds up Σ α dα by itself.
__device__ __forceinline__ float de_3(const float* alpha, const float* dalpha, int n, int first, int last, int L) {
    int lane = threadIdx.x % 32;
    alpha += (size_t)n * L, dalpha += (size_t)n * L;
    float sum = 0.0f;
    for (int l = lane; l < L; l += 32) sum += alpha[l] * dalpha[l];
    sum = warp_sum(sum);
    return first + lane < last ? softmax_backward(alpha[first + lane], dalpha[first + lane], sum) : 0.0f;
}

// A block for each chunk of each picture: dx and dkeys of its regions (unless null), and what they say to the query,
// and to v (unless null): dquery_partials, dv_partials (N, chunks, A). de (N, L) is kept unless null. `alphas` and `des`
// are CHUNK numbers of shared memory each.
template <class Score>
__device__ __forceinline__ void attend_backward_3(const Inputs& in, const Gradients& grads, const float* dalpha, float* de,
                                                  float* dquery_partials, float* dv_partials, int block, float* alphas,
                                                  float* des) {
    int chunks = count_chunks(in.L), n = block / chunks, first = block % chunks * CHUNK, count = min(CHUNK, in.L - first);
    size_t row = (size_t)n * in.L + first;
    if (threadIdx.x < 32) {
        float own = de_3(grads.alpha, dalpha, n, first, first + count, in.L);
        if (threadIdx.x < count) {
            if (de) de[row + threadIdx.x] = own;
            alphas[threadIdx.x] = grads.alpha[row + threadIdx.x];
            des[threadIdx.x] = in.scale * own;
        }
    }
    __syncthreads();
    float4 zero = splat(0.0f);
    bool vectorised = in.keys_aligned() && rows_aligned(grads.dkeys, in.A) && rows_aligned(dquery_partials, in.A);
    for (int a = 4 * threadIdx.x; a < in.A; a += 4 * blockDim.x) {
        float4 q = load4(in.query + (size_t)n * in.A, a, in.A, vectorised), v = in.v4(a, vectorised), dq = zero, dv = zero;
#pragma unroll 4
        for (int r = 0; r < count; ++r) {
            float4 dk = zero;
            if (alphas[r] != 0.0f) {
                float4 k = load4(in.key(n, first + r), a, in.A, vectorised);
                dk = Score::key_backward(k, q, v, des[r], dv);
                dq = dq + Score::query_backward(k, dk, des[r]);
            }
            if (grads.dkeys) store4(grads.dkeys + (row + r) * in.A, a, in.A, vectorised, dk);
        }
        store4(dquery_partials + (size_t)block * in.A, a, in.A, vectorised, dq);
        if (dv_partials) store4(dv_partials + (size_t)block * in.A, a, in.A, vectorised, dv);
    }
    vectorised = rows_aligned(grads.dx, in.D) && rows_aligned(grads.dz, in.wide);
    for (int d = 4 * threadIdx.x; grads.dx && d < in.D; d += 4 * blockDim.x) {
        float4 dz = grads.dz ? load4(grads.dz + (size_t)n * in.wide, d, in.D, vectorised) : zero;
#pragma unroll 4
        for (int r = 0; r < count; ++r) store4(grads.dx + (row + r) * in.D, d, in.D, vectorised, add_scaled(zero, alphas[r], dz));
    }
}

// Blocks of (32, 8) threads add up the chunks: `across` of them for each picture's dquery, and as many more for dv (unless null).
__device__ __forceinline__ void sum_partials(const float* dquery_partials, const float* dv_partials, float* dquery, float* dv,
                                             int N, int L, int A, int across, float* table) {
    int n = blockIdx.x / across, column = blockIdx.x % across * 32 + threadIdx.x, chunks = count_chunks(L);
    if (n < N) sum_rows(dquery_partials + (size_t)n * chunks * A, chunks, column, A, dquery + (size_t)n * A, table);
    else sum_rows(dv_partials, N * chunks, column, A, dv, table);
}

}  // namespace attention
