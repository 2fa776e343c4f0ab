// Soft attention, whatever the score: α = softmax(e), z = Σ α x, and the way back. A kernel chooses
// the score: `Additive` or `Dot`.
//
// 1: a thread for each number that is wanted. 2: one block for a picture, softmax and all, in one launch. 3: a picture is
// cut into pieces of 16 regions, so that a batch of 32 fills the chip; each piece has a softmax of its
// own, and a second launch joins them.
#pragma once
#include "quads.cuh"

#define PIECE 16  // regions that a block of version 3 looks at

namespace attention {

struct Additive {  // e = v · tanh(k + q)
    static __device__ __forceinline__ float add(float e, float4 k, float4 q, float4 v) {
        return add_dot4(e, v, make_float4(tanhf(k.x + q.x), tanhf(k.y + q.y), tanhf(k.z + q.z), tanhf(k.w + q.w)));
    }
    // The gradient dk of k for the gradient de of e; dv receives de tanh(k + q).
    static __device__ __forceinline__ float4 back(float4 k, float4 q, float4 v, float de, float4& dv) {
        float4 s = make_float4(tanhf(k.x + q.x), tanhf(k.y + q.y), tanhf(k.z + q.z), tanhf(k.w + q.w));
        dv = add_scaled(dv, de, s);
        return make_float4(de * v.x * (1.0f - s.x * s.x), de * v.y * (1.0f - s.y * s.y), de * v.z * (1.0f - s.z * s.z),
                           de * v.w * (1.0f - s.w * s.w));
    }
    static __device__ __forceinline__ float4 query_back(float4, float4 dk, float) { return dk; }  // k and q are added
};

struct Dot {  // e = k · q, and times the scale
    static __device__ __forceinline__ float add(float e, float4 k, float4 q, float4) { return add_dot4(e, k, q); }
    static __device__ __forceinline__ float4 back(float4, float4 q, float4, float de, float4&) {
        return add_scaled(all_four(0.0f), de, q);
    }
    static __device__ __forceinline__ float4 query_back(float4 k, float4, float de) { return add_scaled(all_four(0.0f), de, k); }
};

struct Inputs {
    const float *x, *keys, *query, *v;  // (N, L, D), (N, L, A), (N, A), (A,) or null
    const unsigned char* mask;          // (N, L), or null: all are looked at
    float scale;                        // of the score
    int L, D, A;

    __device__ __forceinline__ const float* region(int n, int l) const { return x + ((size_t)n * L + l) * D; }
    __device__ __forceinline__ const float* key(int n, int l) const { return keys + ((size_t)n * L + l) * A; }
    __device__ __forceinline__ bool masked(int n, int l) const { return mask && !mask[(size_t)n * L + l]; }
    __device__ __forceinline__ float4 learnt(int a, bool quads) const { return v ? load4(v, a, A, quads) : all_four(0.0f); }
    __device__ __forceinline__ bool key_quads() const { return in_quads(keys, A) && in_quads(query, A) && in_quads(v, A); }
    __device__ __forceinline__ bool region_quads(const void* rows) const { return in_quads(x, D) && in_quads(rows, D); }
};

struct Gradients {
    const float *alpha, *dz, *dalpha_above;  // (N, L), (N, D) or null, (N, L) or null
    float *dx, *dkeys;                       // (N, L, D), (N, L, A)
};

// dα = x · dz + dα above, of a region; where nobody looked nothing is read.
__device__ __forceinline__ float above(const Gradients& back, size_t row) {
    return back.dalpha_above ? back.dalpha_above[row] : 0.0f;
}

// de of a region, from its dα and Σ α dα.
__device__ __forceinline__ float softmax_back(float alpha, float dalpha, float sum) {
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
                              load4(in.query + (size_t)n * in.A, a, in.A, false), in.learnt(a, false));
    e[row] = in.masked(n, l) ? -INFINITY : in.scale * (float)sum;
}

// A block for each picture.
__device__ __forceinline__ void softmax_1(float* e, int L, float* tops, float* sums) {
    e += (size_t)blockIdx.x * L;
    float top = -INFINITY, sum = 0.0f;
    for (int l = threadIdx.x; l < L; l += blockDim.x) top = larger(top, e[l]);
    top = block_max(top, tops);
    for (int l = threadIdx.x; l < L; l += blockDim.x) sum += expf(e[l] - top);
    sum = block_sum(sum, sums);
    for (int l = threadIdx.x; l < L; l += blockDim.x) e[l] = expf(e[l] - top) / sum;
}

