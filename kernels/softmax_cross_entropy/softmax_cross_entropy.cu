// Softmax and cross-entropy: loss and gradient of M rows of V scores, one block for a row.
//
//     loss_m = w_m (log Σ_v exp z_v - z_t)        dz_v = w_m (softmax(z)_v - [v = t])
//
// or, where labels are smoothed, with Σ_v q_v z_v in the place of z_t and q_v in that of [v = t].
//
// Version 1 reads a row three times and keeps partial results in a tree of shared memory. Version 2 finds maximum and sum in one
// reading (when a larger score turns up, the sum so far is rescaled: Milakov and Gimelshein 2018) and adds up within warps by
// shuffles. Version 3 keeps the row in shared memory between its one reading and its one writing. Version 4 takes four numbers at
// a time, and makes of three launches one: each block adds up the weights of all rows, and the last to end all losses.
#include "float4.cuh"

// Weights of places that are ignored become 0. totals[0] = Σ_m of the weights, each times that of its target's class, and
// totals[1] = Σ_v of the classes' weights, in one block. Its order is always the same. No class_weights: all are 1.
extern "C" __global__ void __launch_bounds__(1024)
sum_weights(float* __restrict__ weights, const long long* __restrict__ targets, const float* __restrict__ class_weights,
            float* __restrict__ totals, long long ignore_index, int M, int V) {
    __shared__ float scratch[32], scratch_of_classes[32];
    float sum = 0.0f, of_classes = 0.0f;
    for (int m = threadIdx.x; m < M; m += blockDim.x) {
        long long target = targets[m];
        if (target == ignore_index) weights[m] = 0.0f;
        float w = weights[m];
        bool weighted = class_weights && w != 0.0f && target >= 0 && target < V;
        sum += weighted ? w * class_weights[target] : w;
    }
    if (class_weights)
        for (int v = threadIdx.x; v < V; v += blockDim.x) of_classes += class_weights[v];
    sum = block_sum(sum, scratch);
    of_classes = block_sum(of_classes, scratch_of_classes);
    if (threadIdx.x == 0) {
        totals[0] = sum;
        totals[1] = class_weights ? of_classes : (float)V;
    }
}

// loss = Σ_m losses_m; float32 sums of warps and of a block: the error grows with log M.
extern "C" __global__ void __launch_bounds__(1024) sum_losses(const float* __restrict__ losses, float* __restrict__ loss, int M) {
    __shared__ float scratch[32];
    float sum = 0.0f;
    for (int m = threadIdx.x; m < M; m += blockDim.x) sum += losses[m];
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) *loss = sum;
}

// What a row is to hit: q_v = target [v = t] + others w_v, w being the class weights; and its weight in the loss, NaN if its
// target is no class, so that the loss tells. Without smoothing q is one-hot.
struct Aim {
    float weight, target, others;
};

// `of_all` is the sum of all rows' weights, `of_classes` that of the classes'.
__device__ __forceinline__ Aim aim(float weight, long long target, const float* class_weights, float of_all, float of_classes,
                                   float label_smoothing, bool mean, int V) {
    if (target < 0 || target >= V) return {NAN, 1.0f, 0.0f};
    if (mean) weight = of_all == 0.0f ? 0.0f : weight / of_all;
    float of_target = class_weights ? class_weights[target] : 1.0f;
    if (label_smoothing == 0.0f) return {weight * of_target, 1.0f, 0.0f};
    float others = label_smoothing / V, hit = (1.0f - label_smoothing) * of_target + others * of_classes;
    float whole = hit == 0.0f ? 1.0f : hit;  // all classes have the weight 0
    return {weight * hit, (1.0f - label_smoothing) * of_target / whole, others / whole};
}

__device__ __forceinline__ float class_weight(const float* class_weights, int v) { return class_weights ? class_weights[v] : 1.0f; }

// q_v
__device__ __forceinline__ float share(const Aim& a, int v, long long target, const float* class_weights) {
    float q = v == target ? a.target : 0.0f;
    return a.others == 0.0f ? q : q + a.others * class_weight(class_weights, v);
}

