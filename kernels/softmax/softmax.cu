// Softmax, y = exp z / Σ exp z, where a mask allows, and its backward pass: a block for a row of V scores.
#include "scratchlv.cuh"

__device__ __forceinline__ float score(const float* z, const unsigned char* mask, int v) {
    return mask && !mask[v] ? -INFINITY : z[v];
}

// The row waits in shared memory if `kept`, and is read again if it is too long for that. `mask` may be null.
extern "C" __global__ void __launch_bounds__(1024)
softmax_forward(const float* __restrict__ logits, const unsigned char* __restrict__ mask, float* __restrict__ y, int V, int kept) {
    DYNAMIC_SHARED(float, row);  // each number is read by the thread that wrote it, so that no barrier is needed
    __shared__ float maxima[32], sums[32];
    size_t first = (size_t)blockIdx.x * V;
    const float* z = logits + first;
    if (mask) mask += first;
    float largest = -INFINITY;
    for (int v = threadIdx.x; v < V; v += blockDim.x) {
        float s = score(z, mask, v);
        if (kept) row[v] = s;
        largest = larger(largest, s);
    }
    largest = block_max(largest, maxima);
    if (largest == -INFINITY) largest = 0.0f;  // no class may be: all exponentials are 0
    float sum = 0.0f;
    for (int v = threadIdx.x; v < V; v += blockDim.x) {
        float e = expf((kept ? row[v] : score(z, mask, v)) - largest);
        if (kept) row[v] = e;
        sum += e;
    }
    sum = block_sum(sum, sums);
    if (sum == 0.0f) sum = 1.0f;
    for (int v = threadIdx.x; v < V; v += blockDim.x) y[first + v] = (kept ? row[v] : expf(score(z, mask, v) - largest)) / sum;
}

// dz = y (dy - Σ dy y).
extern "C" __global__ void __launch_bounds__(1024)
softmax_backward(const float* __restrict__ dy, const float* __restrict__ y, float* __restrict__ dlogits, int V) {
    __shared__ float sums[32];
    size_t first = (size_t)blockIdx.x * V;
    float sum = 0.0f;
    for (int v = threadIdx.x; v < V; v += blockDim.x) sum += dy[first + v] * y[first + v];
    sum = block_sum(sum, sums);
    for (int v = threadIdx.x; v < V; v += blockDim.x) dlogits[first + v] = y[first + v] * (dy[first + v] - sum);
}
