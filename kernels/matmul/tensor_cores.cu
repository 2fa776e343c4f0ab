// Version 5 of the matrix product: tensor cores, which multiply a 16 x 8 by an 8 x 8 tile (TF32), or 16 x 16 by
// 16 x 8 (bfloat16), in one instruction of a warp. Operands are rounded on their way into shared memory;
// products are exact, and sums float32.
//
// They do 8 (TF32) or 16 (bfloat16) times the multiply-adds of the float32 units, if they are fed. A block has
// 128 x 128 numbers of C, a warp 32 x 64 of them in its registers. For each 8 words of K it reads 2 x 4 + 8 x 2 words
// a thread for 16 instructions. A word is a TF32 number or two bfloat16 that are neighbours in K: the tiles, and the places
// of the words in a warp, are the same for both. It needs compute capability 8.0. On a CPU the same words are multiplied
// by lanes that fetch them from each other.
#include "operand.cuh"
#include "tensor_cores.cuh"

#define SIDE 128
#define ROW 136  // words from one row of a tile to the next: 8 lanes in i and 4 in k lie in 32 banks

// --- from global memory to tiles of words ----------------------------------------------------------------------------

// What a thread brings of a tile: four words, that is one float4 (TF32), or two (bfloat16):
// along k four further, along i the next k.
struct Staged {
    float4 first, second;
};

template <bool BF16> __device__ __forceinline__ int place_k(bool along_k) {
    return along_k ? threadIdx.x % 2 * (BF16 ? 8 : 4) : threadIdx.x / 32 * (BF16 ? 2 : 1);
}

__device__ __forceinline__ int place_i(bool along_k) { return along_k ? threadIdx.x / 2 : threadIdx.x % 32 * 4; }

template <bool BF16> __device__ __forceinline__ Staged fetch(const Operand& o, int i, int k) {
    Staged staged = {four(o, i, k), make_float4(0.0f, 0.0f, 0.0f, 0.0f)};
    if (BF16) staged.second = o.along_k ? four(o, i, k + 4) : four(o, i, k + 1);
    return staged;
}

template <bool BF16> __device__ __forceinline__ void put(unsigned (*tile)[ROW], const Staged& staged, bool along_k) {
    float4 p = staged.first, q = staged.second;
    uint4 words;
    if (!BF16) words = make_uint4(to_tf32(p.x), to_tf32(p.y), to_tf32(p.z), to_tf32(p.w));
    else if (along_k)
        words = make_uint4(to_bf16_pair(p.x, p.y), to_bf16_pair(p.z, p.w), to_bf16_pair(q.x, q.y), to_bf16_pair(q.z, q.w));
    else words = make_uint4(to_bf16_pair(p.x, q.x), to_bf16_pair(p.y, q.y), to_bf16_pair(p.z, q.z), to_bf16_pair(p.w, q.w));
    int i = place_i(along_k), word = place_k<false>(along_k);  // as many words in either precision
    if (along_k) tile[word][i] = words.x, tile[word + 1][i] = words.y, tile[word + 2][i] = words.z, tile[word + 3][i] = words.w;
    else *(uint4*)&tile[word][i] = words;
}

// --- the product -----------------------------------------------------------------------------------------------------

// The sums of a warp: 2 x 8 tiles of 16 x 8.
struct Sums {
    float tile[2][8][4];
};

__device__ __forceinline__ int warp_row() { return threadIdx.x / 64 * 32; }
__device__ __forceinline__ int warp_column() { return threadIdx.x / 32 % 2 * 64; }

// What all warps of a block do with a tile of A and one of B.
template <bool BF16>
__device__ __forceinline__ void multiply_tiles(Sums& sums, const unsigned (*tile_a)[ROW], const unsigned (*tile_b)[ROW]) {
    int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    unsigned a[2][4];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
        int row = warp_row() + 16 * i + g;
        a[i][0] = tile_a[t][row], a[i][1] = tile_a[t][row + 8], a[i][2] = tile_a[t + 4][row], a[i][3] = tile_a[t + 4][row + 8];
    }
#pragma unroll
    for (int j = 0; j < 8; ++j) {
        int column = warp_column() + 8 * j + g;
        unsigned b[2] = {tile_b[t][column], tile_b[t + 4][column]};
#pragma unroll
        for (int i = 0; i < 2; ++i) multiply<BF16>(sums.tile[i][j], a[i], b);
    }
}

