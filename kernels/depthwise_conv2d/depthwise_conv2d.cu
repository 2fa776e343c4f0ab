// Depthwise convolution of pictures (N, H, W, C), a filter (kh, kw) for each channel: forward and both gradients.
//
// For 3 x 3 taps there are 18 FLOPs for 8 bytes: memory is the limit, if each number of x comes from it once. Version 1 gives
// each number of a result to a thread, channels along the threads, so that they read side by side; each x is loaded kh kw times,
// and dW is one long sum for each of few threads. In version 2 a thread makes four neighbours of a row, four channels each:
// a row of taps and the sums stay in registers, and for 3 taps it loads 6 columns where 12 were loaded, 16 bytes an access.
// A block covers a tile of a few rows, so that the rows that windows share come from the first-level cache. dx without a stride
// is the same sweep with the filter flipped; with one it meets only the taps that hit it. dW is summed in parts:
// as many blocks as fill the chip, a row of taps each.
#include "float4.cuh"

#define STRIP 4  // neighbours that a thread of version 2 makes

struct Filter {
    int H, W, C, kh, kw, H_out, W_out, stride_h, stride_w, apart_h, apart_w, top, left;  // apart: the taps
};

__device__ __forceinline__ bool inside(int h, int w, int H, int W) {
    return (unsigned)h < (unsigned)H && (unsigned)w < (unsigned)W;
}

// --- version 1 -------------------------------------------------------------------------------------------------------

// 1. A thread for a number of y. What lies in the padding is left out.
extern "C" __global__ void __launch_bounds__(256)
depthwise_conv2d_1(const float* __restrict__ x, const float* __restrict__ filter,
                   const float* __restrict__ bias, float* __restrict__ y,
                   long long numbers, int H, int W, int C, int kh, int kw, int H_out, int W_out, int stride_h,
                   int stride_w, int apart_h, int apart_w, int top, int left) {
    long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (at >= numbers) return;
    int c = at % C, w = at / C % W_out, h = at / C / W_out % H_out;
    const float* picture = x + at / C / W_out / H_out * H * W * C + c;
    float sum = bias ? bias[c] : 0.0f;
    for (int i = 0; i < kh; ++i)
        for (int j = 0; j < kw; ++j) {
            int u = h * stride_h + i * apart_h - top, v = w * stride_w + j * apart_w - left;
            if (inside(u, v, H, W)) sum += picture[((size_t)u * W + v) * C] * filter[(i * kw + j) * C + c];
        }
    y[at] = sum;
}

// A thread for a number of dx: the windows that saw it.
extern "C" __global__ void __launch_bounds__(256, 4)
depthwise_conv2d_input_gradient_1(const float* __restrict__ dy, const float* __restrict__ filter, float* __restrict__ dx,
                                  long long numbers, int H, int W, int C, int kh, int kw, int H_out, int W_out,
                                  int stride_h, int stride_w, int apart_h, int apart_w, int top, int left) {
    long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (at >= numbers) return;
    int c = at % C, w = at / C % W, h = at / C / W % H;
    const float* picture = dy + at / C / W / H * H_out * W_out * C + c;
    float sum = 0.0f;
    for (int i = 0; i < kh; ++i) {
        int u = h + top - i * apart_h;  // the stride times the window's row
        if (u < 0 || u % stride_h || u / stride_h >= H_out) continue;
        for (int j = 0; j < kw; ++j) {
            int v = w + left - j * apart_w;
            if (v < 0 || v % stride_w || v / stride_w >= W_out) continue;
            sum += picture[((size_t)(u / stride_h) * W_out + v / stride_w) * C] * filter[(i * kw + j) * C + c];
        }
    }
    dx[at] = sum;
}

// A thread for a number of dW, or of db, which stands below it: sums of rows of y, added up.
extern "C" __global__ void __launch_bounds__(256)
depthwise_conv2d_weight_gradient_1(const float* __restrict__ x, const float* __restrict__ dy, float* __restrict__ dW,
                                   int N, int H, int W, int C, int kh, int kw, int H_out, int W_out, int stride_h,
                                   int stride_w, int apart_h, int apart_w, int top, int left, int bias) {
    int k = blockIdx.x * blockDim.x + threadIdx.x;
    if (k >= (kh * kw + bias) * C) return;
    int c = k % C, tap = k / C, i = tap / kw, j = tap % kw;
    float sum = 0.0f;
    for (int row = 0; row < N * H_out; ++row) {
        int u = row % H_out * stride_h + i * apart_h - top;
        const float* pixels = x + ((size_t)(row / H_out) * H + u) * W * C + c;
        float run = 0.0f;
        for (int w = 0; w < W_out; ++w) {
            float d = dy[((size_t)row * W_out + w) * C + c];
            int v = w * stride_w + j * apart_w - left;
            if (tap == kh * kw) run += d;
            else if (inside(u, v, H, W)) run += d * pixels[(size_t)v * C];
        }
        sum += run;
    }
    dW[k] = sum;
}

