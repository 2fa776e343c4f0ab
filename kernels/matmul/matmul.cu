// The matrix product C = op(A) op(B), op(C): (M, K) times (K, N); op is nothing, or a transposition without a copy.
//
//   1  gives each number of C to a thread, which reads a row of A and a column of B from global memory:
//      two loads for a multiply-add.
//   2  brings tiles of both into shared memory: K / 32 times two loads from global memory a thread. But still two loads,
//      now from shared memory, for a multiply-add, and that is what it waits for.
//   3  keeps 4 x 4 numbers of C in a thread's registers: 8 loads for 16 multiply-adds.
//   4  keeps 8 x 8: 16 numbers for 64 multiply-adds, read four at a time, so 4 loads. Global memory is read four at a time too,
//      and into registers while the tile before is multiplied; two tiles in shared memory, and so one barrier for each instead
//      of two. Where C has too few blocks to fill the chip, K is cut into parts, which a second launch adds up in a fixed order.
//   5  is in tensor_cores.cu.
#include "operand.cuh"

#define TILE 32    // of version 2; and version 1 adds up as many at a time
#define SIDE 64    // of version 3
#define DEPTH 16
#define SIDE4 128  // of version 4
#define DEPTH4 8

// C is accumulated upon where `accumulate` is not 0; `bias` (N,), if given, is added to every row.
// 1. One thread for a number of C, which walks through K.
extern "C" __global__ void __launch_bounds__(1024)
matmul_1(const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, int M, int N, int K,
         int transpose_a, int transpose_b, int accumulate) {
    int row = blockIdx.y * blockDim.y + threadIdx.y, column = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= M || column >= N) return;
    float sum = 0.0f, part = 0.0f;
    for (int k = 0; k < K; ++k) {
        part += a[transpose_a ? (size_t)k * M + row : (size_t)row * K + k] *
                b[transpose_b ? (size_t)column * K + k : (size_t)k * N + column];
        if (k % TILE == TILE - 1) {  // short sums, then the sum of those: their rounding errors are smaller
            sum += part;
            part = 0.0f;
        }
    }
    sum += part;
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
        float part = 0.0f;  // of this tile, for short sums
        for (int k = 0; k < TILE; ++k) part += tile_a[y][k] * tile_b[k][x];
        sum += part;
        __syncthreads();
    }
    int row = row0 + y, column = column0 + x;
    if (row >= M || column >= N) return;
    if (bias) sum += bias[column];
    size_t at = (size_t)row * N + column;
    c[at] = accumulate ? c[at] + sum : sum;
}