// A row that does not count: no loss, no gradient, and it is not read.
__device__ __forceinline__ void skip_row(float* dz, float* loss, int V) {
    if (dz)
        for (int v = threadIdx.x; v < V; v += blockDim.x) dz[v] = 0.0f;
    if (threadIdx.x == 0) *loss = 0.0f;
}

// The loss of a row: Σ_v q_v (log sum - (z_v - largest)), of which `weighted` is Σ_v w_v (z_v - largest).
__device__ __forceinline__ float loss_of(const Aim& a, float sum, float of_target, float weighted) {
    return a.weight * (logf(sum) - a.target * of_target - a.others * weighted);
}

__device__ __forceinline__ bool is_nan(const Aim& a) { return a.weight != a.weight; }

// The sum over a block's threads, whose count is a power of two, in a tree of shared memory.
__device__ __forceinline__ float tree_sum(float x, float* tree) {
    tree[threadIdx.x] = x;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) tree[threadIdx.x] += tree[threadIdx.x + half];
        __syncthreads();
    }
    return tree[0];
}

// 1. Three readings: maximum, sum, gradient.
extern "C" __global__ void __launch_bounds__(1024)
cross_entropy_1(const float* logits, const long long* __restrict__ targets, const float* __restrict__ weights,
                const float* __restrict__ class_weights, const float* __restrict__ totals, float* dlogits,
                float* __restrict__ losses, float label_smoothing, int mean, int V) {
    DYNAMIC_SHARED(float, tree);  // a number for each thread; their count is a power of two
    int m = blockIdx.x;
    const float* z = logits + (size_t)m * V;
    float* dz = dlogits ? dlogits + (size_t)m * V : nullptr;
    if (weights[m] == 0.0f) return skip_row(dz, losses + m, V);
    long long target = targets[m];
    Aim a = aim(weights[m], target, class_weights, totals[0], totals[1], label_smoothing, mean, V);

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

    float sum = 0.0f, weighted = 0.0f;
    for (int v = threadIdx.x; v < V; v += blockDim.x) {
        sum += expf(z[v] - largest);
        if (a.others != 0.0f) weighted += class_weight(class_weights, v) * (z[v] - largest);
    }
    sum = tree_sum(sum, tree);
    if (a.others != 0.0f) {
        __syncthreads();
        weighted = tree_sum(weighted, tree);
    }

    if (threadIdx.x == 0) losses[m] = is_nan(a) ? a.weight : loss_of(a, sum, z[target] - largest, weighted);
    __syncthreads();  // the gradient may take the place of the scores
    if (dz)
        for (int v = threadIdx.x; v < V; v += blockDim.x)
            dz[v] = a.weight * (expf(z[v] - largest) / sum - share(a, v, target, class_weights));
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
                const float* __restrict__ class_weights, const float* __restrict__ totals, float* dlogits,
                float* __restrict__ losses, float label_smoothing, int mean, int V) {
    __shared__ Softmax scratch[32];
    __shared__ float sums[32];
    int m = blockIdx.x;
    const float* z = logits + (size_t)m * V;
    float* dz = dlogits ? dlogits + (size_t)m * V : nullptr;
    if (weights[m] == 0.0f) return skip_row(dz, losses + m, V);
    long long target = targets[m];
    Aim a = aim(weights[m], target, class_weights, totals[0], totals[1], label_smoothing, mean, V);

    Softmax s = {-INFINITY, 0.0f};
    for (int v = threadIdx.x; v < V; v += blockDim.x) s = combine(s, {z[v], 1.0f});
    s = combine_block(s, scratch);

    if (threadIdx.x == 0) losses[m] = is_nan(a) ? a.weight : loss_of(a, s.sum, z[target] - s.largest, 0.0f);
    __syncthreads();  // the gradient may take the place of the scores
    if (!dz && a.others == 0.0f) return;
    float weighted = 0.0f;
    for (int v = threadIdx.x; v < V; v += blockDim.x) {
        float below = z[v] - s.largest;
        if (a.others != 0.0f) weighted += class_weight(class_weights, v) * below;
        if (dz) dz[v] = a.weight * (expf(below) / s.sum - share(a, v, target, class_weights));
    }
    if (a.others != 0.0f) {
        weighted = block_sum(weighted, sums);
        if (threadIdx.x == 0) losses[m] -= a.weight * a.others * weighted;
    }
}

