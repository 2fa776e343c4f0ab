// Batch normalisation of feature maps (P pixels, C channels), with the ReLU and the 2x2 pooling that may follow.
//
//     y = gamma (x - mean) / √(var + eps) + beta        dx = gamma / √(var + eps) (dz - Σ dz / P - x̂ Σ dz x̂ / P)
//
// Memory is the limit, 2 to 3 FLOPs a byte: x must be read twice forward (the statistics come first), x and dy twice backward.
// Version 1 gives a channel to a block, which reads it twice for the statistics: its threads lie C numbers apart, so that of
// each 32 bytes that move, 4 are used, and with few channels most of the chip stands still. Version 2 goes along the channels,
// 16 bytes an access, and parts the pixels among as many blocks as fill the chip; a thread takes eight pixels at a time
// (all loads on their way before the first addition), their mean and their squares around it, and combines these to what it has
// (Chan, Golub and LeVeque 1979): one reading, and E[x²] - E[x]², which cancels where the mean is large, is never formed.
// The parts are combined in float64 by a second launch, always in the same order. A thread of the sweeps keeps to its four
// channels, whose constants stay in registers.
#include "float4.cuh"

#define CLOSED 4  // the argmax where ReLU is closed
#define AT_ONCE 8

struct Channels {  // the four channels of a thread: from c on, n of them; `vectorised`: they exist and are aligned
    int c, n;
    bool vectorised;
};

__device__ __forceinline__ void load4(float (&to)[4], const float* from, Channels s) { load4(to, from, s.n, s.vectorised); }
__device__ __forceinline__ void store4(float* to, const float (&from)[4], Channels s) { store4(to, from, s.n, s.vectorised); }

// What the sweeps need of a channel: the rows of `constants` (4, C).
struct Constants {
    float mean[4], inverse_std[4], scale[4], beta[4];  // scale = gamma / √(var + eps)
    __device__ Constants(const float* constants, int C, Channels s) {
        s.vectorised = false;  // read once: it need not be aligned
        load4(mean, constants + s.c, s), load4(inverse_std, constants + C + s.c, s);
        load4(scale, constants + 2 * C + s.c, s), load4(beta, constants + 3 * C + s.c, s);
    }
    __device__ float normalised(float x, int e) const { return (x - mean[e]) * inverse_std[e]; }
    __device__ float before_relu(float x, int e) const { return fmaf(x - mean[e], scale[e], beta[e]); }
};

__device__ __forceinline__ Channels channels_of_thread(int C, bool aligned) {
    int c = 4 * (blockIdx.x * blockDim.x + threadIdx.x);
    return {c, c < C ? min(4, C - c) : 0, C % 4 == 0 && aligned};
}

// sweep(s), compiled twice: where the channels are vectorised no branch stands between the loads, so that many are on their way.
template <class Sweep> __device__ __forceinline__ void over_channels(Channels s, Sweep sweep) {
    if (s.vectorised && s.n) sweep(Channels{s.c, 4, true});
    else if (s.n) sweep(Channels{s.c, s.n, false});
}

// --- statistics ------------------------------------------------------------------------------------------------------

// A channel's numbers: how many, their mean, and the sum of squares around it.
struct Moments {
    float count, mean, squares;
};

__device__ __forceinline__ Moments combine(Moments a, Moments b) {
    float count = a.count + b.count;
    if (count == 0.0f) return a;
    float delta = b.mean - a.mean, weight = b.count / count;
    return {count, a.mean + delta * weight, a.squares + b.squares + delta * delta * a.count * weight};
}

// 1. A block for a channel: the mean, then the squares around it.
extern "C" __global__ void __launch_bounds__(256)
batch_norm_statistics_1(const float* __restrict__ x, float* __restrict__ means, float* __restrict__ squares, int P, int C) {
    __shared__ float sums[32], sums_of_squares[32];
    int c = blockIdx.x;
    float sum = 0.0f, around = 0.0f;
    for (int p = threadIdx.x; p < P; p += blockDim.x) sum += x[(size_t)p * C + c];
    float mean = block_sum(sum, sums) / P;
    for (int p = threadIdx.x; p < P; p += blockDim.x) {
        float d = x[(size_t)p * C + c] - mean;
        around += d * d;
    }
    around = block_sum(around, sums_of_squares);
    if (threadIdx.x == 0) means[c] = mean, squares[c] = around;
}