// --- version 2 -------------------------------------------------------------------------------------------------------

// sums += STRIP neighbours of row h of y, from column w on; `picture` and `filter` begin at the thread's channels.
// KW taps in a row and a stride of S, known when this is compiled, keep the taps in registers; no branch stands
// between the loads: many are on their way.
template <int KW, int S>
__device__ __forceinline__ void add_strip(float (&sums)[STRIP][4], const float* picture, const float* filter, const Filter& f,
                                          int h, int w, bool flipped) {
#pragma unroll 1
    for (int i = 0; i < f.kh; ++i) {
        int u = h * S + i - f.top;
        if (u < 0 || u >= f.H) continue;
        float taps[KW][4];
#pragma unroll
        for (int j = 0; j < KW; ++j)
            load4(taps[j], filter + (flipped ? (f.kh - 1 - i) * KW + KW - 1 - j : i * KW + j) * f.C, 4, true);
#pragma unroll
        for (int column = 0; column < (STRIP - 1) * S + KW; ++column) {
            int v = w * S + column - f.left;
            float pixel[4] = {0.0f, 0.0f, 0.0f, 0.0f};
            if (v >= 0 && v < f.W) load4(pixel, picture + ((size_t)u * f.W + v) * f.C, 4, true);
#pragma unroll
            for (int t = 0; t < STRIP; ++t) {
                int j = column - t * S;
                if (j < 0 || j >= KW) continue;
#pragma unroll
                for (int e = 0; e < 4; ++e) sums[t][e] += pixel[e] * taps[j][e];
            }
        }
    }
}

// The same for any filter, stride and dilation, and any channels.
__device__ __forceinline__ void add_any_strip(float (&sums)[STRIP][4], const float* picture, const float* filter, const Filter& f,
                                              int h, int w, bool flipped, int n, bool vectorised) {
    for (int i = 0; i < f.kh; ++i) {
        int u = h * f.stride_h + i * f.apart_h - f.top;
        if (u < 0 || u >= f.H) continue;
        for (int j = 0; j < f.kw; ++j) {
            float tap[4];
            load4(tap, filter + (flipped ? (f.kh - 1 - i) * f.kw + f.kw - 1 - j : i * f.kw + j) * f.C, n, vectorised);
#pragma unroll
            for (int t = 0; t < STRIP; ++t) {
                int v = (w + t) * f.stride_w + j * f.apart_w - f.left;
                float pixel[4];
                if (v < 0 || v >= f.W) continue;
                load4(pixel, picture + ((size_t)u * f.W + v) * f.C, n, vectorised);
#pragma unroll
                for (int e = 0; e < 4; ++e) sums[t][e] += pixel[e] * tap[e];
            }
        }
    }
}