// 3. One reading: the row waits in shared memory, first as scores, then as exponentials.
extern "C" __global__ void __launch_bounds__(1024)
cross_entropy_3(const float* logits, const long long* __restrict__ targets, const float* __restrict__ weights,
                const float* __restrict__ class_weights, const float* __restrict__ totals, float* dlogits,
                float* __restrict__ losses, float label_smoothing, int mean, int V) {
    DYNAMIC_SHARED(float, row);  // V numbers; each is read by the thread that wrote it, so that no barrier is needed
    __shared__ float maxima[32], sums[32], weighted_sums[32];
    int m = blockIdx.x;
    const float* z = logits + (size_t)m * V;
    float* dz = dlogits ? dlogits + (size_t)m * V : nullptr;
    if (weights[m] == 0.0f) return skip_row(dz, losses + m, V);
    long long target = targets[m];
    Aim a = aim(weights[m], target, class_weights, totals[0], totals[1], label_smoothing, mean, V);

    float largest = -INFINITY;
    for (int v = threadIdx.x; v < V; v += blockDim.x) largest = larger(largest, row[v] = z[v]);
    largest = block_max(largest, maxima);
    float sum = 0.0f, weighted = 0.0f;
    for (int v = threadIdx.x; v < V; v += blockDim.x) {
        float below = row[v] - largest;
        sum += row[v] = expf(below);
        if (a.others != 0.0f) weighted += class_weight(class_weights, v) * below;
    }
    if (threadIdx.x == 0) losses[m] = is_nan(a) ? a.weight : z[target] - largest;  // until the sum is known
    sum = block_sum(sum, sums);  // its barrier also lets the gradient take the place of the scores
    if (a.others != 0.0f) weighted = block_sum(weighted, weighted_sums);
    if (threadIdx.x == 0) losses[m] = loss_of(a, sum, losses[m], weighted);
    if (dz)
        for (int v = threadIdx.x; v < V; v += blockDim.x)
            dz[v] = a.weight * (row[v] / sum - share(a, v, target, class_weights));
}

