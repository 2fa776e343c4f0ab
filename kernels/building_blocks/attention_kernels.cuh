// The kernels of soft attention for one score. A file says which, and includes this:
//
//     #include "attention.cuh"
//     using Score = attention::Dot;
//     #include "attention_kernels.cuh"
//
// Version 1 has a launch for each line of the formula, and a thread for each number: keys and regions are read out of step.
// Version 2 is one block for a picture: one launch, rows are read by warps, four numbers a lane, and each key once.
// Version 3 cuts a picture into chunks of 16 regions, so that 32 pictures of 196 regions are 416 blocks and not 32,
// and the query serves four keys at a time.
//
// A score without v is given null for v and its gradients; one without a scale leaves it out.
#pragma once

__device__ __forceinline__ attention::Inputs inputs(const float* x, const float* keys, const float* query, const float* v,
                                                    float scale, const unsigned char* mask, int L, int D, int wide, int A) {
    return {x, keys, query, Score::HAS_V ? v : nullptr, mask, Score::HAS_V ? 1.0f : scale, L, D, wide, A};
}

__device__ __forceinline__ attention::Inputs regions(const float* x, const unsigned char* mask, int L, int D,
                                                     int wide) {
    return {x, nullptr, nullptr, nullptr, mask, 1.0f, L, D, wide, 0};
}

__device__ __forceinline__ float* of_v(float* dv) { return Score::HAS_V ? dv : nullptr; }

// --- forward ---------------------------------------------------------------------------------------------------------

extern "C" __global__ void __launch_bounds__(256)
scores_1(const float* __restrict__ x, const float* __restrict__ keys, const float* __restrict__ query,
         const float* __restrict__ v, float scale, const unsigned char* __restrict__ mask, float* __restrict__ e,
         long long count, int L, int D, int wide, int A) {
    attention::scores_1<Score>(inputs(x, keys, query, v, scale, mask, L, D, wide, A), e, count);
}

extern "C" __global__ void __launch_bounds__(256)
softmax_1(float* __restrict__ e, int L) {
    __shared__ float maxima[32], sums[32];
    attention::softmax_1(e, L, maxima, sums);
}

extern "C" __global__ void __launch_bounds__(256)
context_1(const float* __restrict__ x, const float* __restrict__ alpha, const unsigned char* __restrict__ mask,
          float* __restrict__ z, long long count, int L, int D, int wide) {
    attention::context_1(regions(x, mask, L, D, wide), alpha, z, count);
}

extern "C" __global__ void __launch_bounds__(512)
attend_2(const float* __restrict__ x, const float* __restrict__ keys, const float* __restrict__ query,
         const float* __restrict__ v, float scale, const unsigned char* __restrict__ mask, float* __restrict__ alpha,
         float* __restrict__ z, int L, int D, int wide, int A) {
    DYNAMIC_SHARED(float, e);
    __shared__ float maxima[32], sums[32];
    attention::attend_2<Score>(inputs(x, keys, query, v, scale, mask, L, D, wide, A), alpha, z, e, maxima, sums);
}

extern "C" __global__ void __launch_bounds__(128)
attend_3(const float* __restrict__ x, const float* __restrict__ keys, const float* __restrict__ query,
         const float* __restrict__ v, float scale, const unsigned char* __restrict__ mask, float* __restrict__ e,
         float* __restrict__ maxima, float* __restrict__ sums, float* __restrict__ partial_z, int L, int D, int wide, int A) {
    __shared__ float scores[CHUNK];
    attention::Inputs in = inputs(x, keys, query, v, scale, mask, L, D, wide, A);
    attention::attend_3<Score>(in, e, maxima, sums, partial_z, blockIdx.x, scores);
}

extern "C" __global__ void __launch_bounds__(128)
combine_3(float* __restrict__ alpha, const float* __restrict__ maxima, const float* __restrict__ sums,
          const float* __restrict__ partial_z, float* __restrict__ z, int L, int D, int wide) {
    attention::combine_3(alpha, maxima, sums, partial_z, z, blockIdx.x, L, D, wide);
}

// --- backward --------------------------------------------------------------------------------------------------------

