// The plain recurrent layer, forward and backward: h_t = f(x_t Wx + h_{t-1} Wh + b), f = tanh,
// or σ where `use_sigmoid` is not 0.
//
// Version 1 takes a step as a product (h_{t-1} Wh, added to x_t Wx, which stands where h_t will stand) and one launch of
// a cell kernel. Version 2 is one launch for all steps: Wh stays in shared memory, and a step costs one meeting of the blocks
// instead of two launches. See recurrent.cuh for who does what.
#ifndef ON_CPU
#include <cooperative_groups.h>
#endif
#include "recurrent.cuh"

__device__ __forceinline__ float activation(float a, int use_sigmoid) { return use_sigmoid ? sigmoid(a) : tanhf(a); }
__device__ __forceinline__ float slope(float h, int use_sigmoid) { return use_sigmoid ? h * (1.0f - h) : 1.0f - h * h; }

// 1. `h_after` (N, H) enters as x Wx + h Wh + b. Past its length a sequence's state is copied.
extern "C" __global__ void __launch_bounds__(256)
rnn_cell_forward(const float* h_before, float* h_after, const long long* __restrict__ lengths,
                 int use_sigmoid, int t, int N, int H) {
    for (size_t at = blockIdx.x * (size_t)blockDim.x + threadIdx.x; at < (size_t)N * H; at += gridDim.x * (size_t)blockDim.x)
        h_after[at] = lengths && lengths[at / H] <= t ? h_before[at] : activation(h_after[at], use_sigmoid);
}

// 1. `dh` (N, H) enters as what comes from the step after, and leaves as what goes to the step before once da Whᵀ is added
// to it: zero, or what it was where a sequence is over. `da` (N, H) is the gradient of the pre-activations.
extern "C" __global__ void __launch_bounds__(256)
rnn_cell_backward(float* __restrict__ da, const float* __restrict__ h_after, const float* __restrict__ dh_out, float* dh,
                  const long long* __restrict__ lengths, int use_sigmoid, int t, int N, int H) {
    for (size_t at = blockIdx.x * (size_t)blockDim.x + threadIdx.x; at < (size_t)N * H; at += gridDim.x * (size_t)blockDim.x) {
        bool over = lengths && lengths[at / H] <= t;
        float dh_n = dh[at] + dh_out[at];
        da[at] = over ? 0.0f : dh_n * slope(h_after[at], use_sigmoid);
        dh[at] = over ? dh_n : 0.0f;
    }
}

// The weight from unit k to a column of the block, one of its units. Outside it is zero.
struct UnitWeights {
    const float* Wh;
    int unit0, H;

    __device__ __forceinline__ float operator()(int k, int column) const {
        return k < H && unit0 + column < H ? Wh[(size_t)k * H + unit0 + column] : 0.0f;
    }
};

// 2. All steps. `h` (T + 1, N, H) enters as x Wx, but for its first, which is written. Block (x, y): 4 `quads` units,
// `rows` sequences. Shared memory holds what ForwardProduct needs, and one more of its parts.
extern "C" __global__ void __launch_bounds__(256, 1)
rnn_forward(const float* h0, const float* __restrict__ Wh, const float* __restrict__ b, const long long* __restrict__ lengths,
            float* h, int use_sigmoid, int T, int N, int H, int quads, int rows, int tf32) {
    DYNAMIC_SHARED(float4, memory);
    cooperative_groups::grid_group grid = cooperative_groups::this_grid();
    ForwardProduct product(memory, H, quads, tf32);
    int tid = threadIdx.x, warps = blockDim.x / 32, units = 4 * quads, unit0 = blockIdx.x * units, row0 = blockIdx.y * rows;
    rows = min(rows, N - row0);
    float* from_x = (float*)product.part(warps);  // what x brings is one more part

    product.load(UnitWeights{Wh, unit0, H});
    for (int i = tid; i < rows * units; i += blockDim.x) {
        size_t at = (size_t)(row0 + i / units) * H + unit0 + i % units;
        if (unit0 + i % units < H) h[at] = h0[at];
    }

    for (int t = 0; t < T; ++t) {
        const float* before = t ? h + (size_t)t * N * H : h0;
        float* after = h + (size_t)(t + 1) * N * H;
        for (int r = 0; r < rows; r += MOST_ROWS) {
            int here = min(MOST_ROWS, rows - r);
            load_rows(product.states, before + (size_t)(row0 + r) * H, here, H, product.fours);
            for (int i = tid; i < here * units; i += blockDim.x) {
                int unit = unit0 + i % units;
                if (unit < H) from_x[4 * (i / units) + i] = after[(size_t)(row0 + r + i / units) * H + unit] + b[unit];
            }
            __syncthreads();
            product(here);
            __syncthreads();
            for (int i = tid; i < here * units; i += blockDim.x) {
                int unit = unit0 + i % units, n = row0 + r + i / units;
                if (unit >= H) continue;
                float a = from_x[4 * (i / units) + i];  // a row of a part is four longer than units
                for (int warp = 0; warp < warps; ++warp) a += ((float*)product.part(warp))[4 * (i / units) + i];
                size_t at = (size_t)n * H + unit;
                after[at] = lengths && lengths[n] <= t ? h[(size_t)t * N * H + at] : activation(a, use_sigmoid);
            }
        }
        if (t < T - 1) grid.sync();  // h_t is complete
    }
}

