// Average pooling, channels innermost: neighbouring threads have neighbouring channels, and read neighbouring numbers.
//
// Version 1 gives each number of y, or of dx, to a thread: each pixel's windows are found again, so that no two threads
// add to one number. Version 2 gives a thread four channels, by reads and writes of 16 bytes, and divides once for four;
// and a window of many pixels, the whole picture above all, is shared by the eight warps of a block, since there
// are few numbers of y to give to threads.
#include "scratchlv.cuh"

#define WARPS 8

// Windows of rows x columns, (down, right) apart, the first of which begins at (-top, -left). Of their places those from
// (first_h, first_w) to before (end_h, end_w) are counted: the picture's, or the padding's as well.
struct Windows {
    int rows, columns, down, right, top, left, first_h, first_w, end_h, end_w;
    __device__ int counted_rows(int h) const { return min(h + rows, end_h) - max(h, first_h); }  // of the window that begins at h
    __device__ int counted_columns(int w) const { return min(w + columns, end_w) - max(w, first_w); }
    __device__ float places(int h, int w) const { return (float)(counted_rows(h) * counted_columns(w)); }
    __device__ bool alike(int H_out, int W_out) const {  // whether all count as many, since the first and the last do
        return first_h <= -top && (H_out - 1) * down - top + rows <= end_h && first_w <= -left &&
               (W_out - 1) * right - left + columns <= end_w;
    }
};

__device__ __forceinline__ float4 plus(float4 a, float4 b) { return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w); }
__device__ __forceinline__ float plus(float a, float b) { return a + b; }
__device__ __forceinline__ float4 divided(float4 a, float by) { return make_float4(a.x / by, a.y / by, a.z / by, a.w / by); }
__device__ __forceinline__ float divided(float a, float by) { return a / by; }
__device__ __forceinline__ void clear(float4& a) { a = make_float4(0.0f, 0.0f, 0.0f, 0.0f); }
__device__ __forceinline__ void clear(float& a) { a = 0.0f; }

// y (N, H_out, W_out, C), C counted in Numbers. blockIdx.y walks through the rows of all pictures.
template <class Number>
__device__ __forceinline__ void pool(const Number* x, Number* y, long long N, int H, int W, int C, int H_out, int W_out,
                                     const Windows& s) {
    int i = blockIdx.x * 256 + threadIdx.x;
    if (i >= W_out * C) return;
    int w = i / C * s.right - s.left, c = i % C, left = max(w, 0), right = min(w + s.columns, W), columns = s.counted_columns(w);
    for (long long row = blockIdx.y; row < N * H_out; row += gridDim.y) {
        int h = (int)(row % H_out) * s.down - s.top, bottom = min(h + s.rows, H);
        Number sum;
        clear(sum);
        for (int u = max(h, 0); u < bottom; ++u)
            for (int v = left; v < right; ++v) sum = plus(sum, x[((row / H_out * H + u) * W + v) * C + c]);
        y[row * W_out * C + i] = divided(sum, (float)(s.counted_rows(h) * columns));
    }
}

// dx (N, H, W, C): the windows that hold a pixel are those from first to last.
template <class Number>
__device__ __forceinline__ void spread(const Number* dy, Number* dx, long long N, int H, int W, int C, int H_out, int W_out,
                                       const Windows& s) {
    int i = blockIdx.x * 256 + threadIdx.x;
    if (i >= W * C) return;
    int w = i / C + s.left, c = i % C;
    int left0 = w < s.columns ? 0 : (w - s.columns) / s.right + 1, left1 = min(w / s.right, W_out - 1);
    bool alike = s.alike(H_out, W_out);  // then one division will do
    for (long long row = blockIdx.y; row < N * H; row += gridDim.y) {
        int h = (int)(row % H) + s.top, top0 = h < s.rows ? 0 : (h - s.rows) / s.down + 1, top1 = min(h / s.down, H_out - 1);
        Number sum;
        clear(sum);
        for (int top = top0; top <= top1; ++top)
            for (int left = left0; left <= left1; ++left) {
                Number share = dy[((row / H * H_out + top) * W_out + left) * C + c];
                sum = plus(sum, alike ? share : divided(share, s.places(top * s.down - s.top, left * s.right - s.left)));
            }
        dx[row * W * C + i] = alike ? divided(sum, (float)(s.rows * s.columns)) : sum;
    }
}

extern "C" __global__ void __launch_bounds__(256)
avg_pool_forward_1(const float* __restrict__ x, float* __restrict__ y, long long N, int H, int W, int C, int H_out, int W_out,
                   int rows, int columns, int down, int right, int top, int left, int first_h, int first_w, int end_h,
                   int end_w) {
    pool(x, y, N, H, W, C, H_out, W_out, {rows, columns, down, right, top, left, first_h, first_w, end_h, end_w});
}

extern "C" __global__ void __launch_bounds__(256)
avg_pool_backward_1(const float* __restrict__ dy, float* __restrict__ dx, long long N, int H, int W, int C, int H_out, int W_out,
                    int rows, int columns, int down, int right, int top, int left, int first_h, int first_w, int end_h,
                    int end_w) {
    spread(dy, dx, N, H, W, C, H_out, W_out, {rows, columns, down, right, top, left, first_h, first_w, end_h, end_w});
}

extern "C" __global__ void __launch_bounds__(256, 4)
avg_pool_forward_2(const float4* __restrict__ x, float4* __restrict__ y, long long N, int H, int W, int C, int H_out, int W_out,
                   int rows, int columns, int down, int right, int top, int left, int first_h, int first_w, int end_h,
                   int end_w) {
    pool(x, y, N, H, W, C, H_out, W_out, {rows, columns, down, right, top, left, first_h, first_w, end_h, end_w});
}

extern "C" __global__ void __launch_bounds__(256)
avg_pool_backward_2(const float4* __restrict__ dy, float4* __restrict__ dx, long long N, int H, int W, int C, int H_out,
                    int W_out, int rows, int columns, int down, int right, int top, int left, int first_h, int first_w,
                    int end_h, int end_w) {
    spread(dy, dx, N, H, W, C, H_out, W_out, {rows, columns, down, right, top, left, first_h, first_w, end_h, end_w});
}

// A block for 32 channels of a window: its warps share the pixels.
extern "C" __global__ void __launch_bounds__(256)
avg_pool_forward_large(const float* __restrict__ x, float* __restrict__ y, long long N, int H, int W, int C, int H_out,
                       int W_out, int rows, int columns, int down, int right, int top, int left, int first_h, int first_w,
                       int end_h, int end_w) {
    __shared__ float sums[WARPS][32];
    Windows s = {rows, columns, down, right, top, left, first_h, first_w, end_h, end_w};
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, c = blockIdx.y * 32 + lane;
    long long window = blockIdx.x, row = window / W_out;
    int h = (int)(row % H_out) * down - top, w = (int)(window % W_out) * right - left;
    int u0 = max(h, 0), v0 = max(w, 0), across = min(w + columns, W) - v0, pixels = (min(h + rows, H) - u0) * across;
    float sum = 0.0f;
    if (c < C)
        for (int p = warp; p < pixels; p += WARPS) sum += x[((row / H_out * H + u0 + p / across) * W + v0 + p % across) * C + c];
    sums[warp][lane] = sum;
    __syncthreads();
    if (warp > 0 || c >= C) return;
    for (int other = 1; other < WARPS; ++other) sum += sums[other][lane];
    y[window * C + c] = sum / s.places(h, w);
}
