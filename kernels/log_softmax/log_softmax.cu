// The logarithm of a softmax, y = z - log Σ exp z, and its backward pass: a block for a row of V scores.
#include "scratchlv.cuh"

// The row waits in shared memory if `kept`, and is read again if it is too long for that.
extern "C" __global__ void __launch_bounds__(1024)
log_softmax_forward(const float* __restrict__ logits, float* __restrict__ y, int V, int kept) {
    DYNAMIC_SHARED(float, row);  // each number is read by the thread that wrote it, so that no barrier is needed
    __shared__ float maxima[32], sums[32];
    const float* z = logits + (size_t)blockIdx.x * V;
    float largest = -INFINITY;
    for (int v = threadIdx.x; v < V; v += blockDim.x) {
        float score = z[v];
        if (kept) row[v] = score;
        largest = larger(largest, score);
    }
    largest = block_max(largest, maxima);
    float sum = 0.0f;
    for (int v = threadIdx.x; v < V; v += blockDim.x) sum += expf((kept ? row[v] : z[v]) - largest);
    float log_sum = logf(block_sum(sum, sums));
    for (int v = threadIdx.x; v < V; v += blockDim.x) y[(size_t)blockIdx.x * V + v] = (kept ? row[v] : z[v]) - largest - log_sum;
}

// dz = dy - p Σ dy, p = exp y.
extern "C" __global__ void __launch_bounds__(1024)
log_softmax_backward(const float* __restrict__ dy, const float* __restrict__ y, float* __restrict__ dlogits, int V) {
    __shared__ float sums[32];
    size_t first = (size_t)blockIdx.x * V;
    float sum = 0.0f;
    for (int v = threadIdx.x; v < V; v += blockDim.x) sum += dy[first + v];
    sum = block_sum(sum, sums);
    for (int v = threadIdx.x; v < V; v += blockDim.x) dlogits[first + v] = dy[first + v] - expf(y[first + v]) * sum;
}