// A thread for each of the `count` = N D numbers of z.
__device__ __forceinline__ void context_1(const Inputs& in, const float* alpha, float* z, long long count) {
    long long k = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (k >= count) return;
    int n = (int)(k / in.D), d = (int)(k % in.D);
    float sum = 0.0f;
    for (int l = 0; l < in.L; ++l)
        if (!in.masked(n, l)) sum += alpha[(size_t)n * in.L + l] * in.region(n, l)[d];
    z[k] = sum;
}

// A block for each picture: de of its regions.
__device__ __forceinline__ void softmax_back_1(const Inputs& in, const Gradients& back, float* de, float* sums) {
    size_t first = (size_t)blockIdx.x * in.L;
    float sum = 0.0f;
    for (int l = threadIdx.x; l < in.L; l += blockDim.x) {
        float alpha = back.alpha[first + l], dalpha = 0.0f;
        if (alpha != 0.0f) {
            dalpha = above(back, first + l);
            for (int d = 0; back.dz && d < in.D; ++d)
                dalpha += in.region(blockIdx.x, l)[d] * back.dz[(size_t)blockIdx.x * in.D + d];
        }
        de[first + l] = dalpha;
        sum += alpha * dalpha;
    }
    sum = block_sum(sum, sums);
    for (int l = threadIdx.x; l < in.L; l += blockDim.x)
        de[first + l] = softmax_back(back.alpha[first + l], de[first + l], sum);
}

// A thread for each of the `count` = N L regions.
template <class Score>
__device__ __forceinline__ void regions_back_1(const Inputs& in, const Gradients& back, const float* de, long long count) {
    long long row = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (row >= count) return;
    int n = (int)(row / in.L), l = (int)(row % in.L);
    float4 zero = all_four(0.0f), unused = zero;
    for (int a = 0; a < in.A; a += 4) {
        float4 k = load4(in.key(n, l), a, in.A, false), q = load4(in.query + (size_t)n * in.A, a, in.A, false);
        float4 dk = Score::back(k, q, in.learnt(a, false), in.scale * de[row], unused);
        store4(back.dkeys + row * in.A, a, in.A, false, back.alpha[row] == 0.0f ? zero : dk);
    }
    for (int d = 0; d < in.D; ++d)
        back.dx[row * in.D + d] = back.dz ? back.alpha[row] * back.dz[(size_t)n * in.D + d] : 0.0f;
}

// A thread for four columns of A: what the regions of pictures `first` to `last` - 1 say to the query, and to v.
template <class Score>
__device__ __forceinline__ void columns_back_1(const Inputs& in, const Gradients& back, const float* de,
                                               int a, int first, int last, float* dquery, float* dv) {
    float4 dq = all_four(0.0f), sum = dq;
    for (int n = first; n < last; ++n)
        for (int l = 0; l < in.L; ++l) {
            size_t row = (size_t)n * in.L + l;
            if (back.alpha[row] == 0.0f) continue;
            float4 k = load4(in.key(n, l), a, in.A, false), q = load4(in.query + (size_t)n * in.A, a, in.A, false);
            float4 dk = Score::back(k, q, in.learnt(a, false), in.scale * de[row], sum);
            dq = dq + Score::query_back(k, dk, in.scale * de[row]);
        }
    if (dquery) store4(dquery, a, in.A, false, dq);
    if (dv) store4(dv, a, in.A, false, sum);
}

// A thread for each of the `count` = N ceil(A / 4) groups of columns of dquery.
template <class Score>
__device__ __forceinline__ void query_back_1(const Inputs& in, const Gradients& back, const float* de, float* dquery,
                                             long long count) {
    long long k = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (k >= count) return;
    int groups = (in.A + 3) / 4, n = (int)(k / groups), a = 4 * (int)(k % groups);
    columns_back_1<Score>(in, back, de, a, n, n + 1, dquery + (size_t)n * in.A, nullptr);
}

// --- 2 ---------------------------------------------------------------------------------------------------------------

