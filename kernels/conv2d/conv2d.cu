// Convolution of pictures (N, H, W, C) with windows W (kh, kw, C / groups, M), forward and both gradients: three matrix products
//
//     y  (pixels of y, M)        = patches  (pixels of y, kh kw C)  times  W  (kh kw C, M)
//     dx (pixels of x, C)        = windows  (pixels of x, kh kw M)  times  Wᵀ (kh kw M, C)
//     dW (kh kw C, M)            = patchesᵀ (kh kw C, pixels of y)  times  dy (pixels of y, M)
//
// whose left matrix is never built: its numbers are found in x (or dy) by address when a tile is loaded (implicit GEMM). With
// groups there are as many smaller products.
//
// Version 1 gives each number of a result to a thread: two loads for each multiplication. Version 2 brings tiles of
// 32 x 32 into shared memory: each number that is loaded serves 32 threads, 8 FLOPs a byte instead of 1/4, and dW is summed
// in parts that many blocks take, where a thread went through all pixels. In version 3 a block makes a tile of 128 x 64 and
// a thread 8 x 4 of it in registers: 32 multiplications for 3 loads from shared memory, 21 FLOPs for a byte from global memory
// (those bytes mostly in the second-level cache), loads of 16 bytes, the next tiles on their way while these are multiplied,
// one barrier for 16 steps. dx with a stride meets only the taps that hit it (version 2 multiplies by zeros), and ReLU and
// pooling end in the registers that hold the sums: the activation of full size is never written. In version 4 the steps of
// y and dx are shared among blocks where tiles are too few for a chip, as those of dW always were, and a second launch adds up
// the parts.
#include "conv2d.cuh"

// The number k = (i, j, c) of the patch that pixel p of y sees; zero in the padding, and outside the matrix.
__device__ __forceinline__ float patch(const float* x, const Conv& s, int g, int p, int k) {
    if (p >= s.pixels() || k >= s.taps()) return 0.0f;
    int c = k % s.inputs(), j = k / s.inputs() % s.kw, i = k / s.inputs() / s.kw;
    int h = p / s.W_out % s.H_out * s.stride_h + i * s.apart_h - s.top, w = p % s.W_out * s.stride_w + j * s.apart_w - s.left;
    if (!inside(h, w, s.H, s.W)) return 0.0f;
    return x[(((size_t)(p / s.W_out / s.H_out) * s.H + h) * s.W + w) * s.C + g * s.inputs() + c];
}

// The number k = (i, j, m) of what pixel q of x receives: the dy of the window that saw it through tap (i, j), if there is one.
__device__ __forceinline__ float window(const float* dy, const Conv& s, int g, int q, int k) {
    if (q >= s.N * s.H * s.W || k >= s.kh * s.kw * s.outputs()) return 0.0f;
    int m = k % s.outputs(), j = k / s.outputs() % s.kw, i = k / s.outputs() / s.kw;
    int h = q / s.W % s.H + s.top - i * s.apart_h, w = q % s.W + s.left - j * s.apart_w;
    if (h < 0 || w < 0 || h % s.stride_h || w % s.stride_w) return 0.0f;
    h /= s.stride_h, w /= s.stride_w;
    if (!inside(h, w, s.H_out, s.W_out)) return 0.0f;
    return dy[(((size_t)(q / s.W / s.H) * s.H_out + h) * s.W_out + w) * s.M + g * s.outputs() + m];
}

// --- version 1 -------------------------------------------------------------------------------------------------------

// Σ term(k) for k < n, in runs of 32: a long sum loses digits.
template <class Term> __device__ __forceinline__ float sum_in_runs(int n, Term term) {
    float sum = 0.0f;
    for (int k = 0; k < n;) {
        float run = 0.0f;
        for (int end = min(n, k + 32); k < end; ++k) run += term(k);
        sum += run;
    }
    return sum;
}

