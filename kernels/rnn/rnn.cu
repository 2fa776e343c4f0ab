// The plain recurrent layer, forward and backward: h_t = f(x_t Wx + h_{t-1} Wh + b), f = tanh, or σ where `use_sigmoid` is not 0.
//
// Version 1 takes a step as a product (h_{t-1} Wh, added to x_t Wx, which stands where h_t will stand) and one launch of a cell kernel.
#include "scratchlv.cuh"

__device__ __forceinline__ float activation(float a, int use_sigmoid) { return use_sigmoid ? sigmoid(a) : tanhf(a); }
__device__ __forceinline__ float slope(float h, int use_sigmoid) { return use_sigmoid ? h * (1.0f - h) : 1.0f - h * h; }

// 1. `h_after` (N, H) enters as x Wx + h Wh + b. Past its length a sequence's state is copied.
extern "C" __global__ void __launch_bounds__(256)
rnn_cell_forward(const float* h_before, float* h_after, const long long* __restrict__ lengths, int use_sigmoid, int t, int N, int H) {
    for (size_t at = blockIdx.x * (size_t)blockDim.x + threadIdx.x; at < (size_t)N * H; at += gridDim.x * (size_t)blockDim.x)
        h_after[at] = lengths && lengths[at / H] <= t ? h_before[at] : activation(h_after[at], use_sigmoid);
}

// 1. `dh` (N, H) enters as what comes from the step after, and leaves as what goes to the step before once da Whᵀ is added to it:
// zero, or what it was where a sequence is over. `da` (N, H) is the gradient of the pre-activations.
extern "C" __global__ void __launch_bounds__(256)
rnn_cell_backward(float* __restrict__ da, const float* __restrict__ h_after, const float* __restrict__ dh_above, float* dh,
                  const long long* __restrict__ lengths, int use_sigmoid, int t, int N, int H) {
    for (size_t at = blockIdx.x * (size_t)blockDim.x + threadIdx.x; at < (size_t)N * H; at += gridDim.x * (size_t)blockDim.x) {
        bool over = lengths && lengths[at / H] <= t;
        float dh_n = dh[at] + dh_above[at];
        da[at] = over ? 0.0f : dh_n * slope(h_after[at], use_sigmoid);
        dh[at] = over ? dh_n : 0.0f;
    }
}
