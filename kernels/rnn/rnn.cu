// The plain recurrent layer, forward and backward: h_t = f(x_t Wx + h_{t-1} Wh + b), f = tanh, or σ where `use_sigmoid` is not 0.
//
// Version 1 takes a step as a product (h_{t-1} Wh, added to x_t Wx, which stands where h_t will stand) and one launch of a cell kernel.
// Version 2 is one launch for all steps: Wh stays in shared memory, and a step costs one meeting of the blocks instead of two launches. See
// recurrent.cuh for who does what.
#ifndef ON_CPU
#include <cooperative_groups.h>
#endif
#include "recurrent.cuh"

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

// The weights from unit k to four neighbours; zero outside.
__device__ __forceinline__ float4 weights_to_four(const float* Wh, int k, int unit, int H) {
    float w[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) w[i] = k < H && unit + i < H ? __ldg(Wh + (size_t)k * H + unit + i) : 0.0f;
    return make_float4(w[0], w[1], w[2], w[3]);
}

// 2. All steps. `h` (T + 1, N, H) enters as x Wx, but for its first, which is written. Block (x, y): 4 `quads` units, `rows` sequences.
// Shared memory holds, as float4s, weights [4 steps][threads], h [steps threads / quads][9] and parts [warps + 1][8][quads].
extern "C" __global__ void __launch_bounds__(256, 1)
rnn_forward(const float* h0, const float* __restrict__ Wh, const float* __restrict__ b, const long long* __restrict__ lengths, float* h,
            int use_sigmoid, int T, int N, int H, int quads, int rows) {
    DYNAMIC_SHARED(float4, weights);
    cooperative_groups::grid_group grid = cooperative_groups::this_grid();
    int tid = threadIdx.x, warps = blockDim.x / 32, groups = blockDim.x / quads, group = tid / quads, units = 4 * quads;
    int steps = ((H + 3) / 4 + groups - 1) / groups, fours = steps * groups, tile = MOST_ROWS * quads;
    int unit0 = blockIdx.x * units, row0 = blockIdx.y * rows;
    rows = min(rows, N - row0);
    float4 *states = weights + 4 * steps * blockDim.x, *parts = states + FOUR * fours, *own = own_weights(weights, 4 * steps);

    for (int i = 0; i < steps; ++i) {
        float4 w[4];
        for (int k = 0; k < 4; ++k) w[k] = weights_to_four(Wh, 4 * (group + groups * i) + k, unit0 + 4 * (tid % quads), H);
        set_weights(own + 4 * i * 32, w);
    }
    for (int i = tid; i < rows * units; i += blockDim.x) {
        size_t at = (size_t)(row0 + i / units) * H + unit0 + i % units;
        if (unit0 + i % units < H) h[at] = h0[at];
    }

    for (int t = 0; t < T; ++t) {
        const float* before = t ? h + (size_t)t * N * H : h0;
        float* after = h + (size_t)(t + 1) * N * H;
        for (int r = 0; r < rows; r += MOST_ROWS) {
            int here = min(MOST_ROWS, rows - r);
            load_rows(states, before + (size_t)(row0 + r) * H, here, H, fours);
            float* from_x = (float*)(parts + warps * tile);  // what x brings is one more part
            for (int i = tid; i < here * units; i += blockDim.x) {
                int unit = unit0 + i % units;
                if (unit < H) from_x[i] = after[(size_t)(row0 + r + i / units) * H + unit] + b[unit];
            }
            __syncthreads();
            float4* out = parts + tid / 32 * tile + tid % quads;
            if (here > 4) product<8>(own, states + group * FOUR, steps, groups, quads, out, quads, here);
            else product<4>(own, states + group * FOUR, steps, groups, quads, out, quads, here);
            __syncthreads();
            for (int i = tid; i < here * units; i += blockDim.x) {
                int unit = unit0 + i % units, n = row0 + r + i / units;
                if (unit >= H) continue;
                float a = from_x[i];
                for (int warp = 0; warp < warps; ++warp) a += ((float*)parts)[4 * warp * tile + i];
                size_t at = (size_t)n * H + unit;
                after[at] = lengths && lengths[n] <= t ? h[(size_t)t * N * H + at] : activation(a, use_sigmoid);
            }
        }
        if (t < T - 1) grid.sync();  // h_t is complete
    }
}