// 1. A thread for a number of y. Bias and ReLU, where there are any, before it is written.
extern "C" __global__ void __launch_bounds__(256)
conv2d_1(const float* __restrict__ x, const float* __restrict__ weights, const float* __restrict__ bias, float* __restrict__ y,
         int N, int H, int W, int C, int M, int kh, int kw, int H_out, int W_out, int stride_h, int stride_w, int apart_h, int
         apart_w, int top, int left, int groups, int relu) {
    Conv s = {N, H, W, C, M, kh, kw, H_out, W_out, stride_h, stride_w, apart_h, apart_w, top, left, groups};
    size_t at = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
    if (at >= (size_t)s.pixels() * M) return;
    int p = at / M, m = at % M;
    float sum = sum_in_runs(s.taps(), [&](int k) { return patch(x, s, m / s.outputs(), p, k) * weights[(size_t)k * M + m]; });
    if (bias) sum += bias[m];
    y[at] = relu && sum <= 0.0f ? 0.0f : sum;
}

// A thread for a number of dx.
extern "C" __global__ void __launch_bounds__(256)
conv2d_input_gradient_1(const float* __restrict__ dy, const float* __restrict__ weights, float* __restrict__ dx, int N, int H,
                        int W, int C, int M, int kh, int kw, int H_out, int W_out, int stride_h, int stride_w, int apart_h, int
                        apart_w, int top, int left, int groups) {
    Conv s = {N, H, W, C, M, kh, kw, H_out, W_out, stride_h, stride_w, apart_h, apart_w, top, left, groups};
    size_t at = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
    if (at >= (size_t)N * H * W * C) return;
    int q = at / C, g = at % C / s.inputs(), c = at % C % s.inputs(), outputs = s.outputs();
    dx[at] = sum_in_runs(kh * kw * outputs, [&](int k) {
        return window(dy, s, g, q, k) * weights[((size_t)(k / outputs) * s.inputs() + c) * M + g * outputs + k % outputs];
    });
}

// A thread for a number of dW, or of db, which stands below it.
extern "C" __global__ void __launch_bounds__(256)
conv2d_weight_gradient_1(const float* __restrict__ x, const float* __restrict__ dy, float* __restrict__ dW,
                         int N, int H, int W, int C, int M, int kh, int kw, int H_out, int W_out, int stride_h, int stride_w,
                         int apart_h, int apart_w, int top, int left, int groups, int bias) {
    Conv s = {N, H, W, C, M, kh, kw, H_out, W_out, stride_h, stride_w, apart_h, apart_w, top, left, groups};
    size_t at = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
    if (at >= (size_t)(s.taps() + bias) * M) return;
    int k = at / M, m = at % M;
    dW[at] = sum_in_runs(s.pixels(), [&](int p) {
        return (k == s.taps() ? 1.0f : patch(x, s, m / s.outputs(), p, k)) * dy[(size_t)p * M + m];
    });
}

// --- what stands around the products ---------------------------------------------------------------------------------

// 2x2 windows of z (N, H, W, M), after versions 1 and 2: a thread for a number of y.
extern "C" __global__ void __launch_bounds__(256)
conv2d_pool(const float* __restrict__ z, float* __restrict__ y, unsigned char* __restrict__ argmax,
            long long numbers, int H, int W, int M, int relu) {
    long long k = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (k >= numbers) return;
    int m = k % M, w = k / M % (W / 2);
    long long row = k / M / (W / 2);
    const float* top = z + ((row / (H / 2) * H + row % (H / 2) * 2) * W + 2 * w) * M + m;
    const float* bottom = top + (size_t)W * M;
    float v[4] = {top[0], top[M], bottom[0], bottom[M]}, best;
    unsigned index = largest(v, relu, best);
    y[k] = best;
    if (argmax) argmax[k] = index;
}

// The gradient before ReLU: dz = dy where y is above 0 (or NaN).
extern "C" __global__ void __launch_bounds__(256)
conv2d_before_relu(const float* __restrict__ dy, const float* __restrict__ y, float* __restrict__ dz, long long numbers) {
    long long k = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (k < numbers) dz[k] = y[k] <= 0.0f ? 0.0f : dy[k];
}

