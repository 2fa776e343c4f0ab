// Softmax and cross-entropy: loss and gradient of M rows of V scores, one block for a row.
//
//     loss_m = w_m (log Σ_v exp z_v - z_t)        dz_v = w_m (softmax(z)_v - [v = t])
//
// Version 1 reads a row three times and keeps partial results in a tree of shared memory. Version 2 finds maximum and sum in one
// reading (when a larger score turns up, the sum so far is rescaled: Milakov and Gimelshein 2018) and adds up within warps by
// shuffles. Version 3 keeps the row in shared memory between its one reading and its one writing.
#include "scratchlv.cuh"

// total = the sum of the weights, in one block. Its order is always the same.
extern "C" __global__ void __launch_bounds__(1024)
sum_weights(const float* __restrict__ weights, float* __restrict__ total, int M) {
    __shared__ float scratch[32];
    float sum = 0.0f;
    for (int m = threadIdx.x; m < M; m += blockDim.x) sum += weights[m];
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) *total = sum;
}

// loss = Σ_m losses_m; float32 sums of warps and of a block: the error grows with log M.
extern "C" __global__ void __launch_bounds__(1024) sum_losses(const float* __restrict__ losses, float* __restrict__ loss, int M) {
    __shared__ float scratch[32];
    float sum = 0.0f;
    for (int m = threadIdx.x; m < M; m += blockDim.x) sum += losses[m];
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) *loss = sum;
}

// The weight of row m in the mean; NaN if its target is no class, so that the loss tells.
__device__ __forceinline__ float row_weight(const float* weights, const float* total, const long long* targets, int m, int V) {
    float w = weights[m];
    if (w == 0.0f) return 0.0f;
    return targets[m] < 0 || targets[m] >= V ? NAN : w / *total;
}

// A row that does not count: no loss, no gradient, and it is not read.
__device__ __forceinline__ void skip_row(float* dz, float* loss, int V) {
    if (dz)
        for (int v = threadIdx.x; v < V; v += blockDim.x) dz[v] = 0.0f;
    if (threadIdx.x == 0) *loss = 0.0f;
}

// 1. Three readings: maximum, sum, gradient.
extern "C" __global__ void __launch_bounds__(1024)
cross_entropy_1(const float* logits, const long long* __restrict__ targets, const float* __restrict__ weights,
                const float* __restrict__ total, float* dlogits, float* __restrict__ losses, int V) {
    DYNAMIC_SHARED(float, tree);  // a number for each thread; their count is a power of two
    int m = blockIdx.x;
    const float* z = logits + (size_t)m * V;
    float* dz = dlogits ? dlogits + (size_t)m * V : nullptr;
    float w = row_weight(weights, total, targets, m, V);
    if (w == 0.0f) return skip_row(dz, losses + m, V);

    float largest = -INFINITY;
    for (int v = threadIdx.x; v < V; v += blockDim.x) largest = larger(largest, z[v]);
    tree[threadIdx.x] = largest;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) tree[threadIdx.x] = larger(tree[threadIdx.x], tree[threadIdx.x + half]);
        __syncthreads();
    }
    largest = tree[0];
    __syncthreads();  // all have read it before the tree is used again

    float sum = 0.0f;
    for (int v = threadIdx.x; v < V; v += blockDim.x) sum += expf(z[v] - largest);
    tree[threadIdx.x] = sum;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) tree[threadIdx.x] += tree[threadIdx.x + half];
        __syncthreads();
    }
    sum = tree[0];

    long long target = targets[m];
    if (threadIdx.x == 0) losses[m] = w != w ? w : w * (logf(sum) - (z[target] - largest));
    __syncthreads();  // the gradient may take the place of the scores
    if (dz)
        for (int v = threadIdx.x; v < V; v += blockDim.x) dz[v] = w * (expf(z[v] - largest) / sum - (v == target ? 1.0f : 0.0f));
}

// A maximum, and the sum of exp(z - maximum), of some of the scores.
struct Softmax {
    float largest, sum;
};

