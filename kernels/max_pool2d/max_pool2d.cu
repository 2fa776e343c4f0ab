// Max pooling of feature maps (N, H, W, C): y[n, h, w, c] = the largest of the window's size_h x size_w values that lie in the
// picture, and which place it stood at.
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

// Along one axis: window o begins at o stride - before, and its places from `first` to `end` - 1 lie in the picture of n.
__device__ __forceinline__ int first_place(int begin) { return max(0, -begin); }
__device__ __forceinline__ int end_of_places(int begin, int size, int n) { return min(size, n - begin); }

// The windows that hold place h of the padded picture: first, and last + 1.
__device__ __forceinline__ int first_window(int h, int size, int stride) { return h < size ? 0 : (h - size) / stride + 1; }
__device__ __forceinline__ int end_of_windows(int h, int stride, int windows) { return min(windows, h / stride + 1); }

// 1. A thread for a number of y.
extern "C" __global__ void __launch_bounds__(256)
max_pool2d_1(const float* __restrict__ x, float* __restrict__ y, unsigned char* __restrict__ argmax, long long numbers, int H,
             int W, int C, int out_h, int out_w, int size_h, int size_w, int stride_h, int stride_w, int top, int left) {
    long long k = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (k >= numbers) return;
    int c = k % C, v = k / C % out_w * stride_w - left;
    long long row = k / C / out_w;
    int u = row % out_h * stride_h - top, i0 = first_place(u), j0 = first_place(v);
    int i1 = end_of_places(u, size_h, H), j1 = end_of_places(v, size_w, W);
    const float* picture = x + row / out_h * H * W * C + c;
    float best = picture[((size_t)(u + i0) * W + v + j0) * C];
    int index = i0 * size_w + j0;
    for (int i = i0; i < i1; ++i)
        for (int j = j0; j < j1; ++j) {
            float value = picture[((size_t)(u + i) * W + v + j) * C];
            if (beats(value, best)) best = value, index = i * size_w + j;
        }
    y[k] = best;
    if (argmax) argmax[k] = index;
}