// The gradient dz (N, H, W, M) before pooling and ReLU: a thread for a window and an m writes its four places; windows that the
// border cuts off are zero. blockIdx.x is a row of windows.
extern "C" __global__ void __launch_bounds__(256)
conv2d_before_pool(const float* __restrict__ dy, const unsigned char* __restrict__ argmax, float* __restrict__ dz,
                   int H, int W, int M) {
    int rows = (H + 1) / 2, columns = (W + 1) / 2, k = blockIdx.y * blockDim.x + threadIdx.x;
    if (k >= columns * M) return;
    int w = k / M, m = k % M, n = blockIdx.x / rows, h = blockIdx.x % rows;
    bool whole = h < H / 2 && w < W / 2;
    size_t at = (((size_t)n * (H / 2) + h) * (W / 2) + w) * M + m;
    float gradient = whole ? dy[at] : 0.0f;
    int index = whole ? argmax[at] : CLOSED;
    for (int place = 0; place < 4; ++place) {
        int i = 2 * h + place / 2, j = 2 * w + place % 2;
        if (i < H && j < W) dz[(((size_t)n * H + i) * W + j) * M + m] = index == place ? gradient : 0.0f;
    }
}

// db of a part of the pixels: row `row` of the part's sums. Blocks of 32 x 8 threads.
extern "C" __global__ void __launch_bounds__(256)
conv2d_bias_gradient(const float* __restrict__ dy, float* __restrict__ parts, int pixels, int M, int span, int row) {
    __shared__ float scratch[8][32];
    int m = blockIdx.x * 32 + threadIdx.x, part = blockIdx.y, last = min(pixels, (part + 1) * span);
    float sum = 0.0f;
    if (m < M)
        for (int p = part * span + threadIdx.y; p < last; p += 8) sum += dy[(size_t)p * M + m];
    scratch[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y || m >= M) return;
    for (int t = 1; t < 8; ++t) sum += scratch[t][threadIdx.x];
    parts[((size_t)part * (row + 1) + row) * M + m] = sum;
}

// sums[k] = Σ of all parts of parts[part][k], always in the same order.
extern "C" __global__ void __launch_bounds__(256)
conv2d_sum_partials(const float* __restrict__ parts, float* __restrict__ sums, int count, long long numbers) {
    long long k = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (k >= numbers) return;
    float sum = 0.0f;
#pragma unroll 8
    for (int part = 0; part < count; ++part) sum += parts[part * numbers + k];
    sums[k] = sum;
}

// --- version 2 -------------------------------------------------------------------------------------------------------

#define TILE 32

// One number of a product over first <= k < last, made together with the block's others. a(row, k) and b(k, column)
// give the numbers of the matrices. Neighbouring threads read neighbours: along k where the matrix lies so
// in memory, else along rows or columns.
template <bool A_ALONG_K, bool B_ALONG_K, class A, class B>
__device__ __forceinline__ float product_of_tiles(A a, B b, int row0, int column0, int first, int last, float (*tile_a)[TILE + 1],
                                                  float (*tile_b)[TILE + 1]) {
    int x = threadIdx.x, y = threadIdx.y;
    float sum = 0.0f;
    for (int k0 = first; k0 < last; k0 += TILE) {
        if (A_ALONG_K) tile_a[y][x] = k0 + x < last ? a(row0 + y, k0 + x) : 0.0f;
        else tile_a[x][y] = k0 + y < last ? a(row0 + x, k0 + y) : 0.0f;
        if (B_ALONG_K) tile_b[x][y] = k0 + x < last ? b(k0 + x, column0 + y) : 0.0f;
        else tile_b[y][x] = k0 + y < last ? b(k0 + y, column0 + x) : 0.0f;
        __syncthreads();
        float part = 0.0f;
#pragma unroll
        for (int k = 0; k < TILE; ++k) part += tile_a[y][k] * tile_b[k][x];
        sum += part;
        __syncthreads();
    }
    return sum;
}

