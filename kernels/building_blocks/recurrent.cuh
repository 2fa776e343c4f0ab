// What a kernel is made of that takes a recurrent layer through a whole sequence in one launch, its weights kept on the chip.
//
// Such a kernel lives on all processors at once. Blocks share the columns of the recurrent weights and the rows of the batch: block (x, y)
// has the columns of its own units and the rows of its own sequences. Columns come in fours (a unit's four gates in an LSTM, four
// neighbouring units else), `quads` of them a block: 8, 16 or 32.
//
// forward   h_{t-1} of the block's rows is read from the second-level cache, multiplied by the block's columns, and the block's own part of
//           h_t goes back there. Then all blocks meet, once a step.
// backward  da_t of the block's own columns is made where it is needed: it never travels. What travels is its product with the block's
//           columns of Wh: a part of dh_{t-1} for every unit, which the unit's own block adds up, in an order that is always the same. To
//           read all of da_t instead would be twice as much for an LSTM.
//
// A thread multiplies ROWS rows by four columns over its share of the sum, so that 8 loads of 16 bytes serve up to 128 multiply-adds. Its
// weights are nobody else's: they lie in shared memory as if they were registers, read without a bank conflict, in the order of use.
#pragma once
#include "scratchlv.cuh"

#define MOST_ROWS 8  // that a block takes through a step at a time
#define FOUR 9       // float4s from four terms of a sum to the next four: of 8 rows, and one more, so that neighbours meet no bank conflict

// Where the thread's own weights begin, of `slots` float4s; they lie 32 apart.
__device__ __forceinline__ float4* own_weights(float4* weights, int slots) {
    return weights + threadIdx.x / 32 * slots * 32 + threadIdx.x % 32;
}

// sums[4 row + c] += states[row] · weights[c], over `steps` times four terms, `apart` fours from each other. All places but one are known
// when it is compiled: next to nothing is computed but products.
template <int ROWS>
__device__ __forceinline__ void multiply(float (&sums)[4 * ROWS], const float4* weights, const float4* states, int steps, int apart) {
#pragma unroll 2
    for (const float4* end = weights + 4 * 32 * steps; weights < end; weights += 4 * 32, states += apart * FOUR) {
        float4 w[4];
#pragma unroll
        for (int c = 0; c < 4; ++c) w[c] = weights[32 * c];
#pragma unroll
        for (int row = 0; row < ROWS; ++row) {
            float4 s = states[row];
#pragma unroll
            for (int c = 0; c < 4; ++c) {
                float& sum = sums[4 * row + c];
                sum += s.x * w[c].x;
                sum += s.y * w[c].y;
                sum += s.z * w[c].z;
                sum += s.w * w[c].w;
            }
        }
    }
}

// Of 2 KEPT sums, a lane keeps half and gives half to the lane `apart` from it, which keeps the other half.
template <int KEPT> __device__ __forceinline__ void exchange(float* sums, int apart) {
    bool upper = threadIdx.x & apart;
#pragma unroll
    for (int i = 0; i < KEPT; ++i) {
        float given = upper ? sums[i] : sums[i + KEPT], own = upper ? sums[i + KEPT] : sums[i];
        sums[i] = own + __shfl_xor_sync(FULL_WARP, given, apart);
    }
}

// Lanes `width` apart (8, 16 or 32) hold parts of the same sums. They are added up, and each of these lanes keeps its share of the rows:
// ROWS width / 32 of them, moved to the front.
template <int ROWS> __device__ __forceinline__ void add_lanes(float (&sums)[4 * ROWS], int width) {
    if (width <= 16) exchange<2 * ROWS>(sums, 16);
    if (width <= 8) exchange<ROWS>(sums, 8);
}

// A warp's part of a product: for each of ROWS rows and each quad that a lane has (lanes `width` apart have the same), four sums,
// written to out[row * out_stride], by the lane whose share the row is.
template <int ROWS>
__device__ __forceinline__ void product(const float4* weights, const float4* states, int steps, int apart, int width, float4* out,
                                        size_t out_stride, int rows) {
    float sums[4 * ROWS] = {};
    multiply<ROWS>(sums, weights, states, steps, apart);
    add_lanes<ROWS>(sums, width);
    int share = ROWS * width / 32, first = (threadIdx.x & 31) / width * share;
#pragma unroll
    for (int i = 0; i < ROWS; ++i)
        if (i < share && first + i < rows)
            out[(first + i) * out_stride] = make_float4(sums[4 * i], sums[4 * i + 1], sums[4 * i + 2], sums[4 * i + 3]);
}

// The weights of four terms, each for four columns, are put where a thread multiplies by them: of a column, all four terms.
__device__ __forceinline__ void set_weights(float4* slots, const float4 (&w)[4]) {
    slots[0] = make_float4(w[0].x, w[1].x, w[2].x, w[3].x);
    slots[32] = make_float4(w[0].y, w[1].y, w[2].y, w[3].y);
    slots[64] = make_float4(w[0].z, w[1].z, w[2].z, w[3].z);
    slots[96] = make_float4(w[0].w, w[1].w, w[2].w, w[3].w);
}

// states[four][row] of `rows` rows of H numbers, `fours` times four, zero from H on. Another block may have just written them: they are
// read past the first-level cache.
__device__ __forceinline__ void load_rows(float4* states, const float* from, int rows, int H, int fours) {
    if (H % 4 == 0 && ((size_t)from & 15) == 0) {
        float4 none = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll 4
        for (int i = threadIdx.x; i < rows * fours; i += blockDim.x) {
            int row = i / fours, k = i % fours;
            states[k * FOUR + row] = 4 * k < H ? __ldcg((const float4*)(from + (size_t)row * H) + k) : none;
        }
    } else {
#pragma unroll 4
        for (int i = threadIdx.x; i < rows * fours * 4; i += blockDim.x) {
            int row = i / (4 * fours), k = i % (4 * fours);
            ((float*)states)[4 * (k / 4 * FOUR + row) + k % 4] = k < H ? __ldcg(from + (size_t)row * H + k) : 0.0f;
        }
    }
}

__device__ __forceinline__ float4 operator+(float4 a, float4 b) { return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w); }

// Parts of dh that `senders` blocks have written for this one, `apart` float4s from each other, are added up: each of `slices` shares of
// the threads adds up every so many of them, and writes sums[slice][at], a tile of `most` float4s.
__device__ __forceinline__ void collect(float4* sums, const float4* parts, int senders, size_t apart, int size, int most, int slices) {
    for (int p = threadIdx.x; p < most * slices; p += blockDim.x) {
        int at = p % most, slice = p / most;
        if (at >= size) continue;
        float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll 4
        for (int sender = slice; sender < senders; sender += slices) sum = sum + __ldcg(parts + sender * apart + at);
        sums[p] = sum;
    }
}