// A thread for a number of x: it gathers from the windows that hold it.
extern "C" __global__ void __launch_bounds__(256)
max_pool2d_backward_1(const float* __restrict__ dy, const unsigned char* __restrict__ argmax, float* __restrict__ dx,
                      long long numbers, int H, int W, int C, int out_h, int out_w, int size_h, int size_w, int stride_h,
                      int stride_w, int top, int left) {
    long long k = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (k >= numbers) return;
    int c = k % C, w = k / C % W + left, h = k / C / W % H + top;  // of the padded picture
    long long n = k / C / W / H;
    float sum = 0.0f;
    for (int oh = first_window(h, size_h, stride_h); oh < end_of_windows(h, stride_h, out_h); ++oh)
        for (int ow = first_window(w, size_w, stride_w); ow < end_of_windows(w, stride_w, out_w); ++ow) {
            int i = h - oh * stride_h, j = w - ow * stride_w;
            if (i >= size_h || j >= size_w) continue;  // it stands between two windows
            size_t at = ((n * out_h + oh) * out_w + ow) * C + c;
            if (argmax[at] == i * size_w + j) sum += dy[at];
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

// The same for any window, of which rows i0 to i1 - 1 and columns j0 to j1 - 1 lie in the picture.
__device__ __forceinline__ unsigned largest_of_any(float (&best)[4], const float* window, size_t row, int C, int n,
                                                   bool vectorised, int size_w, int i0, int i1, int j0, int j1) {
    unsigned first = i0 * size_w + j0, index[4] = {first, first, first, first};
    load4(best, window + i0 * row + (size_t)j0 * C, n, vectorised);
    for (int i = i0; i < i1; ++i)
        for (int j = j0 + (i == i0); j < j1; ++j) {
            float v[4];
            load4(v, window + i * row + (size_t)j * C, n, vectorised);
#pragma unroll
            for (int e = 0; e < 4; ++e)
                if (beats(v[e], best[e])) best[e] = v[e], index[e] = i * size_w + j;
        }
    return index[0] | index[1] << 8 | index[2] << 16 | index[3] << 24;
}

// 2. blockIdx.x is a row of y; the threads of blockIdx.y go along it, four channels each.
extern "C" __global__ void __launch_bounds__(256)
max_pool2d_2(const float* __restrict__ x, float* __restrict__ y, unsigned char* __restrict__ argmax, int H, int W, int C,
             int out_h, int out_w, int size_h, int size_w, int stride_h, int stride_w, int top, int left) {
    int groups = (C + 3) / 4, k = blockIdx.y * blockDim.x + threadIdx.x;
    if (k >= out_w * groups) return;
    int w = k / groups, c = 4 * (k % groups), n = min(4, C - c);
    bool vectorised = C % 4 == 0 && aligned(x) && aligned(y) && aligned(argmax, 4);
    int picture = blockIdx.x / out_h, u = blockIdx.x % out_h * stride_h - top, v = w * stride_w - left;
    int i0 = first_place(u), i1 = end_of_places(u, size_h, H), j0 = first_place(v), j1 = end_of_places(v, size_w, W);
    size_t row = (size_t)W * C, at = ((size_t)blockIdx.x * out_w + w) * C + c;
    const float* window = x + ((long long)picture * H + u) * (long long)row + (long long)v * C + c;
    bool square = vectorised && size_h == size_w && i1 - i0 == size_h && j1 - j0 == size_w;
    float best[4];
    unsigned index = square && size_h == 2   ? largest_of<2>(best, window, row, C)
                     : square && size_h == 3 ? largest_of<3>(best, window, row, C)
                                             : largest_of_any(best, window, row, C, n, vectorised, size_w, i0, i1, j0, j1);
    store4(y + at, best, n, vectorised);
    if (argmax) store_bytes(argmax + at, index, n, vectorised);
}

// Windows that do not overlap: a thread writes the stride_h x stride_w places that begin where its window begins. blockIdx.x is a
// row of windows, the one included that is cut off by the border.
extern "C" __global__ void __launch_bounds__(256)
max_pool2d_backward_2(const float* __restrict__ dy, const unsigned char* __restrict__ argmax, float* __restrict__ dx, int H,
                      int W, int C, int out_h, int out_w, int size_h, int size_w, int stride_h, int stride_w, int top,
                      int left) {
    int rows = (H + top + stride_h - 1) / stride_h, columns = (W + left + stride_w - 1) / stride_w;
    int groups = (C + 3) / 4, k = blockIdx.y * blockDim.x + threadIdx.x;
    if (k >= columns * groups) return;
    int ow = k / groups, c = 4 * (k % groups), n = min(4, C - c);
    bool vectorised = C % 4 == 0 && aligned(dx) && aligned(dy) && aligned(argmax, 4);
    int picture = blockIdx.x / rows, oh = blockIdx.x % rows, u = oh * stride_h - top, v = ow * stride_w - left;
    float gradient[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    unsigned index = 0;
    if (oh < out_h && ow < out_w) {
        size_t at = (((size_t)picture * out_h + oh) * out_w + ow) * C + c;
        load4(gradient, dy + at, n, vectorised);
        index = load_bytes(argmax + at, n, vectorised);
    }
    for (int i = first_place(u); i < end_of_places(u, stride_h, H); ++i)
        for (int j = first_place(v); j < end_of_places(v, stride_w, W); ++j) {
            unsigned place = i < size_h && j < size_w ? i * size_w + j : 256;  // no window took what lies between two
            float d[4];
#pragma unroll
            for (int e = 0; e < 4; ++e) d[e] = (index >> 8 * e & 0xff) == place ? gradient[e] : 0.0f;
            store4(dx + (((size_t)picture * H + u + i) * W + v + j) * C + c, d, n, vectorised);
        }
}

// Overlapping windows: blockIdx.x is a row of x.
extern "C" __global__ void __launch_bounds__(256)
max_pool2d_backward_overlapping_2(const float* __restrict__ dy, const unsigned char* __restrict__ argmax, float* __restrict__ dx,
                                  int H, int W, int C, int out_h, int out_w, int size_h, int size_w, int stride_h, int stride_w,
                                  int top, int left) {
    int groups = (C + 3) / 4, k = blockIdx.y * blockDim.x + threadIdx.x;
    if (k >= W * groups) return;
    int w = k / groups + left, c = 4 * (k % groups), n = min(4, C - c);
    bool vectorised = C % 4 == 0 && aligned(dx) && aligned(dy) && aligned(argmax, 4);
    int picture = blockIdx.x / H, h = blockIdx.x % H + top;
    int first = first_window(w, size_w, stride_w), end = end_of_windows(w, stride_w, out_w);
    float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (int oh = first_window(h, size_h, stride_h); oh < end_of_windows(h, stride_h, out_h); ++oh)
        for (int ow = first; ow < end; ++ow) {
            size_t at = (((size_t)picture * out_h + oh) * out_w + ow) * C + c;
            int i = h - oh * stride_h, j = w - ow * stride_w;
            if (i >= size_h || j >= size_w) continue;  // windows that overlap one way may leave gaps the other way
            unsigned place = i * size_w + j, index = load_bytes(argmax + at, n, vectorised);
            float d[4];
            load4(d, dy + at, n, vectorised);
#pragma unroll
            for (int e = 0; e < 4; ++e)
                if ((index >> 8 * e & 0xff) == place) sum[e] += d[e];
        }
    store4(dx + ((size_t)blockIdx.x * W + w - left) * C + c, sum, n, vectorised);
}