// 2. Tiles of patches and weights in shared memory. blockIdx.z is the group.
extern "C" __global__ void __launch_bounds__(1024)
conv2d_2(const float* __restrict__ x, const float* __restrict__ weights, const float* __restrict__ bias, float* __restrict__ y,
         int N, int H, int W, int C, int M, int kh, int kw, int H_out, int W_out, int stride_h, int stride_w, int apart_h, int
         apart_w, int top, int left, int groups, int relu) {
    __shared__ float tile_a[TILE][TILE + 1], tile_b[TILE][TILE + 1];
    Conv s = {N, H, W, C, M, kh, kw, H_out, W_out, stride_h, stride_w, apart_h, apart_w, top, left, groups};
    int g = blockIdx.z, row0 = blockIdx.x * TILE, column0 = blockIdx.y * TILE;
    auto a = [&](int p, int k) { return patch(x, s, g, p, k); };
    auto b = [&](int k, int m) { return m < s.outputs() ? weights[(size_t)k * M + g * s.outputs() + m] : 0.0f; };
    float sum = product_of_tiles<true, false>(a, b, row0, column0, 0, s.taps(), tile_a, tile_b);
    int p = row0 + threadIdx.y, m = column0 + threadIdx.x;
    if (p >= s.pixels() || m >= s.outputs()) return;
    m += g * s.outputs();
    if (bias) sum += bias[m];
    y[(size_t)p * M + m] = relu && sum <= 0.0f ? 0.0f : sum;
}

extern "C" __global__ void __launch_bounds__(1024)
conv2d_input_gradient_2(const float* __restrict__ dy, const float* __restrict__ weights, float* __restrict__ dx, int N, int H,
                        int W, int C, int M, int kh, int kw, int H_out, int W_out, int stride_h, int stride_w, int apart_h, int
                        apart_w, int top, int left, int groups) {
    __shared__ float tile_a[TILE][TILE + 1], tile_b[TILE][TILE + 1];
    Conv s = {N, H, W, C, M, kh, kw, H_out, W_out, stride_h, stride_w, apart_h, apart_w, top, left, groups};
    int g = blockIdx.z, row0 = blockIdx.x * TILE, column0 = blockIdx.y * TILE, inputs = s.inputs(), outputs = s.outputs();
    auto a = [&](int q, int k) { return window(dy, s, g, q, k); };
    auto b = [&](int k, int c) {
        return c < inputs ? weights[((size_t)(k / outputs) * inputs + c) * M + g * outputs + k % outputs] : 0.0f;
    };
    float sum = product_of_tiles<true, true>(a, b, row0, column0, 0, kh * kw * outputs, tile_a, tile_b);
    int q = row0 + threadIdx.y, c = column0 + threadIdx.x;
    if (q < N * H * W && c < inputs) dx[(size_t)q * C + g * inputs + c] = sum;
}

// The sums over `span` pixels: part blockIdx.z / groups of (taps + bias) x M numbers.
extern "C" __global__ void __launch_bounds__(1024)
conv2d_weight_gradient_2(const float* __restrict__ x, const float* __restrict__ dy, float* __restrict__ parts,
                         int N, int H, int W, int C, int M, int kh, int kw, int H_out, int W_out, int stride_h, int stride_w,
                         int apart_h, int apart_w, int top, int left, int groups, int bias, int span) {
    __shared__ float tile_a[TILE][TILE + 1], tile_b[TILE][TILE + 1];
    Conv s = {N, H, W, C, M, kh, kw, H_out, W_out, stride_h, stride_w, apart_h, apart_w, top, left, groups};
    int g = blockIdx.z % groups, part = blockIdx.z / groups, row0 = blockIdx.x * TILE, column0 = blockIdx.y * TILE;
    auto a = [&](int k, int p) { return patch(x, s, g, p, k); };
    auto b = [&](int p, int m) { return m < s.outputs() ? dy[(size_t)p * M + g * s.outputs() + m] : 0.0f; };
    int last = min(s.pixels(), (part + 1) * span);
    float sum = product_of_tiles<false, false>(a, b, row0, column0, part * span, last, tile_a, tile_b);
    int k = row0 + threadIdx.y, m = column0 + threadIdx.x;
    if (k < s.taps() && m < s.outputs()) parts[((size_t)part * (s.taps() + bias) + k) * M + g * s.outputs() + m] = sum;
}

