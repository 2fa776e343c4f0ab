// Version 5 of the convolution: the tiles of version 3, multiplied by tensor cores in TF32 or bfloat16. Operands are rounded to
// them; products are exact, and sums float32. It needs compute capability 8.0.
//
// Of a block's 128 x 64 numbers a warp has 32 x 32, 2 x 4 tiles of 16 x 8, in its registers. For each 8 words of the steps a
// thread reads 2 x 4 + 4 x 2 words from shared memory for 8 instructions. TF32 numbers are rounded on their way there;
// bfloat16 when they are read, since the neighbours that share a word lie in different rows.
#include "conv2d.cuh"
#include "tensor_cores.cuh"

template <bool BF16> struct OnTensorCores {
    // The 8 lanes in i and 4 in k that read together lie in 32 banks: a word is a step apart in TF32, two in bfloat16. So that
    // those who bring four steps of 8 rows do as well, rows lie in another order from four steps to the next (from eight).
    static constexpr int PITCH_A = ROWS + (BF16 ? 4 : 8), PITCH_B = COLUMNS + (BF16 ? 4 : 8);
    static constexpr int BUFFER_A = DEPTH * PITCH_A, BUFFER_B = DEPTH * PITCH_B, STEPS = BF16 ? 2 * WORDS : WORDS;
    static constexpr int PITCH_OUT = COLUMNS + 4;  // ROWS * PITCH_OUT floats of shared memory, 34,816 bytes: tiles take less

    static __device__ __forceinline__ int order(int step) { return 8 * (BF16 ? step / 8 % 2 : step / 4 % 4); }
    static __device__ __forceinline__ int place_a(int step, int i) { return step * PITCH_A + (i ^ order(step)); }
    static __device__ __forceinline__ int place_b(int step, int i) { return step * PITCH_B + (i ^ order(step)); }

    static __device__ __forceinline__ float4 kept(float4 v) {
        if (BF16) return v;
        return make_float4(__uint_as_float(to_tf32(v.x)), __uint_as_float(to_tf32(v.y)), __uint_as_float(to_tf32(v.z)),
                           __uint_as_float(to_tf32(v.w)));
    }

    // The word of lane t in a half of the words from `step` on; `i`, a multiple of 8, goes on from where `tile` is.
    template <int PITCH> static __device__ __forceinline__ unsigned word(const float* tile, int step, int half, int t, int i) {
        step += half * STEPS / 2;
        const float* at = tile + (step + (BF16 ? 2 * t : t)) * PITCH + (i ^ order(step));
        return BF16 ? to_bf16_pair(at[0], at[PITCH]) : __float_as_uint(at[0]);
    }

    template <class A, class B> static __device__ __forceinline__ void
    multiply(A& a, B& b, int steps, float* shared, float (&sums)[8][4]) {
        float *tile_a = shared, *tile_b = tile_a + 2 * BUFFER_A;
        int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
        int row = threadIdx.x / 64 * 32, column = threadIdx.x / 32 % 2 * 32;  // of the warp
        int tiles = (steps + DEPTH - 1) / DEPTH;
        float c[2][4][4] = {};
        if (tiles > 0) {
            a.fetch(), b.fetch();
            a.template put<OnTensorCores>(tile_a), b.template put<OnTensorCores>(tile_b);
            __syncthreads();
        }
        for (int now = 0; now < tiles; ++now) {
            const float *at = tile_a + now % 2 * BUFFER_A + row + g, *bt = tile_b + now % 2 * BUFFER_B + column + g;
            bool more = now + 1 < tiles;
            if (more) a.fetch(), b.fetch();
#pragma unroll
            for (int k = 0; k < DEPTH; k += STEPS) {
                unsigned left[2][4];
#pragma unroll
                for (int i = 0; i < 2; ++i)
#pragma unroll
                    for (int e = 0; e < 4; ++e) left[i][e] = word<PITCH_A>(at, k, e / 2, t, 16 * i + e % 2 * 8);
#pragma unroll
                for (int j = 0; j < 4; ++j) {
                    unsigned right[2] = {word<PITCH_B>(bt, k, 0, t, 8 * j), word<PITCH_B>(bt, k, 1, t, 8 * j)};
#pragma unroll
                    for (int i = 0; i < 2; ++i) ::multiply<BF16>(c[i][j], left[i], right);
                }
            }
            if (more) {
                a.template put<OnTensorCores>(tile_a + (now + 1) % 2 * BUFFER_A);
                b.template put<OnTensorCores>(tile_b + (now + 1) % 2 * BUFFER_B);
            }
            __syncthreads();
        }
        to_threads(c, shared, row + g, column + 2 * t, sums);
    }

    // From where tensor cores leave them to where a thread's 8 x 4 are, by shared memory, which nobody reads any more.
    static __device__ __forceinline__ void
    to_threads(const float (&c)[2][4][4], float* shared, int row, int column, float (&sums)[8][4]) {
#pragma unroll
        for (int i = 0; i < 2; ++i)
#pragma unroll
            for (int j = 0; j < 4; ++j)
#pragma unroll
                for (int half = 0; half < 2; ++half) {
                    float* to = shared + (row + 16 * i + 8 * half) * PITCH_OUT + column + 8 * j;
                    *(float2*)to = make_float2(c[i][j][2 * half], c[i][j][2 * half + 1]);
                }
        __syncthreads();
#pragma unroll
        for (int r = 0; r < 8; ++r) {
            float4 v = *(const float4*)(shared + (threadIdx.x / 16 * 8 + r) * PITCH_OUT + threadIdx.x % 16 * 4);
            sums[r][0] = v.x, sums[r][1] = v.y, sums[r][2] = v.z, sums[r][3] = v.w;
        }
    }
};

