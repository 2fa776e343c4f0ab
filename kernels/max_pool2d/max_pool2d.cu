// Max pooling of feature maps (N, H, W, C): y[n, h, w, c] = the largest of the window's size²
// values, and which place it stood at.
//
// Nothing is computed: each byte that moves costs, and x must be read and y written once. Version 1 gives each number to
// a thread: 4-byte accesses, three divisions to find its place, and backward dy and the argmax are read by each x of the
// window anew. Version 2 moves 16 bytes with an access, has all loads of a window on their way before the first comparison,
// and gives a row to blockIdx.x, so that one division is left; backward, windows that do not overlap are read once
// and write all their places. Overlapping windows are gathered in both: each x asks the windows that hold it, in their
// order, and nothing is added by two threads.
#include "float4.cuh"

// Whether v takes the place of the largest so far: the first of equals stays, and the first NaN.
__device__ __forceinline__ bool beats(float v, float best) { return v > best || (v != v && best == best); }

// The windows that hold row h: first, and last + 1.
__device__ __forceinline__ int first_window(int h, int size, int stride) { return h < size ? 0 : (h - size) / stride + 1; }
__device__ __forceinline__ int end_of_windows(int h, int stride, int windows) { return min(windows, h / stride + 1); }

// 1. A thread for a number of y.
extern "C" __global__ void __launch_bounds__(256)
max_pool2d_1(const float* __restrict__ x, float* __restrict__ y, unsigned char* __restrict__ argmax,
             long long numbers, int H, int W, int C, int out_h, int out_w, int size, int stride) {
    long long k = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (k >= numbers) return;
    int c = k % C, w = k / C % out_w;
    long long row = k / C / out_w;
    const float* window = x + ((row / out_h * H + row % out_h * stride) * W + w * stride) * C + c;
    float best = *window;
    int index = 0;
    for (int place = 1; place < size * size; ++place) {
        float v = window[(size_t)(place / size * W + place % size) * C];
        if (beats(v, best)) best = v, index = place;
    }
    y[k] = best;
    if (argmax) argmax[k] = index;
}

// A thread for a number of x: it gathers from the windows that hold it.
extern "C" __global__ void __launch_bounds__(256)
max_pool2d_backward_1(const float* __restrict__ dy, const unsigned char* __restrict__ argmax, float* __restrict__ dx,
                      long long numbers, int H, int W, int C, int out_h, int out_w, int size, int stride) {
    long long k = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (k >= numbers) return;
    int c = k % C, w = k / C % W, h = k / C / W % H;
    long long n = k / C / W / H;
    float sum = 0.0f;
    for (int oh = first_window(h, size, stride); oh < end_of_windows(h, stride, out_h); ++oh)
        for (int ow = first_window(w, size, stride); ow < end_of_windows(w, stride, out_w); ++ow) {
            if (h - oh * stride >= size || w - ow * stride >= size) continue;  // it stands between two windows
            size_t at = ((n * out_h + oh) * out_w + ow) * C + c;
            if (argmax[at] == (h - oh * stride) * size + w - ow * stride) sum += dy[at];
        }
    dx[k] = sum;
}

// --- version 2: four channels to a thread ----------------------------------------------------------------------------

// Four bytes, the first in the lowest place.
__device__ __forceinline__ unsigned load_bytes(const unsigned char* from, int n, bool vectorised) {
    if (vectorised) return *(const unsigned*)from;
    unsigned bytes = 0;
    for (int e = 0; e < n; ++e) bytes |= (unsigned)from[e] << 8 * e;
    return bytes;
}

__device__ __forceinline__ void store_bytes(unsigned char* to, unsigned bytes, int n, bool vectorised) {
    if (vectorised) *(unsigned*)to = bytes;
    else
        for (int e = 0; e < n; ++e) to[e] = bytes >> 8 * e & 0xff;
}

// The largest of a window whose size is known when this is compiled, four whole channels: all loads first.
template <int SIZE>
__device__ __forceinline__ unsigned largest_of(float (&best)[4], const float* window, size_t row, int C) {
    float v[SIZE * SIZE][4];
#pragma unroll
    for (int place = 0; place < SIZE * SIZE; ++place) load4(v[place], window + place / SIZE * row + place % SIZE * C, 4, true);
    unsigned index[4] = {0, 0, 0, 0};
#pragma unroll
    for (int e = 0; e < 4; ++e) {
        best[e] = v[0][e];
#pragma unroll
        for (int place = 1; place < SIZE * SIZE; ++place)
            if (beats(v[place][e], best[e])) best[e] = v[place][e], index[e] = place;
    }
    return index[0] | index[1] << 8 | index[2] << 16 | index[3] << 24;
}