// 2. A block makes a tile of y: blockDim = four channels, strips, rows. blockIdx.x counts columns of tiles, rows of
// tiles, pictures. `flipped`: dx of the dy that is given as x, where there is no stride.
extern "C" __global__ void __launch_bounds__(256, 2)
depthwise_conv2d_2(const float* __restrict__ x, const float* __restrict__ filter,
                   const float* __restrict__ bias, float* __restrict__ y,
                   int H, int W, int C, int kh, int kw, int H_out, int W_out, int stride_h,
                   int stride_w, int apart_h, int apart_w, int top, int left, int flipped) {
    Filter f = {H, W, C, kh, kw, H_out, W_out, stride_h, stride_w, apart_h, apart_w, top, left};
    int across = (W_out + STRIP * (int)blockDim.y - 1) / (STRIP * (int)blockDim.y);
    int down = (H_out + (int)blockDim.z - 1) / (int)blockDim.z;
    int c = 4 * (blockIdx.y * blockDim.x + threadIdx.x), picture = blockIdx.x / across / down;
    int w = (blockIdx.x % across * blockDim.y + threadIdx.y) * STRIP, h = blockIdx.x / across % down * blockDim.z + threadIdx.z;
    if (c >= C || w >= W_out || h >= H_out) return;
    int n = min(4, C - c);
    bool vectorised = C % 4 == 0 && aligned(x) && aligned(filter) && aligned(y);
    float sums[STRIP][4] = {};
    const float* from = x + (size_t)picture * H * W * C + c;
    int stride = stride_h == stride_w && apart_h == 1 && apart_w == 1 ? stride_w : 0;  // 0: it is not compiled by itself
    if (!vectorised) add_any_strip(sums, from, filter + c, f, h, w, flipped, n, false);
    else if (kw == 3 && stride == 1) add_strip<3, 1>(sums, from, filter + c, f, h, w, flipped);
    else if (kw == 3 && stride == 2) add_strip<3, 2>(sums, from, filter + c, f, h, w, flipped);
    else if (kw == 5 && stride == 1) add_strip<5, 1>(sums, from, filter + c, f, h, w, flipped);
    else if (kw == 5 && stride == 2) add_strip<5, 2>(sums, from, filter + c, f, h, w, flipped);
    else add_any_strip(sums, from, filter + c, f, h, w, flipped, 4, true);
    float shift[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    if (bias) load4(shift, bias + c, n, false);
#pragma unroll
    for (int t = 0; t < STRIP; ++t) {
        if (w + t >= W_out) return;
#pragma unroll
        for (int e = 0; e < 4; ++e) sums[t][e] += shift[e];
        store4(y + (((size_t)picture * H_out + h) * W_out + w + t) * C + c, sums[t], n, vectorised);
    }
}

// The windows that see a place of the padded picture, along one axis: the first tap through which one does, and its window;
// `step` taps on comes the next, `back` windows before it.
struct Seen {
    int tap, window, step, back;
    __device__ Seen(int place, int stride, int apart) : tap(place % stride), step(stride), back(1) {
        if (apart > 1) {
            for (step = 1; step * apart % stride; ++step) continue;
            back = step * apart / stride;
            for (tap = 0; tap < step && (place - tap * apart) % stride; ++tap) continue;
        }
        window = (place - tap * apart) / stride;
        if (apart > 1 && tap == step) tap = 1 << 30;  // there is none
    }
};

// dx where there is a stride: four channels of a pixel to a thread; blockIdx.x is a row of x.
extern "C" __global__ void __launch_bounds__(256)
depthwise_conv2d_input_gradient_2(const float* __restrict__ dy, const float* __restrict__ filter, float* __restrict__ dx,
                                  int H, int W, int C, int kh, int kw, int H_out, int W_out, int stride_h,
                                  int stride_w, int apart_h, int apart_w, int top, int left) {
    int groups = (C + 3) / 4, k = blockIdx.y * blockDim.x + threadIdx.x;
    if (k >= W * groups) return;
    int w = k / groups, c = 4 * (k % groups), n = min(4, C - c), h = blockIdx.x % H;
    bool vectorised = C % 4 == 0 && aligned(dy) && aligned(filter) && aligned(dx);
    const float* picture = dy + (size_t)(blockIdx.x / H) * H_out * W_out * C + c;
    float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    Seen rows(h + top, stride_h, apart_h), columns(w + left, stride_w, apart_w);
    for (int i = rows.tap, u = rows.window; i < kh && u >= 0; i += rows.step, u -= rows.back) {
        if (u >= H_out) continue;
        for (int j = columns.tap, v = columns.window; j < kw && v >= 0; j += columns.step, v -= columns.back) {
            if (v >= W_out) continue;
            float d[4], tap[4];
            load4(d, picture + ((size_t)u * W_out + v) * C, n, vectorised);
            load4(tap, filter + (i * kw + j) * C + c, n, vectorised);
#pragma unroll
            for (int e = 0; e < 4; ++e) sum[e] += d[e] * tap[e];
        }
    }
    store4(dx + ((size_t)blockIdx.x * W + w) * C + c, sum, n, vectorised);
}

// The sums of a thread's pixels, for TAPS taps of a row from (i, j) on: first, first + step, …
template <int TAPS>
__device__ __forceinline__ void add_pixels(float4* sums, const float* x, const float* dy, const Filter& f,
                                           int i, int j, int first, int last, int step, int n, bool vectorised, bool db) {
    float sum[TAPS][4] = {};
    int w = first % f.W_out, h = first / f.W_out % f.H_out, picture = first / f.W_out / f.H_out;
    for (int p = first; p < last; p += step) {
        float d[4];
        load4(d, dy + (size_t)p * f.C, n, vectorised);
        int u = h * f.stride_h + i * f.apart_h - f.top;
        const float* row = x + ((size_t)picture * f.H + u) * f.W * f.C;
#pragma unroll
        for (int t = 0; t < TAPS; ++t) {
            int v = w * f.stride_w + (j + t) * f.apart_w - f.left;
            float pixel[4] = {1.0f, 1.0f, 1.0f, 1.0f};
            if (!db && !inside(u, v, f.H, f.W)) continue;
            if (!db) load4(pixel, row + (size_t)v * f.C, n, vectorised);
#pragma unroll
            for (int e = 0; e < 4; ++e) sum[t][e] += d[e] * pixel[e];
        }
        w += step;
        while (w >= f.W_out) {
            w -= f.W_out;
            if (++h == f.H_out) h = 0, ++picture;
        }
    }
#pragma unroll
    for (int t = 0; t < TAPS; ++t) sums[t * step * blockDim.x] = make_float4(sum[t][0], sum[t][1], sum[t][2], sum[t][3]);
}

// dW and db over `span` pixels of y: part blockIdx.z of (kh kw + bias) x C numbers. blockIdx.x counts rows of
// taps (single taps where a row has neither 3 nor 5), and last db; blockIdx.y four channels times blockDim.x.
// A block's pixels are shared out over threadIdx.y.
extern "C" __global__ void __launch_bounds__(256)
depthwise_conv2d_weight_gradient_2(const float* __restrict__ x, const float* __restrict__ dy, float* __restrict__ parts,
                                   int N, int H, int W, int C, int kh, int kw, int H_out, int W_out, int stride_h,
                                   int stride_w, int apart_h, int apart_w, int top, int left, int bias, int span) {
    DYNAMIC_SHARED(float4, sums);  // taps of the block x blockDim.y x blockDim.x
    Filter f = {H, W, C, kh, kw, H_out, W_out, stride_h, stride_w, apart_h, apart_w, top, left};
    int taps = kw == 3 || kw == 5 ? kw : 1, tap = blockIdx.x * taps, threads = blockDim.y;
    bool db = tap == kh * kw;
    int c = 4 * (blockIdx.y * blockDim.x + threadIdx.x), n = c < C ? min(4, C - c) : 0;
    bool vectorised = n && C % 4 == 0 && aligned(x) && aligned(dy);
    int first = blockIdx.z * span + threadIdx.y, last = n ? min(N * H_out * W_out, ((int)blockIdx.z + 1) * span) : 0;
    float4* own = sums + threadIdx.y * blockDim.x + threadIdx.x;
    if (taps == 3 && !db) add_pixels<3>(own, x + c, dy + c, f, tap / kw, 0, first, last, threads, n, vectorised, false);
    else if (taps == 5 && !db) add_pixels<5>(own, x + c, dy + c, f, tap / kw, 0, first, last, threads, n, vectorised, false);
    else add_pixels<1>(own, x + c, dy + c, f, tap / kw, tap % kw, first, last, threads, n, vectorised, db);
    __syncthreads();
    int t = threadIdx.y;  // now a thread for a tap
    if (t >= (db ? 1 : taps) || !n) return;
    float total[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (int k = 0; k < threads; ++k) {
        float4 sum = sums[(t * threads + k) * blockDim.x + threadIdx.x];
        total[0] += sum.x, total[1] += sum.y, total[2] += sum.z, total[3] += sum.w;
    }
    store4(parts + ((size_t)blockIdx.z * (kh * kw + bias) + tap + t) * C + c, total, n, C % 4 == 0 && aligned(parts));
}

// sums[k] = Σ of all parts of parts[part][k], always in the same order. Blocks of 32 x 8 threads.
extern "C" __global__ void __launch_bounds__(256)
depthwise_conv2d_sum_partials(const float* __restrict__ parts, float* __restrict__ sums, int count, int numbers) {
    __shared__ float scratch[8][32];
    int k = blockIdx.x * 32 + threadIdx.x;
    float sum = 0.0f;
    if (k < numbers)
#pragma unroll 4
        for (int part = threadIdx.y; part < count; part += 8) sum += parts[(size_t)part * numbers + k];
    scratch[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y || k >= numbers) return;
    for (int t = 1; t < 8; ++t) sum += scratch[t][threadIdx.x];
    sums[k] = sum;
}