// A warp's scores of up to R regions of picture n, l = first to last - 1: the query and v are read once
// for all of them. All lanes receive them.
template <class Score, int R>
__device__ __forceinline__ void scores_of_regions(const Inputs& in, int n, int first, int last, bool quads, float* e) {
    bool live[R];
    for (int r = 0; r < R; ++r) {
        live[r] = first + r < last && !in.masked(n, first + r);
        e[r] = 0.0f;
    }
    for (int a = 4 * (threadIdx.x % 32); a < in.A; a += 128) {
        float4 q = load4(in.query + (size_t)n * in.A, a, in.A, quads), v = in.learnt(a, quads), k[R];
#pragma unroll
        for (int r = 0; r < R; ++r)
            if (live[r]) k[r] = load4(in.key(n, first + r), a, in.A, quads);
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
__device__ __forceinline__ void dalpha_of_regions(const Inputs& in, const Gradients& back,
                                                  int n, int first, int last, float* dalpha) {
    bool quads = in.region_quads(back.dz), live[R];
    for (int r = 0; r < R; ++r) {
        live[r] = first + r < last && back.alpha[(size_t)n * in.L + first + r] != 0.0f;
        dalpha[r] = live[r] && threadIdx.x % 32 == 0 ? above(back, (size_t)n * in.L + first + r) : 0.0f;
    }
    for (int d = 4 * (threadIdx.x % 32); back.dz && d < in.D; d += 128) {
        float4 dz = load4(back.dz + (size_t)n * in.D, d, in.D, quads), x[R];
#pragma unroll
        for (int r = 0; r < R; ++r)
            if (live[r]) x[r] = load4(in.region(n, first + r), d, in.D, quads);
#pragma unroll
        for (int r = 0; r < R; ++r)
            if (live[r]) dalpha[r] = add_dot4(dalpha[r], x[r], dz);
    }
#pragma unroll
    for (int r = 0; r < R; ++r) dalpha[r] = warp_sum(dalpha[r]);
}

// A block for each picture; `e` is L numbers of shared memory.
template <class Score>
__device__ __forceinline__ void attend_2(const Inputs& in, float* alpha, float* z, float* e, float* tops, float* sums) {
    int n = blockIdx.x, L = in.L, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    bool quads = in.key_quads();
    for (int l = 2 * warp; l < L; l += 2 * warps) {
        float pair[2];
        scores_of_regions<Score, 2>(in, n, l, L, quads, pair);
        if (threadIdx.x % 32 == 0) {
            e[l] = pair[0];
            if (l + 1 < L) e[l + 1] = pair[1];
        }
    }
    __syncthreads();
    float top = -INFINITY, sum = 0.0f;
    for (int l = threadIdx.x; l < L; l += blockDim.x) top = larger(top, e[l]);
    top = block_max(top, tops);
    for (int l = threadIdx.x; l < L; l += blockDim.x) sum += e[l] = expf(e[l] - top);
    sum = block_sum(sum, sums);  // its barrier also lets all see the exponentials
    for (int l = threadIdx.x; l < L; l += blockDim.x) alpha[(size_t)n * L + l] = e[l] / sum;
    quads = in.region_quads(z);
    for (int d = 4 * threadIdx.x; d < in.D; d += 4 * blockDim.x) {
        float4 mean = all_four(0.0f);
        for (int l = 0; l < L; ++l)
            if (!in.masked(n, l)) mean = add_scaled(mean, e[l] / sum, load4(in.region(n, l), d, in.D, quads));
        store4(z + (size_t)n * in.D, d, in.D, quads, mean);
    }
}

// A block for each picture; `de` is L numbers of shared memory. dv_shares (N, A), or null, is what each picture says to v.
template <class Score>
__device__ __forceinline__ void attend_backward_2(const Inputs& in, const Gradients& back, float* dquery, float* dv_shares,
                                            float* de, float* sums) {
    int n = blockIdx.x, L = in.L, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    const float* alpha = back.alpha + (size_t)n * L;
    for (int l = 2 * warp; l < L; l += 2 * warps) {
        float pair[2];
        dalpha_of_regions<2>(in, back, n, l, L, pair);
        if (threadIdx.x % 32 == 0) {
            de[l] = pair[0];
            if (l + 1 < L) de[l + 1] = pair[1];
        }
    }
    __syncthreads();
    float sum = 0.0f;
    for (int l = threadIdx.x; l < L; l += blockDim.x) sum += alpha[l] * de[l];
    sum = block_sum(sum, sums);
    for (int l = threadIdx.x; l < L; l += blockDim.x) de[l] = softmax_back(alpha[l], de[l], sum);
    __syncthreads();
    bool quads = in.key_quads() && in_quads(back.dkeys, in.A) && in_quads(dquery, in.A);
    float4 zero = all_four(0.0f);
    for (int a = 4 * threadIdx.x; a < in.A; a += 4 * blockDim.x) {
        float4 q = load4(in.query + (size_t)n * in.A, a, in.A, quads), v = in.learnt(a, quads), dq = zero, dv = zero;
        for (int l = 0; l < L; ++l) {
            float4 dk = zero;
            if (alpha[l] != 0.0f) {
                float4 k = load4(in.key(n, l), a, in.A, quads);
                dk = Score::back(k, q, v, in.scale * de[l], dv);
                dq = dq + Score::query_back(k, dk, in.scale * de[l]);
            }
            store4(back.dkeys + ((size_t)n * L + l) * in.A, a, in.A, quads, dk);
        }
        store4(dquery + (size_t)n * in.A, a, in.A, quads, dq);
        if (dv_shares) store4(dv_shares + (size_t)n * in.A, a, in.A, quads, dv);
    }
    quads = in_quads(back.dx, in.D) && in_quads(back.dz, in.D);
    for (int d = 4 * threadIdx.x; d < in.D; d += 4 * blockDim.x) {
        float4 dz = back.dz ? load4(back.dz + (size_t)n * in.D, d, in.D, quads) : zero;
        for (int l = 0; l < L; ++l)
            store4(back.dx + ((size_t)n * L + l) * in.D, d, in.D, quads, add_scaled(zero, alpha[l], dz));
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

__device__ __forceinline__ int count_pieces(int L) { return (L + PIECE - 1) / PIECE; }

// A block for each piece of each picture, `of` pieces each: the scores go to `e` (N, L), the piece's largest score,
// the sum of its exponentials and its weighted sum of regions to tops, sums (N, pieces) and parts (N, pieces, D).
// `scores` is PIECE numbers of shared memory; a warp scores R.
template <class Score, int R = PIECE / 4>
__device__ __forceinline__ void attend_3(const Inputs& in, float* e, float* tops, float* sums, float* parts,
                                       int block, float* scores) {
    int pieces = count_pieces(in.L), n = block / pieces, first = block % pieces * PIECE, last = min(first + PIECE, in.L);
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    float few[R];
    scores_of_regions<Score, R>(in, n, first + warp * R, last, in.key_quads(), few);
#pragma unroll
    for (int r = 0; r < R; ++r)
        if (lane == r) scores[warp * R + r] = few[r];
    __syncthreads();
    // from here on every warp knows them all: a lane has a region
    float mine = first + lane < last ? scores[lane] : -INFINITY, top = warp_max(mine);
    float p = mine == -INFINITY ? 0.0f : expf(mine - top), sum = warp_sum(p);
    if (warp == 0 && first + lane < last) e[(size_t)n * in.L + first + lane] = mine;
    if (threadIdx.x == 0) tops[block] = top, sums[block] = sum;
    unsigned live = __ballot_sync(FULL_WARP, first + lane < last && !in.masked(n, first + lane));
    float weights[PIECE];
#pragma unroll
    for (int r = 0; r < PIECE; ++r) weights[r] = __shfl_sync(FULL_WARP, p, r);
    bool quads = in.region_quads(parts);
    for (int d = 4 * threadIdx.x; d < in.D; d += 4 * blockDim.x) {
        float4 part = all_four(0.0f);
#pragma unroll
        for (int r = 0; r < PIECE; ++r)
            if (live >> r & 1) part = add_scaled(part, weights[r], load4(in.region(n, first + r), d, in.D, quads));
        store4(parts + (size_t)block * in.D, d, in.D, quads, part);
    }
}

// A block for each picture: the scores in `alpha` become the attention, and the parts one z.
// Each warp finds the softmax by itself.
__device__ __forceinline__ void join_3(float* alpha, const float* tops, const float* sums, const float* parts, float* z,
                                       int n, int L, int D) {
    int pieces = count_pieces(L), lane = threadIdx.x % 32;
    tops += (size_t)n * pieces, sums += (size_t)n * pieces, parts += (size_t)n * pieces * D;
    alpha += (size_t)n * L, z += (size_t)n * D;
    float top = -INFINITY, sum = 0.0f;
    for (int piece = lane; piece < pieces; piece += 32) top = larger(top, tops[piece]);
    top = warp_max(top);
    for (int piece = lane; piece < pieces; piece += 32) sum += sums[piece] * expf(tops[piece] - top);
    sum = warp_sum(sum);
    for (int l = threadIdx.x; l < L; l += blockDim.x) alpha[l] = expf(alpha[l] - top) / sum;
    bool quads = in_quads(parts, D) && in_quads(z, D);
    for (int d = 4 * threadIdx.x; d < D; d += 4 * blockDim.x) {
        float4 mean = all_four(0.0f);
        for (int piece = 0; piece < pieces; ++piece)
            mean = add_scaled(mean, expf(tops[piece] - top) / sum, load4(parts + (size_t)piece * D, d, D, quads));
        store4(z, d, D, quads, mean);
    }
}

// A block for each piece of each picture: dα of its regions.
template <int R = PIECE / 4>
__device__ __forceinline__ void dalpha_3(const Inputs& in, const Gradients& back, float* dalpha, int block) {
    int pieces = count_pieces(in.L), n = block / pieces, first = block % pieces * PIECE, last = min(first + PIECE, in.L);
    int begin = first + threadIdx.x / 32 * R;
    float few[R];
    dalpha_of_regions<R>(in, back, n, begin, last, few);
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
    return first + lane < last ? softmax_back(alpha[first + lane], dalpha[first + lane], sum) : 0.0f;
}

// A block for each piece of each picture: dx and dkeys of its regions (unless null), and what they say to the query,
// and to v (unless null): dquery_parts, dv_parts (N, pieces, A). de (N, L) is kept unless null. `alphas` and `des`
// are PIECE numbers of shared memory each.
template <class Score>
__device__ __forceinline__ void attend_backward_3(const Inputs& in, const Gradients& back, const float* dalpha, float* de,
                                            float* dquery_parts, float* dv_parts, int block, float* alphas, float* des) {
    int pieces = count_pieces(in.L), n = block / pieces, first = block % pieces * PIECE, count = min(PIECE, in.L - first);
    size_t row = (size_t)n * in.L + first;
    if (threadIdx.x < 32) {
        float own = de_3(back.alpha, dalpha, n, first, first + count, in.L);
        if (threadIdx.x < count) {
            if (de) de[row + threadIdx.x] = own;
            alphas[threadIdx.x] = back.alpha[row + threadIdx.x];
            des[threadIdx.x] = in.scale * own;
        }
    }
    __syncthreads();
    float4 zero = all_four(0.0f);
    bool quads = in.key_quads() && in_quads(back.dkeys, in.A) && in_quads(dquery_parts, in.A);
    for (int a = 4 * threadIdx.x; a < in.A; a += 4 * blockDim.x) {
        float4 q = load4(in.query + (size_t)n * in.A, a, in.A, quads), v = in.learnt(a, quads), dq = zero, dv = zero;
#pragma unroll 4
        for (int r = 0; r < count; ++r) {
            float4 dk = zero;
            if (alphas[r] != 0.0f) {
                float4 k = load4(in.key(n, first + r), a, in.A, quads);
                dk = Score::back(k, q, v, des[r], dv);
                dq = dq + Score::query_back(k, dk, des[r]);
            }
            if (back.dkeys) store4(back.dkeys + (row + r) * in.A, a, in.A, quads, dk);
        }
        store4(dquery_parts + (size_t)block * in.A, a, in.A, quads, dq);
        if (dv_parts) store4(dv_parts + (size_t)block * in.A, a, in.A, quads, dv);
    }
    quads = in_quads(back.dx, in.D) && in_quads(back.dz, in.D);
    for (int d = 4 * threadIdx.x; back.dx && d < in.D; d += 4 * blockDim.x) {
        float4 dz = back.dz ? load4(back.dz + (size_t)n * in.D, d, in.D, quads) : zero;
#pragma unroll 4
        for (int r = 0; r < count; ++r) store4(back.dx + (row + r) * in.D, d, in.D, quads, add_scaled(zero, alphas[r], dz));
    }
}

// Blocks of (32, 8) threads add up the pieces: `across` of them for each picture's dquery, and as many more for dv (unless null).
__device__ __forceinline__ void sum_pieces(const float* dquery_parts, const float* dv_parts, float* dquery, float* dv,
                                           int N, int L, int A, int across, float* table) {
    int n = blockIdx.x / across, column = blockIdx.x % across * 32 + threadIdx.x, pieces = count_pieces(L);
    if (n < N) sum_rows(dquery_parts + (size_t)n * pieces * A, pieces, column, A, dquery + (size_t)n * A, table);
    else sum_rows(dv_parts, N * pieces, column, A, dv, table);
}

}  // namespace attention
