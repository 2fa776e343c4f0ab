// The GRU cell, forward and backward, its reset gate after the product; the gates lie in the order r, z, n.
//
// A step is a product, h_{t-1} Wh, and one launch of a cell kernel, which does all that is between two products: σ and tanh, h, and
// the sequences that are over. The product is not added to x_t Wx, as r scales its last part alone: it stands in `from_h`.
// A number of h is a thread; neighbours read neighbours in all arrays.
#include "scratchlv.cuh"

// `gates` (N, 3H) enter as x Wx + b and leave after σ and tanh; `from_h` (N, 3H) is h Wh. Past its length a sequence's state
// is copied. `q` (N, H) is written if it is there.
extern "C" __global__ void __launch_bounds__(256)
gru_cell_forward(float* __restrict__ gates, const float* __restrict__ from_h, const float* __restrict__ b_q,
                 float* __restrict__ q, const float* h_before, float* h_after, const long long* __restrict__ lengths, int t, int N, int H) {
    for (size_t at = blockIdx.x * (size_t)blockDim.x + threadIdx.x; at < (size_t)N * H; at += gridDim.x * (size_t)blockDim.x) {
        int n = at / H;
        float before = h_before[at];
        if (lengths && lengths[n] <= t) {
            h_after[at] = before;
            continue;
        }
        size_t first = at + (size_t)n * 2 * H;
        float* gate = gates + first;
        const float* own = from_h + first;
        float r = sigmoid(gate[0] + own[0]), z = sigmoid(gate[H] + own[H]), q_here = own[2 * H] + b_q[at % H];
        float candidate = tanhf(gate[2 * H] + r * q_here);
        gate[0] = r, gate[H] = z, gate[2 * H] = candidate;
        if (q) q[at] = q_here;
        h_after[at] = (1.0f - z) * candidate + z * before;
    }
}

// `dh` (N, H) enters as what comes from the step after, and leaves as what goes to the step before once dfrom_h Whᵀ is added
// to it: z dh, or what it was where a sequence is over. `dfrom_x` and `dfrom_h` (N, 3H) are the gradients of the two products.
extern "C" __global__ void __launch_bounds__(256)
gru_cell_backward(float* __restrict__ dfrom_x, float* __restrict__ dfrom_h, const float* __restrict__ gates,
                  const float* __restrict__ q, const float* __restrict__ h_before, const float* __restrict__ dh_out, float* __restrict__ dh,
                  const long long* __restrict__ lengths, int t, int N, int H) {
    for (size_t at = blockIdx.x * (size_t)blockDim.x + threadIdx.x; at < (size_t)N * H; at += gridDim.x * (size_t)blockDim.x) {
        int n = at / H;
        size_t first = at + (size_t)n * 2 * H;
        float *to_x = dfrom_x + first, *to_h = dfrom_h + first, dh_n = dh[at] + dh_out[at];
        if (lengths && lengths[n] <= t) {
            to_x[0] = to_x[H] = to_x[2 * H] = to_h[0] = to_h[H] = to_h[2 * H] = 0.0f;
            dh[at] = dh_n;
            continue;
        }
        const float* gate = gates + first;
        float r = gate[0], z = gate[H], candidate = gate[2 * H];
        float dcandidate = dh_n * (1.0f - z) * (1.0f - candidate * candidate);
        to_x[0] = to_h[0] = dcandidate * q[at] * r * (1.0f - r);
        to_x[H] = to_h[H] = dh_n * (h_before[at] - candidate) * z * (1.0f - z);
        to_x[2 * H] = dcandidate;
        to_h[2 * H] = dcandidate * r;
        dh[at] = dh_n * z;
    }
}