// 2. Four channels to a thread; blockIdx.y is a part of `span` pixels, which are shared out over threadIdx.y (a power of two).
extern "C" __global__ void __launch_bounds__(256)
batch_norm_statistics_2(const float* __restrict__ x, float* __restrict__ means, float* __restrict__ squares,
                        int P, int C, int span) {
    __shared__ Moments rows[256][4];
    Channels s = channels_of_thread(C, aligned(x));
    int last = s.n ? min(P, ((int)blockIdx.y + 1) * span) : 0;
    Moments all[4] = {};
    over_channels(s, [&](Channels s) {
        for (int p = blockIdx.y * span + threadIdx.y; p < last; p += AT_ONCE * blockDim.y) {
            float v[AT_ONCE][4];
            int count = min(AT_ONCE, (last - p + (int)blockDim.y - 1) / (int)blockDim.y);
#pragma unroll
            for (int k = 0; k < AT_ONCE; ++k)
                if (k < count) load4(v[k], x + (size_t)(p + k * blockDim.y) * C + s.c, s);
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                Moments few = {(float)count, 0.0f, 0.0f};
#pragma unroll
                for (int k = 0; k < AT_ONCE; ++k)
                    if (k < count) few.mean += v[k][e];
                few.mean /= count;
#pragma unroll
                for (int k = 0; k < AT_ONCE; ++k)
                    if (k < count) few.squares += (v[k][e] - few.mean) * (v[k][e] - few.mean);
                all[e] = combine(all[e], few);
            }
        }
    });
    int own = threadIdx.y * blockDim.x + threadIdx.x;
    for (int e = 0; e < 4; ++e) rows[own][e] = all[e];
    __syncthreads();
    for (int half = blockDim.y / 2; half > 0; half /= 2) {
        if (threadIdx.y < half)
            for (int e = 0; e < 4; ++e) rows[own][e] = combine(rows[own][e], rows[own + half * blockDim.x][e]);
        __syncthreads();
    }
    if (threadIdx.y) return;
    for (int e = 0; e < s.n; ++e) {
        means[(size_t)blockIdx.y * C + s.c + e] = rows[own][e].mean;
        squares[(size_t)blockIdx.y * C + s.c + e] = rows[own][e].squares;
    }
}

// The sum of the values of a block's eight rows, for each of its 32 columns. Another sum needs another scratch.
__device__ __forceinline__ double sum_of_rows(double v, double (*scratch)[32]) {
    scratch[threadIdx.y][threadIdx.x] = v;
    __syncthreads();
    double sum = 0.0;
    for (int t = 0; t < 8; ++t) sum += scratch[t][threadIdx.x];
    return sum;
}

__device__ __forceinline__ void write_constants(float* constants, int C, int c, double mean, double var, double eps, float gamma,
                                                float beta) {
    double inverse_std = 1.0 / sqrt(var + eps);
    constants[c] = mean, constants[C + c] = inverse_std, constants[2 * C + c] = gamma * inverse_std, constants[3 * C + c] = beta;
}

// The statistics of `count` parts of `span` pixels, combined; the constants, and the running
// statistics, moved. Blocks of 32 x 8 threads.
extern "C" __global__ void __launch_bounds__(256)
batch_norm_constants(const float* __restrict__ means, const float* __restrict__ squares, const float* __restrict__ gamma,
                     const float* __restrict__ beta, const float* __restrict__ running_mean,
                     const float* __restrict__ running_var, float* __restrict__ constants, float* __restrict__ new_mean,
                     float* __restrict__ new_var, int P, int C, int count, int span, double momentum, double eps) {
    __shared__ double sums[8][32], sums_of_squares[8][32];
    int c = blockIdx.x * 32 + threadIdx.x, first = c < C ? threadIdx.y : count;
    double sum = 0.0, around = 0.0;
    for (int part = first; part < count; part += 8) sum += (double)min(span, P - part * span) * means[(size_t)part * C + c];
    double mean = sum_of_rows(sum, sums) / P;
    for (int part = first; part < count; part += 8) {
        double delta = means[(size_t)part * C + c] - mean;
        around += squares[(size_t)part * C + c] + min(span, P - part * span) * delta * delta;
    }
    double var = sum_of_rows(around, sums_of_squares) / P;
    if (threadIdx.y || c >= C) return;
    write_constants(constants, C, c, mean, var, eps, gamma[c], beta[c]);
    if (running_mean) new_mean[c] = (1.0 - momentum) * running_mean[c] + momentum * mean;
    if (running_var) new_var[c] = (1.0 - momentum) * running_var[c] + momentum * (var * P / (P - 1.0));
}