__device__ __forceinline__ void write(const Sums& sums, const float* bias, float* c,
                                      int M, int N, int row0, int column0, int accumulate) {
    int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    bool in_twos = ((size_t)c & 7) == 0 && N % 2 == 0;
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int j = 0; j < 8; ++j)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                int row = row0 + warp_row() + 16 * i + 8 * half + g, column = column0 + warp_column() + 8 * j + 2 * t;
                if (row >= M || column >= N) continue;
                float* at = c + (size_t)row * N + column;
                bool two = column + 1 < N;
                float left = sums.tile[i][j][2 * half], right = sums.tile[i][j][2 * half + 1];
                if (bias) left += bias[column], right += two ? bias[column + 1] : 0.0f;
                if (accumulate) left += at[0], right += two ? at[1] : 0.0f;
                if (in_twos) {
                    *(float2*)at = make_float2(left, right);
                } else {
                    at[0] = left;
                    if (two) at[1] = right;
                }
            }
}

extern "C" __global__ void __launch_bounds__(256, 2)
matmul_tf32(const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c,
            int M, int N, int K, int transpose_a, int transpose_b, int accumulate) {
    __shared__ __align__(16) unsigned tiles_a[2][WORDS][ROW], tiles_b[2][WORDS][ROW];
    int row0 = blockIdx.y * SIDE, column0 = blockIdx.x * SIDE;
    Operand A = operand(a, M, K, !transpose_a), B = operand(b, N, K, transpose_b);
    int a_i = row0 + place_i(A.along_k), a_k = place_k<false>(A.along_k);
    int b_i = column0 + place_i(B.along_k), b_k = place_k<false>(B.along_k);
    Sums sums = {};
    put<false>(tiles_a[0], fetch<false>(A, a_i, a_k), A.along_k);
    put<false>(tiles_b[0], fetch<false>(B, b_i, b_k), B.along_k);
    __syncthreads();
    for (int k0 = 0, now = 0; k0 < K; k0 += WORDS, now = 1 - now) {
        bool more = k0 + WORDS < K;
        Staged next_a = {}, next_b = {};
        if (more) next_a = fetch<false>(A, a_i, k0 + WORDS + a_k), next_b = fetch<false>(B, b_i, k0 + WORDS + b_k);
        multiply_tiles<false>(sums, tiles_a[now], tiles_b[now]);
        if (!more) break;
        put<false>(tiles_a[1 - now], next_a, A.along_k);
        put<false>(tiles_b[1 - now], next_b, B.along_k);
        __syncthreads();
    }
    write(sums, bias, c, M, N, row0, column0, accumulate);
}

extern "C" __global__ void __launch_bounds__(256, 2)
matmul_bf16(const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c,
            int M, int N, int K, int transpose_a, int transpose_b, int accumulate) {
    __shared__ __align__(16) unsigned tiles_a[2][WORDS][ROW], tiles_b[2][WORDS][ROW];
    int row0 = blockIdx.y * SIDE, column0 = blockIdx.x * SIDE;
    Operand A = operand(a, M, K, !transpose_a), B = operand(b, N, K, transpose_b);
    int a_i = row0 + place_i(A.along_k), a_k = place_k<true>(A.along_k);
    int b_i = column0 + place_i(B.along_k), b_k = place_k<true>(B.along_k);
    Sums sums = {};
    put<true>(tiles_a[0], fetch<true>(A, a_i, a_k), A.along_k);
    put<true>(tiles_b[0], fetch<true>(B, b_i, b_k), B.along_k);
    __syncthreads();
    for (int k0 = 0, now = 0; k0 < K; k0 += 2 * WORDS, now = 1 - now) {
        bool more = k0 + 2 * WORDS < K;
        Staged next_a = {}, next_b = {};
        if (more) next_a = fetch<true>(A, a_i, k0 + 2 * WORDS + a_k), next_b = fetch<true>(B, b_i, k0 + 2 * WORDS + b_k);
        multiply_tiles<true>(sums, tiles_a[now], tiles_b[now]);
        if (!more) break;
        put<true>(tiles_a[1 - now], next_a, A.along_k);
        put<true>(tiles_b[1 - now], next_b, B.along_k);
        __syncthreads();
    }
    write(sums, bias, c, M, N, row0, column0, accumulate);
}