// 3. A thread has rows y, y + 16, … and columns x, x + 16, … of a tile of C: neighbours read neighbouring banks.
extern "C" __global__ void __launch_bounds__(256, 4)
matmul_3(const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, int M, int N, int K,
         int transpose_a, int transpose_b, int accumulate) {
    __shared__ float tile_a[DEPTH][SIDE + 1], tile_b[DEPTH][SIDE + 1];
    int t = threadIdx.x, x = t % 16, y = t / 16, row0 = blockIdx.y * SIDE, column0 = blockIdx.x * SIDE;
    float sums[4][4] = {};
    for (int k0 = 0; k0 < K; k0 += DEPTH) {
#pragma unroll
        for (int n = t; n < SIDE * DEPTH; n += 256) {  // neighbouring threads along the way the matrix lies
            int i = transpose_a ? n % SIDE : n / DEPTH, k = transpose_a ? n / SIDE : n % DEPTH;
            size_t at = transpose_a ? (size_t)(k0 + k) * M + row0 + i : (size_t)(row0 + i) * K + k0 + k;
            tile_a[k][i] = row0 + i < M && k0 + k < K ? a[at] : 0.0f;
            int j = transpose_b ? n / DEPTH : n % SIDE;
            k = transpose_b ? n % DEPTH : n / SIDE;
            at = transpose_b ? (size_t)(column0 + j) * K + k0 + k : (size_t)(k0 + k) * N + column0 + j;
            tile_b[k][j] = column0 + j < N && k0 + k < K ? b[at] : 0.0f;
        }
        __syncthreads();
#pragma unroll
        for (int k = 0; k < DEPTH; ++k) {
            float rows[4], columns[4];
#pragma unroll
            for (int i = 0; i < 4; ++i) rows[i] = tile_a[k][y + 16 * i], columns[i] = tile_b[k][x + 16 * i];
#pragma unroll
            for (int i = 0; i < 4; ++i)
#pragma unroll
                for (int j = 0; j < 4; ++j) sums[i][j] += rows[i] * columns[j];
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            int row = row0 + y + 16 * i, column = column0 + x + 16 * j;
            if (row >= M || column >= N) continue;
            float sum = bias ? sums[i][j] + bias[column] : sums[i][j];
            size_t at = (size_t)row * N + column;
            c[at] = accumulate ? c[at] + sum : sum;
        }
}

// Which four of a tile a thread brings: side by side along k for half a row, or along i for a quarter of a warp's row.
__device__ __forceinline__ int place_i(bool along_k) { return along_k ? threadIdx.x / 2 : threadIdx.x % 32 * 4; }
__device__ __forceinline__ int place_k(bool along_k) { return along_k ? threadIdx.x % 2 * 4 : threadIdx.x / 32; }

// Rows of tiles are 4 numbers longer than they need be: they still begin at multiples of 16 bytes, and columns lie in many banks.
__device__ __forceinline__ void put(float (*tile)[SIDE4 + 4], float4 v, bool along_k) {
    int i = place_i(along_k), k = place_k(along_k);
    if (along_k) tile[k][i] = v.x, tile[k + 1][i] = v.y, tile[k + 2][i] = v.z, tile[k + 3][i] = v.w;
    else *(float4*)&tile[k][i] = v;
}

// 4. A thread has rows 4y to 4y + 3, and 64 further, and such columns. With gridDim.z > 1,
// each part of K writes to a C of its own.
extern "C" __global__ void __launch_bounds__(256, 2)
matmul_4(const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, int M, int N, int K,
         int transpose_a, int transpose_b, int accumulate) {
    __shared__ __align__(16) float tiles_a[2][DEPTH4][SIDE4 + 4], tiles_b[2][DEPTH4][SIDE4 + 4];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int x = warp % 2 * 8 + lane % 8, y = warp / 2 * 4 + lane / 8;  // a warp reads 4 x 8 groups of four: all banks once
    int row0 = blockIdx.y * SIDE4, column0 = blockIdx.x * SIDE4;
    int tiles = (K + DEPTH4 - 1) / DEPTH4, first = (int)((long long)tiles * blockIdx.z / gridDim.z) * DEPTH4;
    int last = min(K, (int)((long long)tiles * (blockIdx.z + 1) / gridDim.z) * DEPTH4);
    Operand A = operand(a, M, K, !transpose_a), B = operand(b, N, K, transpose_b);
    int a_i = row0 + place_i(A.along_k), a_k = place_k(A.along_k), b_i = column0 + place_i(B.along_k), b_k = place_k(B.along_k);
    float sums[8][8] = {};

    put(tiles_a[0], four(A, a_i, first + a_k), A.along_k);
    put(tiles_b[0], four(B, b_i, first + b_k), B.along_k);
    __syncthreads();
    int now = 0;
    for (int k0 = first; k0 < last; k0 += DEPTH4) {
        bool more = k0 + DEPTH4 < last;
        float4 next_a = {}, next_b = {};
        if (more) next_a = four(A, a_i, k0 + DEPTH4 + a_k), next_b = four(B, b_i, k0 + DEPTH4 + b_k);
#pragma unroll
        for (int k = 0; k < DEPTH4; ++k) {
            const float *tile_a = tiles_a[now][k], *tile_b = tiles_b[now][k];
            float4 top = *(const float4*)&tile_a[4 * y], bottom = *(const float4*)&tile_a[4 * y + 64];
            float4 left = *(const float4*)&tile_b[4 * x], right = *(const float4*)&tile_b[4 * x + 64];
            float rows[8] = {top.x, top.y, top.z, top.w, bottom.x, bottom.y, bottom.z, bottom.w};
            float columns[8] = {left.x, left.y, left.z, left.w, right.x, right.y, right.z, right.w};
#pragma unroll
            for (int i = 0; i < 8; ++i)
#pragma unroll
                for (int j = 0; j < 8; ++j) sums[i][j] += rows[i] * columns[j];
        }
        if (!more) break;
        now = 1 - now;
        put(tiles_a[now], next_a, A.along_k);
        put(tiles_b[now], next_b, B.along_k);
        __syncthreads();  // also before the other tile is written to again
    }

    c += blockIdx.z * (size_t)M * N;
    bool fours = aligned(c) && N % 4 == 0;
#pragma unroll
    for (int i = 0; i < 8; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            int row = row0 + 4 * y + i % 4 + i / 4 * 64, column = column0 + 4 * x + 64 * half;
            if (row >= M || column >= N) continue;
            float* at = c + (size_t)row * N + column;
            float* sum = &sums[i][4 * half];
#pragma unroll
            for (int j = 0; j < 4; ++j)
                if (column + j < N) sum[j] += (bias ? bias[column + j] : 0.0f) + (accumulate ? at[j] : 0.0f);
            if (fours) *(float4*)at = make_float4(sum[0], sum[1], sum[2], sum[3]);
            else
#pragma unroll
                for (int j = 0; j < 4; ++j)
                    if (column + j < N) at[j] = sum[j];
        }
}

// C = the sum of its `count` parts, in their order.
extern "C" __global__ void __launch_bounds__(256)
sum_partials(const float* __restrict__ parts, const float* __restrict__ bias, float* __restrict__ c,
          long long n, int N, int count, int accumulate) {
    for (long long i = blockIdx.x * 256LL + threadIdx.x; i < n; i += gridDim.x * 256LL) {
        float sum = 0.0f;
        for (int part = 0; part < count; ++part) sum += parts[part * n + i];
        if (bias) sum += bias[i % N];
        c[i] = accumulate ? c[i] + sum : sum;
    }
}

// --- around cuBLAS ---------------------------------------------------------------------------------------------------

// y = x, rounded to bfloat16.
extern "C" __global__ void __launch_bounds__(256)
round_to_bf16(const float* __restrict__ x, unsigned short* __restrict__ y, long long n) {
    long long first = blockIdx.x * 256LL + threadIdx.x, step = gridDim.x * 256LL;
    long long fours = aligned(x) && ((size_t)y & 7) == 0 ? n / 4 : 0;
    for (long long i = first; i < fours; i += step) {
        float4 v = ((const float4*)x)[i];
        uint2 rounded = {to_bf16(v.x) | (unsigned)to_bf16(v.y) << 16, to_bf16(v.z) | (unsigned)to_bf16(v.w) << 16};
        ((uint2*)y)[i] = rounded;
    }
    for (long long i = 4 * fours + first; i < n; i += step) y[i] = to_bf16(x[i]);
}

// Every row of c (M, N) becomes the bias, or has it added.
extern "C" __global__ void __launch_bounds__(256)
set_rows(const float* __restrict__ bias, float* __restrict__ c, int M, int N, int accumulate) {
    int column = blockIdx.x * 256 + threadIdx.x;
    if (column >= N) return;
    float b = bias[column];
    for (int row = blockIdx.y; row < M; row += gridDim.y) {
        size_t at = (size_t)row * N + column;
        c[at] = accumulate ? c[at] + b : b;
    }
}
