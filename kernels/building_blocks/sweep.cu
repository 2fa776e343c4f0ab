// Sweeps over memory that no room is for: what an optimiser's step needs without asking the host, and what models do in between.
//
// All are bound by memory. Numbers are read four at a time where all addresses are multiples of 16; sums have a fixed order.
#include "float4.cuh"

// --- the norm of a gradient ------------------------------------------------------------------------------------------

// parts[b] = Σ x² over what block b walks through.
extern "C" __global__ void __launch_bounds__(256)
square_parts(const float* __restrict__ x, float* __restrict__ parts, long long n) {
    __shared__ float scratch[32];
    long long first = blockIdx.x * 256LL + threadIdx.x, step = gridDim.x * 256LL, fours = aligned(x) ? n / 4 : 0;
    float sum = 0.0f;
    for (long long i = first; i < fours; i += step) {
        float4 v = ((const float4*)x)[i];
        sum += (v.x * v.x + v.y * v.y) + (v.z * v.z + v.w * v.w);
    }
    for (long long i = 4 * fours + first; i < n; i += step) sum += x[i] * x[i];
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

// total = Σ parts, in one block.
extern "C" __global__ void __launch_bounds__(256) sum_parts(const float* __restrict__ parts, float* __restrict__ total, int n) {
    __shared__ float scratch[32];
    float sum = 0.0f;
    for (int i = threadIdx.x; i < n; i += 256) sum += parts[i];
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) *total = sum;
}

// What to scale a gradient by so that its norm is at most `most`.
extern "C" __global__ void __launch_bounds__(1) clip(const float* __restrict__ norm, float* __restrict__ factor, float most) {
    *factor = *norm <= most ? 1.0f : *norm < INFINITY ? most / *norm : NAN;
}

// --- one number after the other --------------------------------------------------------------------------------------

extern "C" __global__ void __launch_bounds__(256) tanh_in_place(float* __restrict__ x, long long n) {
    long long first = blockIdx.x * 256LL + threadIdx.x, step = gridDim.x * 256LL, fours = aligned(x) ? n / 4 : 0;
    for (long long i = first; i < fours; i += step) {
        float4 v = ((const float4*)x)[i];
        ((float4*)x)[i] = make_float4(tanhf(v.x), tanhf(v.y), tanhf(v.z), tanhf(v.w));
    }
    for (long long i = 4 * fours + first; i < n; i += step) x[i] = tanhf(x[i]);
}

// sum + other[i], if there is another.
__device__ __forceinline__ float4 plus(float4 sum, const float* other, long long i) {
    if (!other) return sum;
    float4 v = ((const float4*)other)[i];
    return make_float4(sum.x + v.x, sum.y + v.y, sum.z + v.z, sum.w + v.w);
}

// dx = (1 - y²) (dx + d1 + d2 + d3), of which the last three may be missing.
extern "C" __global__ void __launch_bounds__(256)
tanh_backward(const float* __restrict__ y, float* __restrict__ dx, const float* __restrict__ d1, const float* __restrict__ d2,
              const float* __restrict__ d3, long long n) {
    long long first = blockIdx.x * 256LL + threadIdx.x, step = gridDim.x * 256LL;
    long long fours = aligned(y) && aligned(dx) && aligned(d1) && aligned(d2) && aligned(d3) ? n / 4 : 0;
    for (long long i = first; i < fours; i += step) {
        float4 v = ((const float4*)y)[i], d = plus(plus(plus(((const float4*)dx)[i], d1, i), d2, i), d3, i);
        ((float4*)dx)[i] = make_float4(d.x * (1.0f - v.x * v.x), d.y * (1.0f - v.y * v.y),
                                       d.z * (1.0f - v.z * v.z), d.w * (1.0f - v.w * v.w));
    }
    for (long long i = 4 * fours + first; i < n; i += step) {
        float d = dx[i] + (d1 ? d1[i] : 0.0f) + (d2 ? d2[i] : 0.0f) + (d3 ? d3[i] : 0.0f);
        dx[i] = d * (1.0f - y[i] * y[i]);
    }
}

