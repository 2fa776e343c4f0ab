// What a kernel is made of that takes a recurrent layer through a whole sequence in one launch, its weights kept on the chip.
//
// Such a kernel lives on all processors at once. Blocks share the columns of the recurrent weights and the rows of the batch:
// block (x, y) has the columns of its own units and the rows of its own sequences. Columns come in fours
// (a unit's four gates in an LSTM, four neighbouring units else), `quads` of them a block: 8, 16 or 32.
//
// forward   h_{t-1} of the block's rows is read from the second-level cache, multiplied by the block's columns, and the block's
//           own part of h_t goes back there. Then all blocks meet, once a step.
// backward  da_t of the block's own columns is made where it is needed: it never travels. What travels is its product with the
//           block's columns of Wh: a part of dh_{t-1} for every unit, which the unit's own block adds up, in an order that is
//           always the same. To read all of da_t instead would be twice as much for an LSTM.
//
// A thread multiplies ROWS rows by four columns over its share of the sum, so that 8 loads of 16 bytes serve up
// to 128 multiply-adds. Its weights are nobody else's: they lie in shared memory as if they were registers, read
// without a bank conflict, in the order of use.
//
// In TF32 tensor cores multiply 16 columns by 8 rows in one instruction of a warp, and reading the weights is all that takes
// time: about half of what the products take in float32. On a CPU the lanes fetch from each other what the instruction does.
#pragma once
#include "float4.cuh"

#define MOST_ROWS 8  // that a block takes through a step at a time
#define FOUR 9       // float4s from four terms of a sum to the next four: of 8 rows, and one more,
                     // so that neighbours meet no bank conflict

// Where a thread's own weights begin, of `slots` float4s; they lie 32 apart.
__device__ __forceinline__ float4* own_weights(float4* weights, int slots, int thread) {
    return weights + thread / 32 * slots * 32 + thread % 32;
}