// The constants of inference: by the running statistics.
extern "C" __global__ void __launch_bounds__(256)
batch_norm_running_constants(const float* __restrict__ gamma, const float* __restrict__ beta,
                             const float* __restrict__ running_mean, const float* __restrict__ running_var,
                             float* __restrict__ constants, int C, double eps) {
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c < C) write_constants(constants, C, c, running_mean[c], running_var[c], eps, gamma[c], beta[c]);
}

// --- the sweep that normalises ---------------------------------------------------------------------------------------

// The largest of four, and its place; the first of equals, and NaN is largest.
__device__ __forceinline__ unsigned largest(const float (&v)[4], float& best) {
    unsigned index = 0;
    best = v[0];
#pragma unroll
    for (int place = 1; place < 4; ++place)
        if (v[place] > best || (v[place] != v[place] && best == best)) best = v[place], index = place;
    return index;
}

// y, of `pixels` pixels; pixels are shared out over blockIdx.y and threadIdx.y.
extern "C" __global__ void __launch_bounds__(256)
batch_norm_apply(const float* __restrict__ x, const float* __restrict__ constants, float* __restrict__ y,
                 int pixels, int C, int relu) {
    Channels s = channels_of_thread(C, aligned(x) && aligned(y));
    if (!s.n) return;
    Constants k(constants, C, s);
    over_channels(s, [&](Channels s) {
#pragma unroll 4
        for (int p = blockIdx.y * blockDim.y + threadIdx.y; p < pixels; p += gridDim.y * blockDim.y) {
            float v[4];
            load4(v, x + (size_t)p * C + s.c, s);
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                v[e] = k.before_relu(v[e], e);
                if (relu && v[e] <= 0.0f) v[e] = 0.0f;
            }
            store4(y + (size_t)p * C + s.c, v, s);
        }
    });
}

// The same with pooling: pixels of y (N, H / 2, W / 2, C), and the place in the window that each number came from, or CLOSED.
extern "C" __global__ void __launch_bounds__(256)
batch_norm_apply_and_pool(const float* __restrict__ x, const float* __restrict__ constants, float* __restrict__ y,
                          unsigned char* __restrict__ argmax, int pixels, int H, int W, int C, int relu) {
    Channels s = channels_of_thread(C, aligned(x) && aligned(y) && aligned(argmax, 4));
    if (!s.n) return;
    Constants k(constants, C, s);
    int rows = H / 2, columns = W / 2;
    over_channels(s, [&](Channels s) {
        for (int p = blockIdx.y * blockDim.y + threadIdx.y; p < pixels; p += gridDim.y * blockDim.y) {
            const float* top = x + (((size_t)(p / columns / rows) * H + p / columns % rows * 2) * W + p % columns * 2) * C + s.c;
            float v[4][4], best[4];
#pragma unroll
            for (int place = 0; place < 4; ++place) load4(v[place], top + ((size_t)(place / 2) * W + place % 2) * C, s);
            unsigned bytes = 0;
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                float z[4] = {k.before_relu(v[0][e], e), k.before_relu(v[1][e], e),
                              k.before_relu(v[2][e], e), k.before_relu(v[3][e], e)};
                unsigned index = largest(z, best[e]);
                if (relu && best[e] <= 0.0f) best[e] = 0.0f, index = CLOSED;
                bytes |= index << 8 * e;
            }
            store4(y + (size_t)p * C + s.c, best, s);
            if (!argmax) continue;
            if (s.vectorised) *(unsigned*)(argmax + (size_t)p * C + s.c) = bytes;
            else
                for (int e = 0; e < s.n; ++e) argmax[(size_t)p * C + s.c + e] = bytes >> 8 * e & 0xff;
        }
    });
}

// --- backward --------------------------------------------------------------------------------------------------------

// The gradient before ReLU: whether it was open is computed anew from x.
__device__ __forceinline__ float opened(float dy, float x, const Constants& k, int e, int relu) {
    return relu && k.before_relu(x, e) <= 0.0f ? 0.0f : dy;
}

__device__ __forceinline__ unsigned load_bytes(const unsigned char* from, Channels s) {
    if (s.vectorised) return *(const unsigned*)from;
    unsigned bytes = 0;
    for (int e = 0; e < s.n; ++e) bytes |= (unsigned)from[e] << 8 * e;
    return bytes;
}