// total += d.
extern "C" __global__ void __launch_bounds__(256) add(float* __restrict__ total, const float* __restrict__ d, long long n) {
    long long first = blockIdx.x * 256LL + threadIdx.x, step = gridDim.x * 256LL;
    long long fours = aligned(total) && aligned(d) ? n / 4 : 0;
    for (long long i = first; i < fours; i += step) {
        float4 t = ((const float4*)total)[i], v = ((const float4*)d)[i];
        ((float4*)total)[i] = make_float4(t.x + v.x, t.y + v.y, t.z + v.z, t.w + v.w);
    }
    for (long long i = 4 * fours + first; i < n; i += step) total[i] += d[i];
}

// --- a block for a row -----------------------------------------------------------------------------------------------

// y = x - log Σ exp x. The row waits in shared memory if `kept`, and is read again if it is too long for that.
extern "C" __global__ void __launch_bounds__(1024)
log_softmax(const float* __restrict__ x, float* __restrict__ y, int V, int kept) {
    DYNAMIC_SHARED(float, row);  // each number is read by the thread that wrote it, so that no barrier is needed
    __shared__ float tops[32], sums[32];
    const float* z = x + (size_t)blockIdx.x * V;
    float top = -INFINITY;
    for (int v = threadIdx.x; v < V; v += blockDim.x) {
        float score = z[v];
        if (kept) row[v] = score;
        top = larger(top, score);
    }
    top = block_max(top, tops);
    float sum = 0.0f;
    for (int v = threadIdx.x; v < V; v += blockDim.x) sum += expf((kept ? row[v] : z[v]) - top);
    float log_sum = logf(block_sum(sum, sums));
    for (int v = threadIdx.x; v < V; v += blockDim.x) y[(size_t)blockIdx.x * V + v] = (kept ? row[v] : z[v]) - top - log_sum;
}

// Whether a at place i comes before b at place j: NaN before the largest, and the first of equals.
__device__ __forceinline__ bool before(float a, int i, float b, int j) {
    bool a_is_nan = a != a, b_is_nan = b != b;
    if (a_is_nan || b_is_nan) return a_is_nan && (!b_is_nan || i < j);
    return a > b || (a == b && i < j);
}

__device__ __forceinline__ void first_of_warp(float& best, int& at) {
    for (int apart = 16; apart > 0; apart >>= 1) {
        float other = __shfl_xor_sync(FULL_WARP, best, apart);
        int place = __shfl_xor_sync(FULL_WARP, at, apart);
        if (before(other, place, best, at)) best = other, at = place;
    }
}

extern "C" __global__ void __launch_bounds__(1024)
argmax_rows(const float* __restrict__ x, long long* __restrict__ found, int V) {
    __shared__ float bests[32];
    __shared__ int places[32];
    const float* row = x + (size_t)blockIdx.x * V;
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
    float best = -INFINITY;
    int at = V;  // no place, behind all others
    for (int v = threadIdx.x; v < V; v += blockDim.x)
        if (before(row[v], v, best, at)) best = row[v], at = v;
    first_of_warp(best, at);
    if (lane == 0) bests[warp] = best, places[warp] = at;
    __syncthreads();
    best = lane < warps ? bests[lane] : -INFINITY, at = lane < warps ? places[lane] : V;
    first_of_warp(best, at);
    if (threadIdx.x == 0) found[blockIdx.x] = at;
}

// A picture of L places and C channels, scaled to a mean square of 1, into the first C of `wide` channels.
extern "C" __global__ void __launch_bounds__(1024)
to_unit_size(const float* __restrict__ source, float* __restrict__ target, int L, int C, int wide, float least) {
    __shared__ float scratch[32];
    long long n = (long long)L * C;
    const float* x = source + blockIdx.x * n;
    float* y = target + (size_t)blockIdx.x * L * wide;
    float sum = 0.0f;
    for (long long i = threadIdx.x; i < n; i += blockDim.x) sum += x[i] * x[i];
    float scale = 1.0f / sqrtf(block_sum(sum, scratch) / (float)n + least);
    for (long long i = threadIdx.x; i < n; i += blockDim.x) y[i / C * wide + i % C] = x[i] * scale;
}