__device__ __forceinline__ Softmax combine(Softmax a, Softmax b) {
    float largest = larger(a.largest, b.largest);
    if (largest == -INFINITY) return a;  // neither has seen a score
    return {largest, a.sum * expf(a.largest - largest) + b.sum * expf(b.largest - largest)};
}

__device__ __forceinline__ Softmax combine_warp(Softmax s) {
    for (int offset = 16; offset > 0; offset >>= 1) {
        Softmax other = {__shfl_xor_sync(FULL_WARP, s.largest, offset), __shfl_xor_sync(FULL_WARP, s.sum, offset)};
        s = combine(s, other);
    }
    return s;
}

__device__ __forceinline__ Softmax combine_block(Softmax s, Softmax* scratch) {
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
    s = combine_warp(s);
    if (lane == 0) scratch[warp] = s;
    __syncthreads();
    Softmax none = {-INFINITY, 0.0f};
    return combine_warp(lane < warps ? scratch[lane] : none);
}

// 2. Two readings, and the second one comes from the second-level cache.
extern "C" __global__ void __launch_bounds__(1024)
cross_entropy_2(const float* logits, const long long* __restrict__ targets, const float* __restrict__ weights,
                const float* __restrict__ total, float* dlogits, float* __restrict__ losses, int V) {
    __shared__ Softmax scratch[32];
    int m = blockIdx.x;
    const float* z = logits + (size_t)m * V;
    float* dz = dlogits ? dlogits + (size_t)m * V : nullptr;
    float w = row_weight(weights, total, targets, m, V);
    if (w == 0.0f) return skip_row(dz, losses + m, V);

    Softmax s = {-INFINITY, 0.0f};
    for (int v = threadIdx.x; v < V; v += blockDim.x) s = combine(s, {z[v], 1.0f});
    s = combine_block(s, scratch);

    long long target = targets[m];
    if (threadIdx.x == 0) losses[m] = w != w ? w : w * (logf(s.sum) - (z[target] - s.largest));
    __syncthreads();  // the gradient may take the place of the scores
    if (dz)
        for (int v = threadIdx.x; v < V; v += blockDim.x)
            dz[v] = w * (expf(z[v] - s.largest) / s.sum - (v == target ? 1.0f : 0.0f));
}

// 3. One reading: the row waits in shared memory, first as scores, then as exponentials.
extern "C" __global__ void __launch_bounds__(1024)
cross_entropy_3(const float* logits, const long long* __restrict__ targets, const float* __restrict__ weights,
                const float* __restrict__ total, float* dlogits, float* __restrict__ losses, int V) {
    DYNAMIC_SHARED(float, row);  // V numbers; each is read by the thread that wrote it, so that no barrier is needed
    __shared__ float maxima[32], sums[32];
    int m = blockIdx.x;
    const float* z = logits + (size_t)m * V;
    float* dz = dlogits ? dlogits + (size_t)m * V : nullptr;
    float w = row_weight(weights, total, targets, m, V);
    if (w == 0.0f) return skip_row(dz, losses + m, V);

    float largest = -INFINITY;
    for (int v = threadIdx.x; v < V; v += blockDim.x) largest = larger(largest, row[v] = z[v]);
    largest = block_max(largest, maxima);
    float sum = 0.0f;
    for (int v = threadIdx.x; v < V; v += blockDim.x) sum += row[v] = expf(row[v] - largest);
    long long target = targets[m];
    if (threadIdx.x == 0) losses[m] = w != w ? w : z[target] - largest;  // until the sum is known
    sum = block_sum(sum, sums);  // its barrier also lets the gradient take the place of the scores
    if (threadIdx.x == 0) losses[m] = w * (logf(sum) - losses[m]);
    if (dz)
        for (int v = threadIdx.x; v < V; v += blockDim.x) dz[v] = w * (row[v] / sum - (v == target ? 1.0f : 0.0f));
}

// y = scale x, for a gradient of the loss that is not 1.
extern "C" __global__ void __launch_bounds__(256)
scaled(const float* __restrict__ x, float* __restrict__ y, float scale, long long n) {
    for (long long k = blockIdx.x * (long long)blockDim.x + threadIdx.x; k < n; k += gridDim.x * (long long)blockDim.x)
        y[k] = scale * x[k];
}