// sums[4 row + c] += states[row] · weights[c], over `steps` times four terms, `stride` fours from each other. All places but one
// are known when it is compiled: next to nothing is computed but products.
template <int ROWS>
__device__ __forceinline__ void multiply(float (&sums)[4 * ROWS], const float4* weights, const float4* states,
                                         int steps, int stride) {
#pragma unroll 2
    for (const float4* end = weights + 4 * 32 * steps; weights < end; weights += 4 * 32, states += stride * FOUR) {
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

// Of 2 KEPT sums, a lane keeps half and gives half to the lane `offset` from it, which keeps the other half.
template <int KEPT> __device__ __forceinline__ void exchange(float* sums, int offset) {
    bool upper = threadIdx.x & offset;
#pragma unroll
    for (int i = 0; i < KEPT; ++i) {
        float given = upper ? sums[i] : sums[i + KEPT], own = upper ? sums[i + KEPT] : sums[i];
        sums[i] = own + __shfl_xor_sync(FULL_WARP, given, offset);
    }
}

// Lanes `width` apart (8, 16 or 32) hold parts of the same sums. They are added up, and each of these lanes keeps its share of
// the rows: ROWS width / 32 of them, moved to the front.
template <int ROWS> __device__ __forceinline__ void add_lanes(float (&sums)[4 * ROWS], int width) {
    if (width <= 16) exchange<2 * ROWS>(sums, 16);
    if (width <= 8) exchange<ROWS>(sums, 8);
}

// A warp's part of a product: for each of ROWS rows and each quad that a lane has (lanes `width` apart have the same), four sums,
// written to out[row * out_stride], by the lane whose share the row is.
template <int ROWS>
__device__ __forceinline__ void product(const float4* weights, const float4* states, int steps, int stride, int width,
                                        float4* out, size_t out_stride, int rows) {
    float sums[4 * ROWS] = {};
    multiply<ROWS>(sums, weights, states, steps, stride);
    add_lanes<ROWS>(sums, width);
    int share = ROWS * width / 32, first = (threadIdx.x & 31) / width * share;
#pragma unroll
    for (int i = 0; i < ROWS; ++i)
        if (i < share && first + i < rows)
            out[(first + i) * out_stride] = make_float4(sums[4 * i], sums[4 * i + 1], sums[4 * i + 2], sums[4 * i + 3]);
}

// The weights of four columns from `column` on, for four terms from `term` on, are put where a thread multiplies by them.
template <class Weights>
__device__ __forceinline__ void set_weights(float4* slots, const Weights& weights, int term, int column) {
#pragma unroll
    for (int c = 0; c < 4; ++c)
        slots[32 * c] = make_float4(weights(term, column + c), weights(term + 1, column + c), weights(term + 2, column + c),
                                    weights(term + 3, column + c));
}

// states[four][row] of `rows` rows of H numbers, `fours` times four, zero from H on. Another block may have just written them:
// they are read past the first-level cache.
__device__ __forceinline__ void load_rows(float4* states, const float* from, int rows, int H, int fours) {
    if (rows_aligned(from, H)) {
        float4 none = splat(0.0f);
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

// Parts of dh that `senders` blocks have written for this one, `stride` float4s from each other, are added up: each of `slices`
// shares of the threads adds up every so many of them, and writes sums[slice][at], a tile of `most` float4s.
__device__ __forceinline__ void collect(float4* sums, const float4* parts,
                                        int senders, size_t stride, int size, int most, int slices) {
    for (int p = threadIdx.x; p < most * slices; p += blockDim.x) {
        int at = p % most, slice = p / most;
        if (at >= size) continue;
        float4 sum = splat(0.0f);
#pragma unroll 4
        for (int sender = slice; sender < senders; sender += slices) sum = sum + __ldcg(parts + sender * stride + at);
        sums[p] = sum;
    }
}

// --- in TF32, by tensor cores: a warp has 32 columns at a time -------------------------------------------------------

#ifdef ON_CPU
// The nearest number with 10 bits of mantissa, the larger of two that are as near.
__device__ __forceinline__ unsigned to_tf32(float x) {
    unsigned bits = __float_as_uint(x);
    return x - x == 0.0f ? (bits + 0x1000u) & ~0x1fffu : bits;
}

// sums += a b, as the chip does it. Lane 4 g + t has of a, 16 columns and 8 terms, (g, t), (g + 8, t), (g, t + 4) and
// (g + 8, t + 4); of b, 8 terms and 8 rows, (t, g) and (t + 4, g); of the sums (g, 2 t), (g, 2 t + 1), (g + 8, 2 t) and
// (g + 8, 2 t + 1).
__device__ __forceinline__ void multiply_tf32(float (&sums)[4], const uint4& a, unsigned b0, unsigned b1) {
    int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    for (int term = 0; term < 8; ++term) {
        bool late = term >= 4;
        for (int i = 0; i < 4; ++i) {
            unsigned column = __shfl_sync(FULL_WARP, i < 2 ? (late ? a.z : a.x) : (late ? a.w : a.y), 4 * g + term % 4);
            unsigned row = __shfl_sync(FULL_WARP, late ? b1 : b0, 4 * (2 * t + i % 2) + term % 4);
            sums[i] += __uint_as_float(column) * __uint_as_float(row);
        }
    }
}
#elif __CUDA_ARCH__ >= 800
__device__ __forceinline__ unsigned to_tf32(float x) {
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return bits;
}

__device__ __forceinline__ void multiply_tf32(float (&sums)[4], const uint4& a, unsigned b0, unsigned b1) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
}
#else  // an older chip has none, and is not asked to
__device__ __forceinline__ unsigned to_tf32(float) { return 0; }
__device__ __forceinline__ void multiply_tf32(float (&)[4], const uint4&, unsigned, unsigned) {}
#endif

// Of the weights of 32 columns from `column` on, for eight terms from `term` on, those of a warp's `lane` are put where it
// multiplies by them.
template <class Weights>
__device__ __forceinline__ void set_weights_tf32(float4* slots, const Weights& weights, int term, int column, int lane) {
    int g = lane / 4, t = lane % 4;
    for (int half = 0; half < 2; ++half) {
        const int c = column + 16 * half + g, k = term + t;
        ((uint4*)slots)[32 * half] = make_uint4(to_tf32(weights(k, c)), to_tf32(weights(k, c + 8)), to_tf32(weights(k + 4, c)),
                                                to_tf32(weights(k + 4, c + 8)));
    }
}

// Where a product's columns go: beside each other,
struct Same {
    __device__ __forceinline__ bool wanted(int) const { return true; }
    __device__ __forceinline__ size_t operator()(int column) const { return column; }
};

// or, columns from `first` on of `all`, to the block whose they are, `stride` floats from the one before.
struct Sent {
    int first, units, all;
    size_t stride;
    __device__ __forceinline__ bool wanted(int column) const { return first + column < all; }
    __device__ __forceinline__ size_t operator()(int column) const {
        return (first + column) / units * stride + (first + column) % units;
    }
};

template <class Weights> struct Transposed {
    const Weights& weights;
    __device__ __forceinline__ float operator()(int column, int k) const { return weights(k, column); }
};

// A warp's part of a product, over `steps` times eight terms, `stride` fours from each other: 32 columns of `rows` rows.
// Column i of a row goes to out[row * out_stride + place(i)].
template <class Place>
__device__ __forceinline__ void product_tf32(const float4* weights, const float4* states,
                                             int steps, int stride, int rows, float* out, size_t out_stride, const Place& place) {
    int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    float sums[2][4] = {};
    for (int i = 0; i < steps; ++i, weights += 2 * 32, states += stride * FOUR) {
        unsigned b0 = to_tf32(((const float*)(states + g))[t]), b1 = to_tf32(((const float*)(states + FOUR + g))[t]);
        multiply_tf32(sums[0], *(const uint4*)weights, b0, b1);
        multiply_tf32(sums[1], *(const uint4*)(weights + 32), b0, b1);
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) {
        int row = 2 * t + i % 2, column = 8 * (i / 2) + g;
        if (row < rows && place.wanted(column)) out[row * out_stride + place(column)] = sums[i / 4][i % 4];
    }
}

// --- the two products of a step, in either precision -----------------------------------------------------------------
// `weights(k, column)` is the weight from unit k to the block's column, 4 quads of them; 0 outside.

// On the way there: all H of h times the block's columns; each warp leaves a part of the sums in parts[warp][8][quads + 1].
struct ForwardProduct {
    float4 *own, *states, *parts;
    int quads, tf32, steps, first, stride, fours;  // a thread has `steps` fours from the `first` on, a `stride` apart

    __device__ __forceinline__ ForwardProduct(float4* memory, int H, int quads, int tf32) : quads(quads), tf32(tf32) {
        int warps = blockDim.x / 32, warp = threadIdx.x / 32;
        first = tf32 ? 2 * warp : threadIdx.x / quads;
        stride = tf32 ? 2 * warps : blockDim.x / quads;
        steps = ((H + 3) / 4 + stride - 1) / stride;
        fours = steps * stride;
        own = own_weights(memory, tf32 ? steps * quads / 4 : 4 * steps, threadIdx.x);
        states = memory + fours * 4 * quads;
        parts = states + FOUR * fours;
    }

    __device__ __forceinline__ float4* part(int warp) const { return parts + warp * MOST_ROWS * (quads + 1); }

    template <class Weights> __device__ __forceinline__ void load(const Weights& weights) const {
        for (int i = 0; i < steps; ++i) {
            int k = 4 * (first + stride * i);
            if (tf32)
                for (int c = 0; c < quads / 8; ++c) set_weights_tf32(own + 64 * (c * steps + i), weights, k, 32 * c, threadIdx.x % 32);
            else set_weights(own + 128 * i, weights, k, 4 * (threadIdx.x % quads));
        }
    }

    __device__ __forceinline__ void operator()(int rows) const {
        float4* out = part(threadIdx.x / 32);
        if (tf32)
            for (int c = 0; c < quads / 8; ++c)
                product_tf32(own + 64 * c * steps, states + first * FOUR, steps, stride, rows,
                             (float*)(out + 8 * c), 4 * (quads + 1), Same());
        else if (rows > 4)
            product<8>(own, states + first * FOUR, steps, stride, quads, out + threadIdx.x % quads, quads + 1, rows);
        else product<4>(own, states + first * FOUR, steps, stride, quads, out + threadIdx.x % quads, quads + 1, rows);
    }
};

// On the way back: the block's own columns of da times Wh, which gives a part of dh for every unit.
struct BackwardProduct {
    float4 *all, *own, *states, *end;
    int quads, units, tf32, steps, passes, slots, first, stride, width, own_four, fours_of_pass;

    // `lanes` of a warp share a sum; `units` are a block's
    __device__ __forceinline__ BackwardProduct(float4* memory, int quads, int units, int lanes, int tf32)
        : all(memory), quads(quads), units(units), tf32(tf32) {
        int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
        width = 32 / lanes;
        first = tf32 ? 0 : lane / width;
        stride = tf32 ? 2 : lanes;
        steps = quads / stride;
        own_four = tf32 ? 8 * warp : warp * width + lane % width;
        fours_of_pass = tf32 ? blockDim.x / 4 : blockDim.x / lanes;
        passes = ((int)gridDim.x * units / 4 + fours_of_pass - 1) / fours_of_pass;
        slots = tf32 ? 2 * passes * steps : 4 * passes * steps;
        own = own_weights(memory, slots, threadIdx.x);
        states = memory + slots * blockDim.x;
        end = states + FOUR * quads;
    }

    // A thread's weights are those of 4 rows of Wh, which lie far apart. So they are read by others: neighbouring lanes read
    // what lies side by side, 8 units of a row, and put it where it is needed. Before it is, a barrier is.
    template <class Weights> __device__ __forceinline__ void load(const Weights& weights) const {
        int side_by_side = tf32 ? 4 : 8, fours = passes * fours_of_pass;
        for (int e = threadIdx.x; e < passes * steps * (int)blockDim.x; e += blockDim.x) {
            int near = e % side_by_side, far = e / side_by_side;
            if (tf32) {
                int thread = far % blockDim.x, slot = far / blockDim.x * side_by_side + near;
                int unit = 4 * (slot / steps * fours_of_pass + 8 * (thread / 32));
                set_weights_tf32(own_weights(all, slots, thread) + 64 * slot, Transposed<Weights>{weights},
                                 8 * (slot % steps), unit, thread % 32);
            } else {
                int four = far % fours, quad = far / fours * side_by_side + near, own_four = four % fours_of_pass;
                int thread = own_four / width * 32 + quad % stride * width + own_four % width;
                int slot = four / fours_of_pass * steps + quad / stride;
                set_weights(own_weights(all, slots, thread) + 128 * slot, Transposed<Weights>{weights}, 4 * quad, 4 * four);
            }
        }
    }

    // out[to][from][rows][units], from the block's own first row on; `tile` floats from one block's to the next
    __device__ __forceinline__ void operator()(int rows, float* out, size_t tile) const {
        for (int pass = 0; pass < passes; ++pass) {
            int unit = 4 * (pass * fours_of_pass + own_four), all = gridDim.x * units;
            const float4* w = own + (tf32 ? 64 : 128) * pass * steps;
            if (tf32) product_tf32(w, states, steps, stride, rows, out, units, Sent{unit, units, all, tile * gridDim.x});
            else {
                float4* to = (float4*)(out + unit / units * gridDim.x * tile + unit % units);
                int wanted = unit < all ? rows : 0;
                if (rows > 4) product<8>(w, states + first * FOUR, steps, stride, width, to, units / 4, wanted);
                else product<4>(w, states + first * FOUR, steps, stride, width, to, units / 4, wanted);
            }
        }
    }
};