// --- version 3 -------------------------------------------------------------------------------------------------------

#define RUN 4  // tiles whose products are added to one sum

// Adds the sums so far to the totals (the first time, they are the totals) and begins anew. Each thread has its own.
__device__ __forceinline__ void put_aside(float (&sums)[8][4], float4* totals, bool add) {
#pragma unroll
    for (int r = 0; r < 8; ++r) {
        float4& total = totals[r * 256 + threadIdx.x];
        float4 before = add ? total : zero4();
        total = make_float4(before.x + sums[r][0], before.y + sums[r][1], before.z + sums[r][2], before.w + sums[r][3]);
        sums[r][0] = sums[r][1] = sums[r][2] = sums[r][3] = 0.0f;
    }
}

__device__ __forceinline__ void add_product(float (&sum)[4], float u, float4 v) {
    sum[0] += u * v.x, sum[1] += u * v.y, sum[2] += u * v.z, sum[3] += u * v.w;
}

// A thread multiplies its 8 x 4 numbers in registers.
// Each tile has two buffers, so that one barrier parts the reading of a tile from the writing of the next but one.
// Every 64 steps the sums are put aside, in shared memory, and added up among themselves: a long sum would lose digits,
// and the registers have no room for a second set.
struct InRegisters {
    static constexpr int PITCH_A = ROWS + 4, PITCH_B = COLUMNS + 4;
    static constexpr int BUFFER_A = DEPTH * PITCH_A, BUFFER_B = DEPTH * PITCH_B;
    // 2 (BUFFER_A + BUFFER_B) + 256 * 32 floats of shared memory in all: 58,368 bytes
    static __device__ __forceinline__ int place_a(int step, int i) { return step * PITCH_A + i; }
    static __device__ __forceinline__ int place_b(int step, int i) { return step * PITCH_B + i; }
    static __device__ __forceinline__ float4 kept(float4 v) { return v; }

    template <class A, class B> static __device__ __forceinline__ void
    multiply(A& a, B& b, int steps, float* shared, float (&sums)[8][4]) {
        float *tile_a = shared, *tile_b = tile_a + 2 * BUFFER_A;
        float4* totals = (float4*)(tile_b + 2 * BUFFER_B);
        int tiles = (steps + DEPTH - 1) / DEPTH;
#pragma unroll
        for (int r = 0; r < 8; ++r)
#pragma unroll
            for (int e = 0; e < 4; ++e) sums[r][e] = 0.0f;
        if (tiles == 0) return;
        a.fetch(), b.fetch();
        a.template put<InRegisters>(tile_a), b.template put<InRegisters>(tile_b);
        __syncthreads();
        for (int t = 0; t < tiles; ++t) {
            const float* at = tile_a + t % 2 * BUFFER_A + threadIdx.x / 16 * 8;
            const float* bt = tile_b + t % 2 * BUFFER_B + threadIdx.x % 16 * 4;
            bool more = t + 1 < tiles;
            if (more) a.fetch(), b.fetch();
#pragma unroll
            for (int k = 0; k < DEPTH; ++k) {
                float4 upper = *(const float4*)(at + k * PITCH_A), lower = *(const float4*)(at + k * PITCH_A + 4);
                float4 v = *(const float4*)(bt + k * PITCH_B);
                add_product(sums[0], upper.x, v), add_product(sums[1], upper.y, v), add_product(sums[2], upper.z, v);
                add_product(sums[3], upper.w, v), add_product(sums[4], lower.x, v), add_product(sums[5], lower.y, v);
                add_product(sums[6], lower.z, v), add_product(sums[7], lower.w, v);
            }
            if (more && t % RUN == RUN - 1) put_aside(sums, totals, t >= RUN);
            if (more) {
                a.template put<InRegisters>(tile_a + (t + 1) % 2 * BUFFER_A);
                b.template put<InRegisters>(tile_b + (t + 1) % 2 * BUFFER_B);
            }
            __syncthreads();
        }
        if (tiles <= RUN) return;
#pragma unroll
        for (int r = 0; r < 8; ++r) {
            float4 total = totals[r * 256 + threadIdx.x];
            sums[r][0] += total.x, sums[r][1] += total.y, sums[r][2] += total.z, sums[r][3] += total.w;
        }
    }
};