extern "C" __global__ void __launch_bounds__(256, 2)
conv2d_tf32(const float* __restrict__ x, const float* __restrict__ weights, const float* __restrict__ bias, float* __restrict__
            y, unsigned char* __restrict__ argmax, int N, int H, int W, int C, int M, int kh, int kw, int H_out, int W_out, int
            stride_h, int stride_w, int apart_h, int apart_w, int top, int left, int groups, int relu, int pool, float*
            __restrict__ parts, int span) {
    DYNAMIC_SHARED(float, shared);
    Conv s = {N, H, W, C, M, kh, kw, H_out, W_out, stride_h, stride_w, apart_h, apart_w, top, left, groups};
    tile_of_y<OnTensorCores<false>>(x, weights, bias, y, argmax, s, relu, pool, parts, span, shared);
}

extern "C" __global__ void __launch_bounds__(256, 2)
conv2d_input_gradient_tf32(const float* __restrict__ dy, const float* __restrict__ weights, float* __restrict__ dx, int N, int
                           H, int W, int C, int M, int kh, int kw, int H_out, int W_out, int stride_h, int stride_w, int
                           apart_h, int apart_w, int top, int left, int groups, int span) {
    DYNAMIC_SHARED(float, shared);
    Conv s = {N, H, W, C, M, kh, kw, H_out, W_out, stride_h, stride_w, apart_h, apart_w, top, left, groups};
    tile_of_input_gradient<OnTensorCores<false>>(dy, weights, dx, s, span, shared);
}

extern "C" __global__ void __launch_bounds__(256, 2)
conv2d_weight_gradient_tf32(const float* __restrict__ x, const float* __restrict__ dy, float* __restrict__ parts, int N, int H,
                            int W, int C, int M, int kh, int kw, int H_out, int W_out, int stride_h, int stride_w, int apart_h,
                            int apart_w, int top, int left, int groups, int bias, int span) {
    DYNAMIC_SHARED(float, shared);
    Conv s = {N, H, W, C, M, kh, kw, H_out, W_out, stride_h, stride_w, apart_h, apart_w, top, left, groups};
    tile_of_weight_gradient<OnTensorCores<false>>(x, dy, parts, s, bias, span, shared);
}

extern "C" __global__ void __launch_bounds__(256, 2)
conv2d_bf16(const float* __restrict__ x, const float* __restrict__ weights, const float* __restrict__ bias, float* __restrict__
            y, unsigned char* __restrict__ argmax, int N, int H, int W, int C, int M, int kh, int kw, int H_out, int W_out, int
            stride_h, int stride_w, int apart_h, int apart_w, int top, int left, int groups, int relu, int pool, float*
            __restrict__ parts, int span) {
    DYNAMIC_SHARED(float, shared);
    Conv s = {N, H, W, C, M, kh, kw, H_out, W_out, stride_h, stride_w, apart_h, apart_w, top, left, groups};
    tile_of_y<OnTensorCores<true>>(x, weights, bias, y, argmax, s, relu, pool, parts, span, shared);
}

extern "C" __global__ void __launch_bounds__(256, 2)
conv2d_input_gradient_bf16(const float* __restrict__ dy, const float* __restrict__ weights, float* __restrict__ dx, int N, int
                           H, int W, int C, int M, int kh, int kw, int H_out, int W_out, int stride_h, int stride_w, int
                           apart_h, int apart_w, int top, int left, int groups, int span) {
    DYNAMIC_SHARED(float, shared);
    Conv s = {N, H, W, C, M, kh, kw, H_out, W_out, stride_h, stride_w, apart_h, apart_w, top, left, groups};
    tile_of_input_gradient<OnTensorCores<true>>(dy, weights, dx, s, span, shared);
}

extern "C" __global__ void __launch_bounds__(256, 2)
conv2d_weight_gradient_bf16(const float* __restrict__ x, const float* __restrict__ dy, float* __restrict__ parts, int N, int H,
                            int W, int C, int M, int kh, int kw, int H_out, int W_out, int stride_h, int stride_w, int apart_h,
                            int apart_w, int top, int left, int groups, int bias, int span) {
    DYNAMIC_SHARED(float, shared);
    Conv s = {N, H, W, C, M, kh, kw, H_out, W_out, stride_h, stride_w, apart_h, apart_w, top, left, groups};
    tile_of_weight_gradient<OnTensorCores<true>>(x, dy, parts, s, bias, span, shared);
}