// 1. A block for a channel: dbeta = Σ dz, dgamma = Σ dz x̂.
extern "C" __global__ void __launch_bounds__(256)
batch_norm_gradients_1(const float* __restrict__ dy, const float* __restrict__ x, const unsigned char* __restrict__ argmax,
                       const float* __restrict__ constants, float* __restrict__ dgamma, float* __restrict__ dbeta,
                       int pixels, int H, int W, int C, int relu) {
    __shared__ float sums[32], sums_along[32];
    int c = blockIdx.x, rows = H / 2, columns = W / 2;
    Constants k(constants, C, {c, 1, false});
    float sum = 0.0f, along = 0.0f;
    for (int p = threadIdx.x; p < pixels; p += blockDim.x) {
        size_t at = (size_t)p * C + c, from = at;
        int index = argmax ? argmax[at] : 0;
        if (argmax) {
            int h = p / columns % rows * 2 + index / 2 % 2, w = p % columns * 2 + index % 2;
            from = (((size_t)(p / columns / rows) * H + h) * W + w) * C + c;
        }
        float dz = argmax ? (index == CLOSED ? 0.0f : dy[at]) : opened(dy[at], x[from], k, 0, relu);
        sum += dz, along += dz * k.normalised(x[from], 0);
    }
    sum = block_sum(sum, sums), along = block_sum(along, sums_along);
    if (threadIdx.x == 0) dbeta[c] = sum, dgamma[c] = along;
}

// 2. Part blockIdx.y of `parts` (2, count, C): Σ dz x̂, and Σ dz. With pooling, pixels are windows.
extern "C" __global__ void __launch_bounds__(256)
batch_norm_gradients_2(const float* __restrict__ dy, const float* __restrict__ x, const unsigned char* __restrict__ argmax,
                       const float* __restrict__ constants, float* __restrict__ parts,
                       int pixels, int H, int W, int C, int relu) {
    __shared__ float4 rows_along[256], rows_sum[256];
    Channels s = channels_of_thread(C, aligned(x) && aligned(dy) && aligned(argmax, 4));
    Constants k(constants, C, s);
    int rows = H / 2, columns = W / 2, own = threadIdx.y * blockDim.x + threadIdx.x;
    float sum[4] = {}, along[4] = {};
    over_channels(s, [&](Channels s) {
        if (!argmax) {
#pragma unroll 4
            for (int p = blockIdx.y * blockDim.y + threadIdx.y; p < pixels; p += gridDim.y * blockDim.y) {
                float d[4], v[4];
                load4(d, dy + (size_t)p * C + s.c, s), load4(v, x + (size_t)p * C + s.c, s);
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    float dz = opened(d[e], v[e], k, e, relu);
                    sum[e] += dz, along[e] += dz * k.normalised(v[e], e);
                }
            }
        } else {
            for (int p = blockIdx.y * blockDim.y + threadIdx.y; p < pixels; p += gridDim.y * blockDim.y) {
                const float* top =
                    x + (((size_t)(p / columns / rows) * H + p / columns % rows * 2) * W + p % columns * 2) * C + s.c;
                unsigned bytes = load_bytes(argmax + (size_t)p * C + s.c, s);
                float d[4], v[4][4];
                load4(d, dy + (size_t)p * C + s.c, s);
#pragma unroll
                for (int place = 0; place < 4; ++place) load4(v[place], top + ((size_t)(place / 2) * W + place % 2) * C, s);
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    unsigned index = bytes >> 8 * e & 0xff;
                    if (index == CLOSED) continue;
                    float from = index == 0 ? v[0][e] : index == 1 ? v[1][e] : index == 2 ? v[2][e] : v[3][e];
                    sum[e] += d[e], along[e] += d[e] * k.normalised(from, e);
                }
            }
        }
    });
    rows_along[own] = make_float4(along[0], along[1], along[2], along[3]);
    rows_sum[own] = make_float4(sum[0], sum[1], sum[2], sum[3]);
    __syncthreads();
    if (threadIdx.y > 1 || !s.n) return;  // one row of threads for each of the two
    const float4* from = threadIdx.y ? rows_sum : rows_along;
    float total[4] = {};
    for (int t = 0; t < blockDim.y; ++t) {
        float4 row = from[t * blockDim.x + threadIdx.x];
        total[0] += row.x, total[1] += row.y, total[2] += row.z, total[3] += row.w;
    }
    s.vectorised = C % 4 == 0 && aligned(parts);
    store4(parts + ((size_t)threadIdx.y * gridDim.y + blockIdx.y) * C + s.c, total, s);
}