// 3. Tiles in registers.
extern "C" __global__ void __launch_bounds__(256, 2)
conv2d_3(const float* __restrict__ x, const float* __restrict__ weights, const float* __restrict__ bias, float* __restrict__ y,
         unsigned char* __restrict__ argmax, int N, int H, int W, int C, int M, int kh, int kw, int H_out, int W_out, int
         stride_h, int stride_w, int apart_h, int apart_w, int top, int left, int groups, int relu, int pool, float*
         __restrict__ parts, int span) {
    DYNAMIC_SHARED(float, shared);
    Conv s = {N, H, W, C, M, kh, kw, H_out, W_out, stride_h, stride_w, apart_h, apart_w, top, left, groups};
    tile_of_y<InRegisters>(x, weights, bias, y, argmax, s, relu, pool, parts, span, shared);
}

// 4. What the parts of conv2d_3 add up to, and what that kernel does with its sums. A thread for four channels of a number of y:
// of a row, or with pooling of the four rows of a window.
extern "C" __global__ void __launch_bounds__(256)
conv2d_finish(const float* __restrict__ parts, const float* __restrict__ bias, float* __restrict__ y,
              unsigned char* __restrict__ argmax, int count, long long numbers, int M, int relu, int pool) {
    long long k = 4 * (blockIdx.x * (long long)blockDim.x + threadIdx.x);
    if (k >= numbers) return;
    int places = pool ? 4 : 1, m = k % M;
    float v[4][4];  // by channel and place
#pragma unroll
    for (int place = 0; place < 4; ++place) {
        if (place >= places) break;
        float4 total = zero4();
#pragma unroll 4
        for (int part = 0; part < count; ++part) {
            float4 own = *(const float4*)(parts + (size_t)part * numbers * places + (k / M * places + place) * M + m);
            total = make_float4(total.x + own.x, total.y + own.y, total.z + own.z, total.w + own.w);
        }
        float z[4] = {total.x, total.y, total.z, total.w};
#pragma unroll
        for (int e = 0; e < 4; ++e) {
            if (bias) z[e] += bias[m + e];
            v[e][place] = relu && z[e] <= 0.0f ? 0.0f : z[e];
        }
    }
    float best[4];
    unsigned index = 0;
#pragma unroll
    for (int e = 0; e < 4; ++e) {
        best[e] = v[e][0];
        if (pool) index |= largest(v[e], relu, best[e]) << 8 * e;
    }
    *(float4*)(y + k) = make_float4(best[0], best[1], best[2], best[3]);
    if (pool && argmax) *(unsigned*)(argmax + k) = index;
}

extern "C" __global__ void __launch_bounds__(256, 2)
conv2d_input_gradient_3(const float* __restrict__ dy, const float* __restrict__ weights, float* __restrict__ dx, int N, int H,
                        int W, int C, int M, int kh, int kw, int H_out, int W_out, int stride_h, int stride_w, int apart_h, int
                        apart_w, int top, int left, int groups, int span) {
    DYNAMIC_SHARED(float, shared);
    Conv s = {N, H, W, C, M, kh, kw, H_out, W_out, stride_h, stride_w, apart_h, apart_w, top, left, groups};
    tile_of_input_gradient<InRegisters>(dy, weights, dx, s, span, shared);
}

extern "C" __global__ void __launch_bounds__(256, 2)
conv2d_weight_gradient_3(const float* __restrict__ x, const float* __restrict__ dy, float* __restrict__ parts, int N, int H, int
                         W, int C, int M, int kh, int kw, int H_out, int W_out, int stride_h, int stride_w, int apart_h, int
                         apart_w, int top, int left, int groups, int bias, int span) {
    DYNAMIC_SHARED(float, shared);
    Conv s = {N, H, W, C, M, kh, kw, H_out, W_out, stride_h, stride_w, apart_h, apart_w, top, left, groups};
    tile_of_weight_gradient<InRegisters>(x, dy, parts, s, bias, span, shared);
}