// 2. All steps, from the last to the first; `da` (T, N, H) and `dh0` (N, H) are written. `travel` holds, for two steps by turns, the parts
// of dh: [y][to][from][rows][4 quads]. Lanes of a warp share the sum over a block's quads `groups` ways. Shared memory holds, as float4s,
// weights [4 passes steps][threads], da [quads][9], the sums [slices][8 quads], and dh [rows][quads].
extern "C" __global__ void __launch_bounds__(256, 1)
rnn_backward(float* da, const float* __restrict__ h, const float* __restrict__ dh_above, const float* __restrict__ Wh,
             const long long* __restrict__ lengths, float* travel, float* dh0, int use_sigmoid, int T, int N, int H, int quads, int rows,
             int groups) {
    DYNAMIC_SHARED(float4, weights);
    cooperative_groups::grid_group grid = cooperative_groups::this_grid();
    int tid = threadIdx.x, lane = tid % 32, width = 32 / groups, group = lane / width, steps = quads / groups, units = 4 * quads;
    int j_quads = gridDim.x * quads, at_once = blockDim.x / groups, passes = (j_quads + at_once - 1) / at_once;
    int j_own = tid / 32 * width + lane % width;  // of a pass
    int most = MOST_ROWS * quads, slices = max(1, (int)blockDim.x / most);
    int unit0 = blockIdx.x * units, row0 = blockIdx.y * rows, block_rows = rows;
    rows = min(rows, N - row0);
    float4 *das = weights + 4 * passes * steps * blockDim.x, *sums = das + FOUR * quads, *own = own_weights(weights, 4 * passes * steps);
    float* dh_kept = (float*)(sums + slices * most);
    size_t tile = (size_t)block_rows * units, turn = tile * gridDim.x * gridDim.x * gridDim.y;
    travel += tile * gridDim.x * gridDim.x * blockIdx.y;

    for (int slot = 0; slot < passes * steps; ++slot) {
        int j = 4 * (slot / steps * at_once + j_own), unit = unit0 + 4 * (group + groups * (slot % steps));
        for (int k = 0; k < 4; ++k) own[(4 * slot + k) * 32] = weights_to_four(Wh, j + k, unit, H);
    }
    for (int i = tid; i < rows * units; i += blockDim.x) dh_kept[i] = 0.0f;

    for (int t = T - 1; t >= -1; --t) {  // the last turn, -1, is for dh0
        const float* received = travel + (t + 1) % 2 * turn + blockIdx.x * gridDim.x * tile;
        float* sent = travel + (t & 1) * turn + blockIdx.x * tile;
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
                    dh += dh_above[t * step + at];
                    if (!over) d = dh * slope(h[(t + 1) * step + at], use_sigmoid);
                    dh_kept[r * units + i] = over ? dh : 0.0f;
                    da[t * step + at] = d;
                }
                ((float*)das)[4 * (i % units / 4 * FOUR + i / units) + i % 4] = d;
            }
            __syncthreads();
            for (int pass = 0; t >= 0 && pass < passes; ++pass) {
                int j = pass * at_once + j_own, to = j / quads;  // for whom these four units are
                const float4* w = own + 4 * pass * steps * 32;
                float4* out = (float4*)(sent + (to * gridDim.x) * tile + r * units) + j % quads;
                int wanted = j < j_quads ? here : 0;
                if (here > 4) product<8>(w, das + group * FOUR, steps, groups, width, out, quads, wanted);
                else product<4>(w, das + group * FOUR, steps, groups, width, out, quads, wanted);
            }
        }
        if (t >= 0) grid.sync();  // all parts of dh have been sent
    }
}