// dgamma and dbeta: the parts of blockIdx.y, added up. Blocks of 32 x 8 threads.
extern "C" __global__ void __launch_bounds__(256)
batch_norm_sum_gradients(const float* __restrict__ parts, float* __restrict__ dgamma, float* __restrict__ dbeta,
                         int count, int C) {
    __shared__ double scratch[8][32];
    int c = blockIdx.x * 32 + threadIdx.x;
    const float* from = parts + (size_t)blockIdx.y * count * C + c;
    double sum = 0.0;
    if (c < C)
        for (int part = threadIdx.y; part < count; part += 8) sum += from[(size_t)part * C];
    sum = sum_of_rows(sum, scratch);
    if (threadIdx.y == 0 && c < C) (blockIdx.y ? dbeta : dgamma)[c] = sum;
}

// What dx takes away from dz.
struct Projection {
    float mean[4], along[4];
    __device__ Projection(const float* dgamma, const float* dbeta, int P, Channels s) {
        s.vectorised = false;
        load4(mean, dbeta + s.c, s), load4(along, dgamma + s.c, s);
#pragma unroll
        for (int e = 0; e < 4; ++e) mean[e] /= P, along[e] /= P;
    }
    __device__ float input_gradient(float dz, float x, const Constants& k, int e) const {
        return k.scale[e] * (dz - mean[e] - k.normalised(x, e) * along[e]);
    }
};

extern "C" __global__ void __launch_bounds__(256)
batch_norm_backward(const float* __restrict__ dy, const float* __restrict__ x, const float* __restrict__ constants,
                    const float* __restrict__ dgamma, const float* __restrict__ dbeta, float* __restrict__ dx,
                    int P, int C, int relu) {
    Channels s = channels_of_thread(C, aligned(x) && aligned(dy) && aligned(dx));
    if (!s.n) return;
    Constants k(constants, C, s);
    Projection away(dgamma, dbeta, P, s);
    over_channels(s, [&](Channels s) {
#pragma unroll 2
        for (int p = blockIdx.y * blockDim.y + threadIdx.y; p < P; p += gridDim.y * blockDim.y) {
            float d[4], v[4];
            load4(d, dy + (size_t)p * C + s.c, s), load4(v, x + (size_t)p * C + s.c, s);
#pragma unroll
            for (int e = 0; e < 4; ++e) d[e] = away.input_gradient(opened(d[e], v[e], k, e, relu), v[e], k, e);
            store4(dx + (size_t)p * C + s.c, d, s);
        }
    });
}

// With pooling: windows, those included that the border cuts off: their pixels moved the mean and the variance, no more.
extern "C" __global__ void __launch_bounds__(256)
batch_norm_backward_from_pool(const float* __restrict__ dy, const float* __restrict__ x, const unsigned char* __restrict__ argmax,
                              const float* __restrict__ constants, const float* __restrict__ dgamma,
                              const float* __restrict__ dbeta, float* __restrict__ dx, int N, int H, int W, int C) {
    Channels s = channels_of_thread(C, aligned(x) && aligned(dy) && aligned(dx) && aligned(argmax, 4));
    if (!s.n) return;
    Constants k(constants, C, s);
    Projection away(dgamma, dbeta, N * H * W, s);
    int rows = (H + 1) / 2, columns = (W + 1) / 2, windows = N * rows * columns;
    over_channels(s, [&](Channels s) {
        for (int p = blockIdx.y * blockDim.y + threadIdx.y; p < windows; p += gridDim.y * blockDim.y) {
            int n = p / columns / rows, h = p / columns % rows, w = p % columns;
            float gradient[4] = {};
            unsigned bytes = 0;
            if (h < H / 2 && w < W / 2) {
                size_t at = (((size_t)n * (H / 2) + h) * (W / 2) + w) * C + s.c;
                load4(gradient, dy + at, s);
                bytes = load_bytes(argmax + at, s);
            }
#pragma unroll
            for (int place = 0; place < 4; ++place) {
                int i = 2 * h + place / 2, j = 2 * w + place % 2;
                if (i >= H || j >= W) continue;
                size_t at = (((size_t)n * H + i) * W + j) * C + s.c;
                float v[4];
                load4(v, x + at, s);
#pragma unroll
                for (int e = 0; e < 4; ++e)
                    v[e] = away.input_gradient((bytes >> 8 * e & 0xff) == place ? gradient[e] : 0.0f, v[e], k, e);
                store4(dx + at, v, s);
            }
        }
    });
}
