// Dot-product attention: e = scale keys · query, α = softmax(e), z = Σ α x, and its gradients. The work is in attention.cuh;
// a matrix that the query goes through before is a product for the whole batch, made by the caller.
//
// Version 1 has a launch for each line of the formula, and a thread for each number: keys and regions are read out of step.
// Version 2 is one block for a picture: one launch, rows are read by warps, four numbers a lane, and each key once.
// Version 3 cuts a picture into pieces of 16 regions, so that 32 pictures of 196 regions are 416 blocks and not 32,
// and the query serves four keys at a time.
#include "attention.cuh"

extern "C" __global__ void __launch_bounds__(256)
scores_1(const float* __restrict__ x, const float* __restrict__ keys, const float* __restrict__ query, float scale,
         const unsigned char* __restrict__ mask, float* __restrict__ e, long long count, int L, int D, int A) {
    attention::Inputs in = {x, keys, query, nullptr, mask, scale, L, D, A};
    attention::scores_1<attention::Dot>(in, e, count);
}

extern "C" __global__ void __launch_bounds__(256)
softmax_1(float* __restrict__ e, int L) {
    __shared__ float tops[32], sums[32];
    attention::softmax_1(e, L, tops, sums);
}

extern "C" __global__ void __launch_bounds__(256)
context_1(const float* __restrict__ x, const float* __restrict__ alpha, const unsigned char* __restrict__ mask,
          float* __restrict__ z, long long count, int L, int D) {
    attention::Inputs in = {x, nullptr, nullptr, nullptr, mask, 1.0f, L, D, 0};
    attention::context_1(in, alpha, z, count);
}

extern "C" __global__ void __launch_bounds__(512)
attend_2(const float* __restrict__ x, const float* __restrict__ keys, const float* __restrict__ query, float scale,
       const unsigned char* __restrict__ mask, float* __restrict__ alpha, float* __restrict__ z, int L, int D, int A) {
    DYNAMIC_SHARED(float, e);
    __shared__ float tops[32], sums[32];
    attention::Inputs in = {x, keys, query, nullptr, mask, scale, L, D, A};
    attention::attend_2<attention::Dot>(in, alpha, z, e, tops, sums);
}

extern "C" __global__ void __launch_bounds__(128)
attend_3(const float* __restrict__ x, const float* __restrict__ keys, const float* __restrict__ query, float scale,
       const unsigned char* __restrict__ mask, float* __restrict__ e, float* __restrict__ tops, float* __restrict__ sums,
       float* __restrict__ parts, int L, int D, int A) {
    __shared__ float scores[PIECE];
    attention::Inputs in = {x, keys, query, nullptr, mask, scale, L, D, A};
    attention::attend_3<attention::Dot>(in, e, tops, sums, parts, blockIdx.x, scores);
}

extern "C" __global__ void __launch_bounds__(128)
join_3(float* __restrict__ alpha, const float* __restrict__ tops, const float* __restrict__ sums, const float* __restrict__ parts,
       float* __restrict__ z, int L, int D) {
    attention::join_3(alpha, tops, sums, parts, z, blockIdx.x, L, D);
}

extern "C" __global__ void __launch_bounds__(256)
softmax_back_1(const float* __restrict__ x, const float* __restrict__ alpha, const float* __restrict__ dz,
               const float* __restrict__ dalpha_above, float* __restrict__ de, int L, int D) {
    __shared__ float sums[32];
    attention::Inputs in = {x, nullptr, nullptr, nullptr, nullptr, 1.0f, L, D, 0};
    attention::Gradients back = {alpha, dz, dalpha_above, nullptr, nullptr};
    attention::softmax_back_1(in, back, de, sums);
}

extern "C" __global__ void __launch_bounds__(256)
regions_back_1(const float* __restrict__ x, const float* __restrict__ keys, const float* __restrict__ query, float scale,
               const float* __restrict__ alpha, const float* __restrict__ dz, const float* __restrict__ de,
               float* __restrict__ dx, float* __restrict__ dkeys, long long count, int L, int D, int A) {
    attention::Inputs in = {x, keys, query, nullptr, nullptr, scale, L, D, A};
    attention::Gradients back = {alpha, dz, nullptr, dx, dkeys};
    attention::regions_back_1<attention::Dot>(in, back, de, count);
}

extern "C" __global__ void __launch_bounds__(256)
query_back_1(const float* __restrict__ x, const float* __restrict__ keys, const float* __restrict__ query, float scale,
             const float* __restrict__ alpha, const float* __restrict__ de, float* __restrict__ dquery,
             long long count, int L, int D, int A) {
    attention::Inputs in = {x, keys, query, nullptr, nullptr, scale, L, D, A};
    attention::Gradients back = {alpha, nullptr, nullptr, nullptr, nullptr};
    attention::query_back_1<attention::Dot>(in, back, de, dquery, count);
}

extern "C" __global__ void __launch_bounds__(512)
attend_backward_2(const float* __restrict__ x, const float* __restrict__ keys, const float* __restrict__ query, float scale,
            const float* __restrict__ alpha, const float* __restrict__ dz, const float* __restrict__ dalpha_above,
            float* __restrict__ dx, float* __restrict__ dkeys, float* __restrict__ dquery, int L, int D, int A) {
    DYNAMIC_SHARED(float, de);
    __shared__ float sums[32];
    attention::Inputs in = {x, keys, query, nullptr, nullptr, scale, L, D, A};
    attention::Gradients back = {alpha, dz, dalpha_above, dx, dkeys};
    attention::attend_backward_2<attention::Dot>(in, back, dquery, nullptr, de, sums);
}

extern "C" __global__ void __launch_bounds__(128)
dalpha_3(const float* __restrict__ x, const float* __restrict__ alpha, const float* __restrict__ dz,
         const float* __restrict__ dalpha_above, float* __restrict__ dalpha, int L, int D) {
    attention::Inputs in = {x, nullptr, nullptr, nullptr, nullptr, 1.0f, L, D, 0};
    attention::Gradients back = {alpha, dz, dalpha_above, nullptr, nullptr};
    attention::dalpha_3<>(in, back, dalpha, blockIdx.x);
}

extern "C" __global__ void __launch_bounds__(128)
attend_backward_3(const float* __restrict__ x, const float* __restrict__ keys, const float* __restrict__ query, float scale,
            const float* __restrict__ alpha, const float* __restrict__ dz, const float* __restrict__ dalpha,
            float* __restrict__ dx, float* __restrict__ dkeys, float* __restrict__ dquery_parts, int L, int D, int A) {
    __shared__ float alphas[PIECE], des[PIECE];
    attention::Inputs in = {x, keys, query, nullptr, nullptr, scale, L, D, A};
    attention::Gradients back = {alpha, dz, nullptr, dx, dkeys};
    attention::attend_backward_3<attention::Dot>(in, back, dalpha, nullptr, dquery_parts, nullptr, blockIdx.x, alphas, des);
}

extern "C" __global__ void __launch_bounds__(256)
sum_pieces_3(const float* __restrict__ dquery_parts, float* __restrict__ dquery, int N, int L, int A, int across) {
    __shared__ float table[8 * 32];
    attention::sum_pieces(dquery_parts, nullptr, dquery, nullptr, N, L, A, across, table);
}