// 4. The row waits as before, read and written in fours. `totals` may be null where no class has a weight of its own: then each
// block adds up the weights of the M rows. `loss`, unless null, is made by the block that ends last: it finds in `finished` how
// many have ended, and leaves 0 there for the next launch.
extern "C" __global__ void __launch_bounds__(384)
cross_entropy_4(const float* logits, const long long* __restrict__ targets, float* weights,
                const float* __restrict__ class_weights, const float* __restrict__ totals, float* dlogits, float* losses,
                float* __restrict__ loss, unsigned* finished, long long ignore_index, float label_smoothing, int mean, int M,
                int V) {
    DYNAMIC_SHARED(float, row);  // V numbers, rounded up to fours; each is read by the thread that wrote it
    __shared__ float of_weights[32], maxima[32], sums[32], weighted_sums[32], of_losses[32];
    __shared__ unsigned before;
    int m = blockIdx.x;
    const float* z = logits + (size_t)m * V;
    float* dz = dlogits ? dlogits + (size_t)m * V : nullptr;
    float of_all = totals ? totals[0] : 0.0f, of_classes = totals ? totals[1] : (float)V;
    if (mean && !totals) {
        for (int i = threadIdx.x; i < M; i += blockDim.x) of_all += targets[i] == ignore_index ? 0.0f : weights[i];
        of_all = block_sum(of_all, of_weights);
    }
    long long target = targets[m];
    float weight = target == ignore_index ? 0.0f : weights[m];
    if (weight == 0.0f) {
        skip_row(dz, losses + m, V);
        if (threadIdx.x == 0) weights[m] = 0.0f;  // to other blocks an ignored row is one, whatever stands here
    } else {
        Aim a = aim(weight, target, class_weights, of_all, of_classes, label_smoothing, mean, V);
        bool vectorised = rows_aligned(logits, V) && rows_aligned(dlogits, V);
        float largest = -INFINITY, sum = 0.0f, weighted = 0.0f;
        for (int v = 4 * threadIdx.x; v < V; v += 4 * blockDim.x) {
            float4 four = load4(z, v, V, vectorised);
            if (v + 1 >= V) four.y = -INFINITY;
            if (v + 2 >= V) four.z = -INFINITY;
            if (v + 3 >= V) four.w = -INFINITY;
            *(float4*)(row + v) = four;
            largest = larger(larger(larger(larger(largest, four.x), four.y), four.z), four.w);
        }
        largest = block_max(largest, maxima);
        for (int v = 4 * threadIdx.x; v < V; v += 4 * blockDim.x) {
            float4 four = *(float4*)(row + v);
            four = make_float4(four.x - largest, four.y - largest, four.z - largest, four.w - largest);
            if (a.others != 0.0f) {
                float below[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
                for (int e = 0; e < 4; ++e)
                    if (v + e < V) weighted += class_weight(class_weights, v + e) * below[e];
            }
            four = make_float4(expf(four.x), expf(four.y), expf(four.z), expf(four.w));
            sum += (four.x + four.y) + (four.z + four.w);
            *(float4*)(row + v) = four;
        }
        if (threadIdx.x == 0) losses[m] = is_nan(a) ? a.weight : z[target] - largest;  // until the sum is known
        sum = block_sum(sum, sums);  // its barrier also lets the gradient take the place of the scores
        if (a.others != 0.0f) weighted = block_sum(weighted, weighted_sums);
        if (threadIdx.x == 0) losses[m] = loss_of(a, sum, losses[m], weighted);
        for (int v = 4 * threadIdx.x; dz && v < V; v += 4 * blockDim.x) {
            float4 four = *(float4*)(row + v);
            float p[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
            for (int e = 0; e < 4; ++e)
                p[e] = a.weight * (p[e] / sum - share(a, min(v + e, V - 1), target, class_weights));
            store4(dz, v, V, vectorised, make_float4(p[0], p[1], p[2], p[3]));
        }
    }
    if (!loss) return;
    if (threadIdx.x == 0) {
        __threadfence();  // who counts this block sees its loss
        before = atomicAdd(finished, 1u);
    }
    __syncthreads();
    if (before + 1 < gridDim.x) return;
    float of_rows = 0.0f;
    for (int i = threadIdx.x; i < M; i += blockDim.x) of_rows += __ldcg(losses + i);
    of_rows = block_sum(of_rows, of_losses);
    if (threadIdx.x == 0) *loss = of_rows, *finished = 0;
}

// y = scale x, for a gradient of the loss that is not 1.
extern "C" __global__ void __launch_bounds__(256)
scaled(const float* __restrict__ x, float* __restrict__ y, float scale, long long n) {
    for (long long k = blockIdx.x * (long long)blockDim.x + threadIdx.x; k < n; k += gridDim.x * (long long)blockDim.x)
        y[k] = scale * x[k];
}

// The same with a scale for each row of V numbers, a block for a row; 0 where a row does not count.
extern "C" __global__ void __launch_bounds__(1024)
scaled_rows(const float* __restrict__ x, float* __restrict__ y, const float* __restrict__ scales,
            const float* __restrict__ weights, int V) {
    size_t row = blockIdx.x * (size_t)V;
    float scale = weights[blockIdx.x] == 0.0f ? 0.0f : scales[blockIdx.x];
    for (int v = threadIdx.x; v < V; v += blockDim.x) y[row + v] = scale * x[row + v];
}