// 2. All steps, from the last to the first; `da` (T, N, H) and `dh0` (N, H) are written. `dh_partials` is two buffers, for the
// steps by turns, of the partial sums of dh: [y][to][from][rows][4 quads]. Shared memory holds what BackwardProduct needs, of
// which `lanes` of a warp share a sum, the sums [slices][8 quads] as float4s, and dh [rows][4 quads].
extern "C" __global__ void __launch_bounds__(256, 1)
rnn_backward(float* da, const float* __restrict__ h, const float* __restrict__ dh_out, const float* __restrict__ Wh,
             const long long* __restrict__ lengths, float* dh_partials, float* dh0,
             int use_sigmoid, int T, int N, int H, int quads, int rows, int lanes, int tf32) {
    DYNAMIC_SHARED(float4, memory);
    cooperative_groups::grid_group grid = cooperative_groups::this_grid();
    int tid = threadIdx.x, units = 4 * quads, most = MOST_ROWS * quads, slices = max(1, (int)blockDim.x / most);
    int unit0 = blockIdx.x * units, row0 = blockIdx.y * rows;
    BackwardProduct product(memory, quads, units, lanes, tf32);
    size_t tile = (size_t)rows * units, buffer_size = tile * gridDim.x * gridDim.x * gridDim.y;
    rows = min(rows, N - row0);
    float4* sums = product.end;
    float* dh_kept = (float*)(sums + slices * most);
    dh_partials += tile * gridDim.x * gridDim.x * blockIdx.y;

    product.load(UnitWeights{Wh, unit0, H});
    for (int i = tid; i < rows * units; i += blockDim.x) dh_kept[i] = 0.0f;

    for (int t = T - 1; t >= -1; --t) {  // the last, -1, is for dh0
        const float* received = dh_partials + (t + 1) % 2 * buffer_size + blockIdx.x * gridDim.x * tile;
        float* sent = dh_partials + (t & 1) * buffer_size + blockIdx.x * tile;
        for (int r = 0; r < rows; r += MOST_ROWS) {
            int here = min(MOST_ROWS, rows - r);
            if (t < T - 1) collect(sums, (const float4*)(received + r * units), gridDim.x, tile / 4, here * quads, most, slices);
            __syncthreads();
            for (int i = tid; i < here * units; i += blockDim.x) {
                int unit = unit0 + i % units, n = row0 + r + i / units;
                size_t at = (size_t)n * H + unit, step = (size_t)N * H;
                float dh = dh_kept[r * units + i], d = 0.0f;
                if (t < T - 1)
                    for (int slice = 0; slice < slices; ++slice) dh += ((float*)sums)[4 * slice * most + i];
                if (unit < H && t < 0) dh0[at] = dh;
                else if (unit < H) {
                    bool over = lengths && lengths[n] <= t;
                    dh += dh_out[t * step + at];
                    if (!over) d = dh * slope(h[(t + 1) * step + at], use_sigmoid);
                    dh_kept[r * units + i] = over ? dh : 0.0f;
                    da[t * step + at] = d;
                }
                ((float*)product.states)[4 * (i % units / 4 * FOUR + i / units) + i % 4] = d;
            }
            __syncthreads();
            if (t >= 0) product(here, sent + r * units, tile);
        }
        if (t >= 0) grid.sync();  // all parts of dh have been sent
    }
}
