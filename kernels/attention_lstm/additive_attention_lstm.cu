// All steps of an LSTM that attends by additive attention in one launch: versions 2 and 3 of the room.
#include "attention_lstm.cuh"

extern "C" __global__ void __launch_bounds__(256, 2)
additive_forward_2(float* gates, const float* __restrict__ x, const float* __restrict__ keys, const float* __restrict__ v,
                   const unsigned char* __restrict__ mask, const float* __restrict__ Wq, const float* __restrict__ Wh,
                   const float* __restrict__ Wz, float* query, float* alpha, float* z, float* h, float* c, float* maxima,
                   float* sums, float* partial_z, int T, int N, int L, int D, int wide, int A, int H) {
    DYNAMIC_SHARED(float, shared);
    attention::Inputs in = {x, keys, nullptr, v, mask, 1.0f, L, D, wide, A};
    forward_2<attention::Additive, false>(in, gates, Wq, Wh, Wz, query, alpha, z, h, c, maxima, sums, partial_z, T, N, H, shared);
}

extern "C" __global__ void __launch_bounds__(256, 1)
additive_backward_2(const float* __restrict__ gates, const float* __restrict__ c, const float* __restrict__ x,
                    const float* __restrict__ keys, const float* __restrict__ v, const float* __restrict__ query,
                    const float* __restrict__ alpha, const float* __restrict__ dh_out, const float* __restrict__ dz_out,
                    const float* __restrict__ dalpha_out, const float* __restrict__ Wq, const float* __restrict__ Wh,
                    const float* __restrict__ Wz, float* da, float* dz, float* dquery, float* de, float* dh, float* dc,
                    float* dalpha, float* dquery_partials, int T, int N, int L, int D, int wide, int A, int H) {
    DYNAMIC_SHARED(float, shared);
    attention::Inputs in = {x, keys, nullptr, v, nullptr, 1.0f, L, D, wide, A};
    backward_2<attention::Additive, false>(in, gates, c, query, alpha, dh_out, dz_out, dalpha_out, Wq, Wh, Wz,
                                    da, dz, dquery, de, dh, dc, dalpha, dquery_partials, T, N, H, shared);
}

extern "C" __global__ void __launch_bounds__(256, 1)
additive_forward_3(float* gates, const float* __restrict__ x, const float* __restrict__ keys, const float* __restrict__ v,
                   const unsigned char* __restrict__ mask, const float* __restrict__ Wq, const float* __restrict__ Wh,
                   const float* __restrict__ Wz, float* query, float* alpha, float* z, float* h, float* c, float* maxima,
                   float* sums, float* partial_z, int T, int N, int L, int D, int wide, int A, int H) {
    DYNAMIC_SHARED(float, shared);
    attention::Inputs in = {x, keys, nullptr, v, mask, 1.0f, L, D, wide, A};
    forward_2<attention::Additive, true>(in, gates, Wq, Wh, Wz, query, alpha, z, h, c, maxima, sums, partial_z, T, N, H, shared);
}

extern "C" __global__ void __launch_bounds__(256, 1)
additive_backward_3(const float* __restrict__ gates, const float* __restrict__ c, const float* __restrict__ x,
                    const float* __restrict__ keys, const float* __restrict__ v, const float* __restrict__ query,
                    const float* __restrict__ alpha, const float* __restrict__ dh_out, const float* __restrict__ dz_out,
                    const float* __restrict__ dalpha_out, const float* __restrict__ Wq, const float* __restrict__ Wh,
                    const float* __restrict__ Wz, float* da, float* dz, float* dquery, float* de, float* dh, float* dc,
                    float* dalpha, float* dquery_partials, int T, int N, int L, int D, int wide, int A, int H) {
    DYNAMIC_SHARED(float, shared);
    attention::Inputs in = {x, keys, nullptr, v, nullptr, 1.0f, L, D, wide, A};
    backward_2<attention::Additive, true>(in, gates, c, query, alpha, dh_out, dz_out, dalpha_out, Wq, Wh, Wz,
                                    da, dz, dquery, de, dh, dc, dalpha, dquery_partials, T, N, H, shared);
}
