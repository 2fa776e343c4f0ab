// Average pooling, channels innermost: neighbouring threads have neighbouring channels, and read neighbouring numbers.
//
// Version 1 gives each number of y, or of dx, to a thread: each pixel's windows are found again, so that no two threads
// add to one number. Version 2 gives a thread four channels, by reads and writes of 16 bytes, and divides once for four;
// and a window of many pixels, the whole picture above all, is shared by the eight warps of a block, since there
// are few numbers of y to give to threads.
#include "scratchlv.cuh"

#define WARPS 8

// Where a row of windows, or of pixels, stands: blockIdx.y walks through the rows of all pictures.
__device__ __forceinline__ float4 plus(float4 a, float4 b) { return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w); }
__device__ __forceinline__ float plus(float a, float b) { return a + b; }
__device__ __forceinline__ float4 divided(float4 a, float by) { return make_float4(a.x / by, a.y / by, a.z / by, a.w / by); }
__device__ __forceinline__ float divided(float a, float by) { return a / by; }
__device__ __forceinline__ void clear(float4& a) { a = make_float4(0.0f, 0.0f, 0.0f, 0.0f); }
__device__ __forceinline__ void clear(float& a) { a = 0.0f; }

// y (N, H_out, W_out, C), C counted in Numbers.
template <class Number>
__device__ __forceinline__ void pool(const Number* x, Number* y, long long N, int H, int W, int C, int H_out, int W_out, int rows,
                                     int columns, int down, int right) {
    int i = blockIdx.x * 256 + threadIdx.x;
    if (i >= W_out * C) return;
    int w = i / C, c = i % C;
    for (long long row = blockIdx.y; row < N * H_out; row += gridDim.y) {
        const Number* corner = x + ((row / H_out * H + row % H_out * down) * W + w * right) * C + c;
        Number sum;
        clear(sum);
        for (int r = 0; r < rows; ++r)
            for (int k = 0; k < columns; ++k) sum = plus(sum, corner[((long long)r * W + k) * C]);
        y[row * W_out * C + i] = divided(sum, (float)(rows * columns));
    }
}

// dx (N, H, W, C): the windows that hold a pixel are those from first to last.
template <class Number>
__device__ __forceinline__ void spread(const Number* dy, Number* dx, long long N, int H, int W, int C, int H_out, int W_out,
                                       int rows, int columns, int down, int right) {
    int i = blockIdx.x * 256 + threadIdx.x;
    if (i >= W * C) return;
    int w = i / C, c = i % C, left0 = w < columns ? 0 : (w - columns) / right + 1, left1 = min(w / right, W_out - 1);
    for (long long row = blockIdx.y; row < N * H; row += gridDim.y) {
        int h = (int)(row % H), top0 = h < rows ? 0 : (h - rows) / down + 1, top1 = min(h / down, H_out - 1);
        Number sum;
        clear(sum);
        for (int top = top0; top <= top1; ++top)
            for (int left = left0; left <= left1; ++left) sum = plus(sum, dy[((row / H * H_out + top) * W_out + left) * C + c]);
        dx[row * W * C + i] = divided(sum, (float)(rows * columns));
    }
}

extern "C" __global__ void __launch_bounds__(256)
avg_pool_forward_1(const float* __restrict__ x, float* __restrict__ y,
                   long long N, int H, int W, int C, int H_out, int W_out, int rows, int columns, int down, int right) {
    pool(x, y, N, H, W, C, H_out, W_out, rows, columns, down, right);
}

extern "C" __global__ void __launch_bounds__(256)
avg_pool_backward_1(const float* __restrict__ dy, float* __restrict__ dx,
                    long long N, int H, int W, int C, int H_out, int W_out, int rows, int columns, int down, int right) {
    spread(dy, dx, N, H, W, C, H_out, W_out, rows, columns, down, right);
}

extern "C" __global__ void __launch_bounds__(256)
avg_pool_forward_2(const float4* __restrict__ x, float4* __restrict__ y,
                   long long N, int H, int W, int C, int H_out, int W_out, int rows, int columns, int down, int right) {
    pool(x, y, N, H, W, C, H_out, W_out, rows, columns, down, right);
}

extern "C" __global__ void __launch_bounds__(256)
avg_pool_backward_2(const float4* __restrict__ dy, float4* __restrict__ dx,
                    long long N, int H, int W, int C, int H_out, int W_out, int rows, int columns, int down, int right) {
    spread(dy, dx, N, H, W, C, H_out, W_out, rows, columns, down, right);
}

// A block for 32 channels of a window: its warps share the pixels.
extern "C" __global__ void __launch_bounds__(256)
avg_pool_forward_large(const float* __restrict__ x, float* __restrict__ y,
                       long long N, int H, int W, int C, int H_out, int W_out, int rows, int columns, int down, int right) {
    __shared__ float sums[WARPS][32];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, c = blockIdx.y * 32 + lane;
    long long window = blockIdx.x, row = window / W_out;
    const float* corner = x + ((row / H_out * H + row % H_out * down) * W + window % W_out * right) * C + c;
    float sum = 0.0f;
    if (c < C)
        for (int p = warp; p < rows * columns; p += WARPS) sum += corner[((long long)(p / columns) * W + p % columns) * C];
    sums[warp][lane] = sum;
    __syncthreads();
    if (warp > 0 || c >= C) return;
    for (int other = 1; other < WARPS; ++other) sum += sums[other][lane];
    y[window * C + c] = sum / (float)(rows * columns);
}
