// The matrix product C = op(A) op(B), op(C): (M, K) times (K, N); op is nothing, or a transposition without a copy.
//
// Version 1 gives each number of C to a thread, which reads a row of A and a column of B from global memory. Version 2 brings tiles
// of both into shared memory, so that each number that is loaded serves a whole row or column of the tile.
#include "scratchlv.cuh"

#define TILE 32

// C is accumulated upon where `accumulate` is not 0; `bias` (N,), if given, is added to every row.
// 1. One thread for a number of C, which walks through K.
extern "C" __global__ void __launch_bounds__(1024)
matmul_1(const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, int M, int N, int K,
         int transpose_a, int transpose_b, int accumulate) {
    int row = blockIdx.y * blockDim.y + threadIdx.y, column = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= M || column >= N) return;
    float sum = 0.0f;
    for (int k = 0; k < K; ++k)
        sum += a[transpose_a ? (size_t)k * M + row : (size_t)row * K + k] * b[transpose_b ? (size_t)column * K + k : (size_t)k * N + column];
    if (bias) sum += bias[column];
    size_t at = (size_t)row * N + column;
    c[at] = accumulate ? c[at] + sum : sum;
}

// 2. Tiles of A and B in shared memory: K / TILE times two loads a thread, instead of 2 K.
extern "C" __global__ void __launch_bounds__(1024)
matmul_2(const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, int M, int N, int K,
         int transpose_a, int transpose_b, int accumulate) {
    __shared__ float tile_a[TILE][TILE + 1], tile_b[TILE][TILE + 1];  // one more, so that a column lies in 32 banks
    int x = threadIdx.x, y = threadIdx.y, row0 = blockIdx.y * TILE, column0 = blockIdx.x * TILE;
    float sum = 0.0f;
    for (int k0 = 0; k0 < K; k0 += TILE) {
        // neighbouring threads read neighbouring numbers, whichever way the matrix lies
        if (transpose_a) tile_a[x][y] = k0 + y < K && row0 + x < M ? a[(size_t)(k0 + y) * M + row0 + x] : 0.0f;
        else tile_a[y][x] = row0 + y < M && k0 + x < K ? a[(size_t)(row0 + y) * K + k0 + x] : 0.0f;
        if (transpose_b) tile_b[x][y] = column0 + y < N && k0 + x < K ? b[(size_t)(column0 + y) * K + k0 + x] : 0.0f;
        else tile_b[y][x] = k0 + y < K && column0 + x < N ? b[(size_t)(k0 + y) * N + column0 + x] : 0.0f;
        __syncthreads();
        for (int k = 0; k < TILE; ++k) sum += tile_a[y][k] * tile_b[k][x];
        __syncthreads();
    }
    int row = row0 + y, column = column0 + x;
    if (row >= M || column >= N) return;
    if (bias) sum += bias[column];
    size_t at = (size_t)row * N + column;
    c[at] = accumulate ? c[at] + sum : sum;
}

// --- around cuBLAS ---------------------------------------------------------------------------------------------------

// y = x, rounded to bfloat16.
extern "C" __global__ void __launch_bounds__(256)
round_to_bf16(const float* __restrict__ x, unsigned short* __restrict__ y, long long n) {
    for (long long i = blockIdx.x * 256LL + threadIdx.x; i < n; i += gridDim.x * 256LL) y[i] = to_bf16(x[i]);
}

// Every row of c becomes the bias, or has it added.
extern "C" __global__ void __launch_bounds__(256)
set_rows(const float* __restrict__ bias, float* __restrict__ c, long long n, int N, int accumulate) {
    for (long long i = blockIdx.x * 256LL + threadIdx.x; i < n; i += gridDim.x * 256LL) {
        float b = bias[i % N];
        c[i] = accumulate ? c[i] + b : b;
    }
}
