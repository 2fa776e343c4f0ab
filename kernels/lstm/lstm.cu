// The LSTM cell, forward and backward; the gates lie in the order i, f, g, o.
//
// Version 1 takes a step as a product (h_{t-1} Wh, added to x_t Wx) and one launch of a cell kernel, which does all that is between two
// products: 4 σ and tanh, c, h, and the sequences that are over. A number of c and h is a thread: the usual 32 sequences of 512
// numbers are 64 blocks, so more threads are worth more than wider loads, and neighbours read neighbours in all seven arrays.
#include "scratchlv.cuh"

// 1. `gates` (N, 4H) enter as x Wx + h Wh + b and leave after σ and tanh. Past its length a sequence's state is copied.
extern "C" __global__ void __launch_bounds__(256)
lstm_cell_forward(float* gates, const float* c_before, float* c_after, const float* h_before, float* h_after,
                  const long long* __restrict__ lengths, int t, int N, int H) {
    for (size_t at = blockIdx.x * (size_t)blockDim.x + threadIdx.x; at < (size_t)N * H; at += gridDim.x * (size_t)blockDim.x) {
        int n = at / H;
        if (lengths && lengths[n] <= t) {
            c_after[at] = c_before[at];
            h_after[at] = h_before[at];
            continue;
        }
        float* gate = gates + at + (size_t)n * 3 * H;
        float i = sigmoid(gate[0]), f = sigmoid(gate[H]), g = tanhf(gate[2 * H]), o = sigmoid(gate[3 * H]);
        gate[0] = i, gate[H] = f, gate[2 * H] = g, gate[3 * H] = o;
        float c = f * c_before[at] + i * g;
        c_after[at] = c;
        h_after[at] = o * tanhf(c);
    }
}

// 1. `dh` and `dc` (N, H) enter as what comes from the step after; `da` (N, 4H) is the gradient of the pre-activations. `dc` leaves as
// what goes to the step before, and so does `dh` once da Whᵀ is added to it: zero, or what it was where a sequence is over.
extern "C" __global__ void __launch_bounds__(256)
lstm_cell_backward(float* __restrict__ da, const float* __restrict__ gates, const float* __restrict__ c_before,
                   const float* __restrict__ c_after, const float* __restrict__ dh_above, float* dh, float* dc,
                   const long long* __restrict__ lengths, int t, int N, int H) {
    for (size_t at = blockIdx.x * (size_t)blockDim.x + threadIdx.x; at < (size_t)N * H; at += gridDim.x * (size_t)blockDim.x) {
        int n = at / H;
        size_t first = at + (size_t)n * 3 * H;
        float* da_n = da + first;
        float dh_n = dh_above ? dh[at] + dh_above[at] : dh[at];
        if (lengths && lengths[n] <= t) {
            da_n[0] = da_n[H] = da_n[2 * H] = da_n[3 * H] = 0.0f;
            dh[at] = dh_n;
            continue;
        }
        const float* gate = gates + first;
        float i = gate[0], f = gate[H], g = gate[2 * H], o = gate[3 * H], tanh_c = tanhf(c_after[at]);
        float dc_n = dc[at] + dh_n * o * (1.0f - tanh_c * tanh_c);
        da_n[0] = dc_n * g * i * (1.0f - i);
        da_n[H] = dc_n * c_before[at] * f * (1.0f - f);
        da_n[2 * H] = dc_n * i * (1.0f - g * g);
        da_n[3 * H] = dh_n * tanh_c * o * (1.0f - o);
        dh[at] = 0.0f;
        dc[at] = dc_n * f;
    }
}

// sums (columns,) of a matrix (rows, columns): a block of 32 x 32 threads for 32 columns; the order of the additions is always the same.
extern "C" __global__ void __launch_bounds__(1024)
lstm_column_sums(const float* __restrict__ matrix, float* __restrict__ sums, int rows, int columns) {
    __shared__ float parts[32][33];
    int column = blockIdx.x * 32 + threadIdx.x;
    float sum = 0.0f;
    if (column < columns)
        for (int row = threadIdx.y; row < rows; row += 32) sum += matrix[(size_t)row * columns + column];
    parts[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    sum = warp_sum(parts[threadIdx.x][threadIdx.y]);
    if (threadIdx.x == 0 && blockIdx.x * 32 + threadIdx.y < columns) sums[blockIdx.x * 32 + threadIdx.y] = sum;
}
