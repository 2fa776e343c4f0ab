// The LSTM cell, forward and backward; the gates lie in the order i, f, g, o.
//
// Version 1 takes a step as a product (h_{t-1} Wh, added to x_t Wx) and one launch of a cell kernel, which does all
// that is between two products: 4 σ and tanh, c, h, and the sequences that are over. A number of c and h is a thread:
// the usual 32 sequences of 512 numbers are 64 blocks, so more threads are worth more than wider loads, and neighbours read
// neighbours in all seven arrays. Version 2 is one launch for all steps: Wh stays in shared memory, c and dc stay where they are
// used, and a step costs one meeting of the blocks instead of two launches. See recurrent.cuh for who does what.
#ifndef ON_CPU
#include <cooperative_groups.h>
#endif
#include "recurrent.cuh"

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

// 1. `dh` and `dc` (N, H) enter as what comes from the step after; `da` (N, 4H) is the gradient of the pre-activations.
// `dc` leaves as what goes to the step before, and so does `dh` once da Whᵀ is added to it:
// zero, or what it was where a sequence is over.
extern "C" __global__ void __launch_bounds__(256)
lstm_cell_backward(float* __restrict__ da, const float* __restrict__ gates, const float* __restrict__ c_before,
                   const float* __restrict__ c_after, const float* __restrict__ dh_out, float* dh, float* dc,
                   const long long* __restrict__ lengths, int t, int N, int H) {
    for (size_t at = blockIdx.x * (size_t)blockDim.x + threadIdx.x; at < (size_t)N * H; at += gridDim.x * (size_t)blockDim.x) {
        int n = at / H;
        size_t first = at + (size_t)n * 3 * H;
        float* da_n = da + first;
        float dh_n = dh_out ? dh[at] + dh_out[at] : dh[at];
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

__device__ __forceinline__ float4 gate_values(const float* first, int H) {
    return make_float4(first[0], first[H], first[2 * H], first[3 * H]);
}

// The weight from unit k to a column of the block, which has four for a unit: its gates. Outside it is zero.
struct GateWeights {
    const float* Wh;
    int unit0, H;

    __device__ __forceinline__ float operator()(int k, int column) const {
        int unit = unit0 + column / 4;
        return k < H && unit < H ? Wh[((size_t)k * 4 + column % 4) * H + unit] : 0.0f;
    }
};

// 2. All steps. `gates` (T, N, 4H) enter as x Wx; with `keep` they leave after σ and tanh, and all c (T + 1, N, H)
// are written, else only the last (N, H). `h` is (T + 1, N, H), its first the h0. Block (x, y): `quads` units, `rows` sequences.
// Shared memory holds what ForwardProduct needs, one more of its parts, and c [rows][quads].
extern "C" __global__ void __launch_bounds__(256, 1)
lstm_forward(float* gates, const float* h0, const float* c0, const float* __restrict__ Wh, const float* __restrict__ b,
             const long long* __restrict__ lengths, float* h, float* c,
             int keep, int T, int N, int H, int quads, int rows, int tf32) {
    DYNAMIC_SHARED(float4, memory);
    cooperative_groups::grid_group grid = cooperative_groups::this_grid();
    ForwardProduct product(memory, H, quads, tf32);
    int tid = threadIdx.x, warps = blockDim.x / 32, unit0 = blockIdx.x * quads, row0 = blockIdx.y * rows;
    rows = min(rows, N - row0);
    float4* from_x = product.part(warps);  // what x brings is one more part
    float* c_own = (float*)product.part(warps + 1);

    product.load(GateWeights{Wh, unit0, H});
    for (int i = tid; i < rows * quads; i += blockDim.x) {
        int unit = unit0 + i % quads;
        if (unit >= H) continue;
        size_t at = (size_t)(row0 + i / quads) * H + unit;
        h[at] = h0[at];
        c_own[i] = c0[at];
        if (keep) c[at] = c0[at];
    }

    for (int t = 0; t < T; ++t) {
        const float* before = t ? h + (size_t)t * N * H : h0;
        for (int r = 0; r < rows; r += MOST_ROWS) {
            int here = min(MOST_ROWS, rows - r);
            load_rows(product.states, before + (size_t)(row0 + r) * H, here, H, product.fours);
            for (int i = tid; i < here * quads; i += blockDim.x) {
                int unit = unit0 + i % quads;
                const float* gate = gates + ((size_t)t * N + row0 + r + i / quads) * 4 * H + unit;
                if (unit < H) from_x[i / quads + i] = gate_values(gate, H) + gate_values(b + unit, H);
            }
            __syncthreads();
            product(here);
            __syncthreads();
            for (int i = tid; i < here * quads; i += blockDim.x) {
                int unit = unit0 + i % quads, n = row0 + r + i / quads;
                if (unit >= H) continue;
                float4 a = from_x[i / quads + i];  // a row of a part is one longer than quads
                for (int warp = 0; warp < warps; ++warp) a = a + product.part(warp)[i / quads + i];
                size_t at = (size_t)n * H + unit, step = (size_t)N * H;
                float c_here = c_own[r * quads + i], h_here;
                if (lengths && lengths[n] <= t) h_here = h[t * step + at];
                else {
                    float4 gate = make_float4(sigmoid(a.x), sigmoid(a.y), tanhf(a.z), sigmoid(a.w));
                    c_here = gate.y * c_here + gate.x * gate.z;
                    h_here = gate.w * tanhf(c_here);
                    if (keep) {
                        float* to = gates + ((size_t)t * N + n) * 4 * H + unit;
                        to[0] = gate.x, to[H] = gate.y, to[2 * H] = gate.z, to[3 * H] = gate.w;
                    }
                }
                c_own[r * quads + i] = c_here;
                h[(t + 1) * step + at] = h_here;
                if (keep) c[(t + 1) * step + at] = c_here;
                else if (t == T - 1) c[at] = c_here;
            }
        }
        if (t < T - 1) grid.sync();  // h_t is complete
    }
}

// 2. All steps, from the last to the first; `da` (T, N, 4H), `dh0` and `dc0` (N, H) are written. `dh_partials` is two buffers,
// for the steps by turns, of the partial sums of dh: [y][to][from][rows][quads]. Shared memory holds what BackwardProduct needs,
// of which `lanes` of a warp share a sum, the sums [slices][2 quads] as float4s, and dh and dc [rows][quads].
extern "C" __global__ void __launch_bounds__(256, 1)
lstm_backward(float* da, const float* __restrict__ gates, const float* __restrict__ c, const float* __restrict__ dh_out,
              const float* __restrict__ dc_last, const float* __restrict__ Wh, const long long* __restrict__ lengths,
              float* dh_partials, float* dh0, float* dc0, int T, int N, int H, int quads, int rows, int lanes, int tf32) {
    DYNAMIC_SHARED(float4, memory);
    cooperative_groups::grid_group grid = cooperative_groups::this_grid();
    BackwardProduct product(memory, quads, quads, lanes, tf32);
    int tid = threadIdx.x, most = MOST_ROWS * quads / 4, slices = max(1, (int)blockDim.x / most);
    int unit0 = blockIdx.x * quads, row0 = blockIdx.y * rows;
    size_t tile = (size_t)rows * quads, buffer_size = tile * gridDim.x * gridDim.x * gridDim.y;
    rows = min(rows, N - row0);
    float4* sums = product.end;
    float *dh_kept = (float*)(sums + slices * most), *dc_own = dh_kept + rows * quads;
    dh_partials += tile * gridDim.x * gridDim.x * blockIdx.y;

    product.load(GateWeights{Wh, unit0, H});
    for (int i = tid; i < rows * quads; i += blockDim.x) {
        int unit = unit0 + i % quads;
        dh_kept[i] = 0.0f;
        dc_own[i] = dc_last && unit < H ? dc_last[(size_t)(row0 + i / quads) * H + unit] : 0.0f;
    }

    for (int t = T - 1; t >= -1; --t) {  // the last, -1, is for dh0
        const float* received = dh_partials + (t + 1) % 2 * buffer_size + blockIdx.x * gridDim.x * tile;
        float* sent = dh_partials + (t & 1) * buffer_size + blockIdx.x * tile;
        for (int r = 0; r < rows; r += MOST_ROWS) {
            int here = min(MOST_ROWS, rows - r);
            if (t < T - 1)
                collect(sums, (const float4*)(received + r * quads), gridDim.x, tile / 4, here * quads / 4, most, slices);
            __syncthreads();
            for (int i = tid; i < here * quads; i += blockDim.x) {
                int unit = unit0 + i % quads, n = row0 + r + i / quads;
                size_t at = (size_t)n * H + unit, step = (size_t)N * H;
                float dh = dh_kept[r * quads + i], dc = dc_own[r * quads + i];
                float4 d = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
                if (t < T - 1)
                    for (int slice = 0; slice < slices; ++slice) dh += ((float*)sums)[4 * slice * most + i];
                if (unit < H && t < 0) dh0[at] = dh, dc0[at] = dc;
                else if (unit < H) {
                    if (dh_out) dh += dh_out[t * step + at];
                    dh_kept[r * quads + i] = dh;
                    if (!lengths || lengths[n] > t) {
                        const float* gate = gates + ((size_t)t * N + n) * 4 * H + unit;
                        float in = gate[0], f = gate[H], g = gate[2 * H], o = gate[3 * H], tanh_c = tanhf(c[(t + 1) * step + at]);
                        dc += dh * o * (1.0f - tanh_c * tanh_c);
                        d.x = dc * g * in * (1.0f - in);
                        d.y = dc * c[t * step + at] * f * (1.0f - f);
                        d.z = dc * in * (1.0f - g * g);
                        d.w = dh * tanh_c * o * (1.0f - o);
                        dh_kept[r * quads + i] = 0.0f;
                        dc_own[r * quads + i] = dc * f;
                    }
                    float* to = da + ((size_t)t * N + n) * 4 * H + unit;
                    to[0] = d.x, to[H] = d.y, to[2 * H] = d.z, to[3 * H] = d.w;
                }
                product.states[i % quads * FOUR + i / quads] = d;
            }
            __syncthreads();
            if (t >= 0) product(here, sent + r * quads, tile);
        }
        if (t >= 0) grid.sync();  // all parts of dh have been sent
    }
}