extern "C" __global__ void __launch_bounds__(256)
softmax_backward_1(const float* __restrict__ x, const float* __restrict__ alpha, const float* __restrict__ dz,
                   const float* __restrict__ dalpha_out, float* __restrict__ de, int L, int D, int wide) {
    __shared__ float sums[32];
    attention::Gradients grads = {alpha, dz, dalpha_out, nullptr, nullptr};
    attention::softmax_backward_1(regions(x, nullptr, L, D, wide), grads, de, sums);
}

extern "C" __global__ void __launch_bounds__(256)
regions_backward_1(const float* __restrict__ x, const float* __restrict__ keys, const float* __restrict__ query,
                   const float* __restrict__ v, float scale, const float* __restrict__ alpha, const float* __restrict__ dz,
                   const float* __restrict__ de, float* __restrict__ dx, float* __restrict__ dkeys,
                   long long count, int L, int D, int wide, int A) {
    attention::Gradients grads = {alpha, dz, nullptr, dx, dkeys};
    attention::regions_backward_1<Score>(inputs(x, keys, query, v, scale, nullptr, L, D, wide, A), grads, de, count);
}

extern "C" __global__ void __launch_bounds__(256)
query_backward_1(const float* __restrict__ x, const float* __restrict__ keys, const float* __restrict__ query,
                 const float* __restrict__ v, float scale, const float* __restrict__ alpha, const float* __restrict__ de,
                 float* __restrict__ dquery, long long count, int L, int D, int wide, int A) {
    attention::Gradients grads = {alpha, nullptr, nullptr, nullptr, nullptr};
    attention::query_backward_1<Score>(inputs(x, keys, query, v, scale, nullptr, L, D, wide, A), grads, de, dquery, count);
}

extern "C" __global__ void __launch_bounds__(512)
attend_backward_2(const float* __restrict__ x, const float* __restrict__ keys, const float* __restrict__ query,
                  const float* __restrict__ v, float scale, const float* __restrict__ alpha, const float* __restrict__ dz,
                  const float* __restrict__ dalpha_out, float* __restrict__ dx, float* __restrict__ dkeys,
                  float* __restrict__ dquery, float* __restrict__ dv_partials, int L, int D, int wide, int A) {
    DYNAMIC_SHARED(float, de);
    __shared__ float sums[32];
    attention::Inputs in = inputs(x, keys, query, v, scale, nullptr, L, D, wide, A);
    attention::Gradients grads = {alpha, dz, dalpha_out, dx, dkeys};
    attention::attend_backward_2<Score>(in, grads, dquery, of_v(dv_partials), de, sums);
}

extern "C" __global__ void __launch_bounds__(128)
dalpha_3(const float* __restrict__ x, const float* __restrict__ alpha, const float* __restrict__ dz,
         const float* __restrict__ dalpha_out, float* __restrict__ dalpha, int L, int D, int wide) {
    attention::Gradients grads = {alpha, dz, dalpha_out, nullptr, nullptr};
    attention::dalpha_3<>(regions(x, nullptr, L, D, wide), grads, dalpha, blockIdx.x);
}

extern "C" __global__ void __launch_bounds__(128)
attend_backward_3(const float* __restrict__ x, const float* __restrict__ keys, const float* __restrict__ query,
                  const float* __restrict__ v, float scale, const float* __restrict__ alpha, const float* __restrict__ dz,
                  const float* __restrict__ dalpha, float* __restrict__ dx, float* __restrict__ dkeys,
                  float* __restrict__ dquery_partials, float* __restrict__ dv_partials, int L, int D, int wide, int A) {
    __shared__ float alphas[CHUNK], des[CHUNK];
    attention::Inputs in = inputs(x, keys, query, v, scale, nullptr, L, D, wide, A);
    attention::Gradients grads = {alpha, dz, nullptr, dx, dkeys};
    attention::attend_backward_3<Score>(in, grads, dalpha, nullptr, dquery_partials, of_v(dv_partials), blockIdx.x, alphas, des);
}

extern "C" __global__ void __launch_bounds__(256)
sum_partials_3(const float* __restrict__ dquery_partials, const float* __restrict__ dv_partials, float* __restrict__ dquery,
               float* __restrict__ dv, int N, int L, int A, int across) {
    __shared__ float table[8 * 32];
    attention::sum_partials(dquery_partials, dv_partials, dquery, dv, N, L, A, across, table);
}
