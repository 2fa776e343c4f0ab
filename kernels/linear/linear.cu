// The gradient of the bias: sums over the rows of dy, in a fixed order. The products are matmul's.
//
// Version 1 gives each column to a thread: neighbours read neighbouring numbers, but there are only M threads. Version 2 gives
// a block 32 columns and a part of the rows, which its eight warps share; where there are several parts, their sums are rows
// again, and a second launch adds them up. So the whole chip reads, whatever the shape.
#include "scratchlv.cuh"

#define WARPS 8

// Sums of the rows of x (rows, M), of each part of so many rows: (parts, M).
extern "C" __global__ void __launch_bounds__(256)
sum_rows_1(const float* __restrict__ x, float* __restrict__ sums, int rows, int M, int rows_of_part) {
    int column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= M) return;
    int row = blockIdx.y * rows_of_part, last = min(rows, row + rows_of_part);
    float sum = 0.0f;
    for (; row < last; ++row) sum += x[(size_t)row * M + column];
    sums[(size_t)blockIdx.y * M + column] = sum;
}

extern "C" __global__ void __launch_bounds__(256)
sum_rows_2(const float* __restrict__ x, float* __restrict__ sums, int rows, int M, int rows_of_part) {
    __shared__ float parts[WARPS][32];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, column = blockIdx.x * 32 + lane;
    int first = blockIdx.y * rows_of_part, last = min(rows, first + rows_of_part);
    float even = 0.0f, odd = 0.0f;  // two sums, so that two reads are under way, and rounding errors grow half as fast
    if (column < M) {
        int row = first + warp;
        for (; row + WARPS < last; row += 2 * WARPS) {
            even += x[(size_t)row * M + column];
            odd += x[(size_t)(row + WARPS) * M + column];
        }
        if (row < last) even += x[(size_t)row * M + column];
    }
    parts[warp][lane] = even + odd;
    __syncthreads();
    if (warp > 0 || column >= M) return;
    float sum = 0.0f;
    for (int w = 0; w < WARPS; ++w) sum += parts[w][lane];
    sums[(size_t)blockIdx.y * M + column] = sum;
}