__device__ __forceinline__ unsigned largest_of_any(float (&best)[4], const float* window,
                                                   size_t row, int C, int n, bool vectorised, int size) {
    unsigned index[4] = {0, 0, 0, 0};
    load4(best, window, n, vectorised);
    for (int i = 0; i < size; ++i)
        for (int j = i == 0; j < size; ++j) {
            float v[4];
            load4(v, window + i * row + (size_t)j * C, n, vectorised);
#pragma unroll
            for (int e = 0; e < 4; ++e)
                if (beats(v[e], best[e])) best[e] = v[e], index[e] = i * size + j;
        }
    return index[0] | index[1] << 8 | index[2] << 16 | index[3] << 24;
}

// 2. blockIdx.x is a row of y; the threads of blockIdx.y go along it, four channels each.
extern "C" __global__ void __launch_bounds__(256)
max_pool2d_2(const float* __restrict__ x, float* __restrict__ y, unsigned char* __restrict__ argmax,
             int H, int W, int C, int out_h, int out_w, int size, int stride) {
    int groups = (C + 3) / 4, k = blockIdx.y * blockDim.x + threadIdx.x;
    if (k >= out_w * groups) return;
    int w = k / groups, c = 4 * (k % groups), n = min(4, C - c);
    bool vectorised = C % 4 == 0 && aligned(x) && aligned(y) && aligned(argmax, 4);
    int picture = blockIdx.x / out_h, h = blockIdx.x % out_h * stride;
    size_t row = (size_t)W * C, at = ((size_t)blockIdx.x * out_w + w) * C + c;
    const float* window = x + ((size_t)picture * H + h) * row + (size_t)w * stride * C + c;
    float best[4];
    unsigned index = vectorised && size == 2   ? largest_of<2>(best, window, row, C)
                     : vectorised && size == 3 ? largest_of<3>(best, window, row, C)
                                               : largest_of_any(best, window, row, C, n, vectorised, size);
    store4(y + at, best, n, vectorised);
    if (argmax) store_bytes(argmax + at, index, n, vectorised);
}

// Windows that do not overlap: a thread writes the stride² places that begin where its window begins. blockIdx.x is a row of
// windows, the one included that is cut off by the border.
extern "C" __global__ void __launch_bounds__(256)
max_pool2d_backward_2(const float* __restrict__ dy, const unsigned char* __restrict__ argmax, float* __restrict__ dx,
                      int H, int W, int C, int out_h, int out_w, int size, int stride) {
    int rows = (H + stride - 1) / stride, columns = (W + stride - 1) / stride;
    int groups = (C + 3) / 4, k = blockIdx.y * blockDim.x + threadIdx.x;
    if (k >= columns * groups) return;
    int ow = k / groups, c = 4 * (k % groups), n = min(4, C - c);
    bool vectorised = C % 4 == 0 && aligned(dx) && aligned(dy) && aligned(argmax, 4);
    int picture = blockIdx.x / rows, oh = blockIdx.x % rows;
    float gradient[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    unsigned index = 0;
    if (oh < out_h && ow < out_w) {
        size_t at = (((size_t)picture * out_h + oh) * out_w + ow) * C + c;
        load4(gradient, dy + at, n, vectorised);
        index = load_bytes(argmax + at, n, vectorised);
    }
    for (int i = 0; i < stride && oh * stride + i < H; ++i)
        for (int j = 0; j < stride && ow * stride + j < W; ++j) {
            unsigned place = i < size && j < size ? i * size + j : 256;  // 256: between two windows
            float d[4];
#pragma unroll
            for (int e = 0; e < 4; ++e) d[e] = (index >> 8 * e & 0xff) == place ? gradient[e] : 0.0f;
            store4(dx + (((size_t)picture * H + oh * stride + i) * W + ow * stride + j) * C + c, d, n, vectorised);
        }
}

// Overlapping windows: blockIdx.x is a row of x.
extern "C" __global__ void __launch_bounds__(256)
max_pool2d_backward_overlapping_2(const float* __restrict__ dy, const unsigned char* __restrict__ argmax, float* __restrict__ dx,
                                  int H, int W, int C, int out_h, int out_w, int size, int stride) {
    int groups = (C + 3) / 4, k = blockIdx.y * blockDim.x + threadIdx.x;
    if (k >= W * groups) return;
    int w = k / groups, c = 4 * (k % groups), n = min(4, C - c);
    bool vectorised = C % 4 == 0 && aligned(dx) && aligned(dy) && aligned(argmax, 4);
    int picture = blockIdx.x / H, h = blockIdx.x % H;
    int first = first_window(w, size, stride), end = end_of_windows(w, stride, out_w);
    float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (int oh = first_window(h, size, stride); oh < end_of_windows(h, stride, out_h); ++oh)
        for (int ow = first; ow < end; ++ow) {
            size_t at = (((size_t)picture * out_h + oh) * out_w + ow) * C + c;
            unsigned place = (h - oh * stride) * size + w - ow * stride, index = load_bytes(argmax + at, n, vectorised);
            float d[4];
            load4(d, dy + at, n, vectorised);
#pragma unroll
            for (int e = 0; e < 4; ++e)
                if ((index >> 8 * e & 0xff) == place) sum[e] += d[e];
        }
    store4(dx + ((size_t)blockIdx.x * W + w) * C + c, sum, n, vectorised);
}
