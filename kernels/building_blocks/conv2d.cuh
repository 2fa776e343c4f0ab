// The three products of a convolution in tiles of 128 x 64 numbers, whoever multiplies them: what is brought to shared memory
// from where, and what becomes of the sums. ``Product`` says how a block's tiles lie there, and multiplies them:
//
//     PITCH_A, PITCH_B    floats from one step of a tile to the next, of four steps that begin with a multiple of four
//     place_a(step, i)    where row i of a step lies, place_b where column i does; four from a multiple of four on lie in a row
//     kept(v)             what is kept of four numbers
//     multiply(a, b, steps, shared, sums)    sums = the thread's 8 x 4 numbers of the product of the tiles that a and b bring:
//                         rows from 8 (threadIdx.x / 16) on, columns from 4 (threadIdx.x % 16)
#pragma once
#include "scratchlv.cuh"

#define CLOSED 4  // the argmax where ReLU is closed

struct Conv {
    int N, H, W, C, M, kh, kw, H_out, W_out, stride_h, stride_w, apart_h, apart_w, top, left, groups;  // apart: the taps
    __device__ int inputs() const { return C / groups; }   // of a group
    __device__ int outputs() const { return M / groups; }
    __device__ int pixels() const { return N * H_out * W_out; }
    __device__ int taps() const { return kh * kw * inputs(); }  // products for a number of y
};

__device__ __forceinline__ bool inside(int h, int w, int H, int W) {
    return (unsigned)h < (unsigned)H && (unsigned)w < (unsigned)W;
}

// The largest of four, and its place; the first of equals, and NaN is largest. With ReLU, CLOSED where nothing came through.
__device__ __forceinline__ unsigned largest(const float (&v)[4], int relu, float& best) {
    unsigned index = 0;
    best = v[0];
#pragma unroll
    for (int place = 1; place < 4; ++place)
        if (v[place] > best || (v[place] != v[place] && best == best)) best = v[place], index = place;
    return relu && best <= 0.0f ? CLOSED : index;
}

// --- tiles -----------------------------------------------------------------------------------------------------------

#define ROWS 128          // of a block's tile
#define COLUMNS 64
#define DEPTH 16          // steps of the inner sum between two barriers

__device__ __forceinline__ float4 zero4() { return make_float4(0.0f, 0.0f, 0.0f, 0.0f); }

// Walks through (i, j, c): the taps, and in each the channels. Where the channels are a multiple of four, so is c.
struct Tap {
    int i, j, c;
    __device__ void advance(int by, int columns, int channels) {
        c += by;
        while (c >= channels) {
            c -= channels;
            if (++j == columns) j = 0, ++i;
        }
    }
};

// Four numbers of a row of patches: from `tap` on, of the window that begins at (h, w) of a picture and goes on by `step`s.
struct Source {
    int H, W, pitch, rows, columns, channels, step_h, step_w;  // of the picture; taps each way, and their channels
    __device__ float4 four(const float* picture, int h, int w, Tap tap) const {
        if (channels % 4 == 0) {
            int u = h + step_h * tap.i, v = w + step_w * tap.j;
            if (tap.i >= rows || !inside(u, v, H, W)) return zero4();
            return *(const float4*)(picture + ((size_t)u * W + v) * pitch + tap.c);
        }
        float to[4];
#pragma unroll
        for (int e = 0; e < 4; ++e) {
            int u = h + step_h * tap.i, v = w + step_w * tap.j;
            to[e] = tap.i < rows && inside(u, v, H, W) ? picture[((size_t)u * W + v) * pitch + tap.c] : 0.0f;
            tap.advance(1, columns, channels);
        }
        return make_float4(to[0], to[1], to[2], to[3]);
    }
};

// Tiles of 128 rows of patches and 16 steps: a thread brings four steps of two rows.
struct PatchTile {
    Source source;
    const float* picture[2];
    int h[2], w[2];
    Tap tap;
    float4 held[2];
    __device__ void begin(int first) {
        tap = {0, 0, 0};
        tap.advance(first + threadIdx.x % 4 * 4, source.columns, source.channels);
    }
    __device__ static int row(int half) { return threadIdx.x / 4 + half * (ROWS / 2); }
    __device__ void place(int half, const float* at, int h_, int w_) { picture[half] = at, h[half] = h_, w[half] = w_; }
    __device__ void no_place(int half) { place(half, nullptr, -(1 << 29), 0); }
    __device__ void fetch() {
#pragma unroll
        for (int half = 0; half < 2; ++half) held[half] = source.four(picture[half], h[half], w[half], tap);
        tap.advance(DEPTH, source.columns, source.channels);
    }
    template <class Product> __device__ void put(float* tile) const {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float* to = tile + Product::place_a(threadIdx.x % 4 * 4, row(half));
            float4 v = Product::kept(held[half]);
            to[0] = v.x, to[Product::PITCH_A] = v.y;
            to[2 * Product::PITCH_A] = v.z, to[3 * Product::PITCH_A] = v.w;
        }
    }
};

// The same tiles of the transposed matrix: rows are taps, steps are pixels of y. A thread brings four taps of two pixels.
struct TransposedPatchTile {
    Source source;
    const float* x;
    Tap tap;
    int p[2], n[2], h[2], w[2], last, H_out, W_out, stride_h, stride_w, top, left;
    size_t picture;  // numbers
    float4 held[2];
    __device__ void begin(int row0, int first) {
        tap = {0, 0, 0};
        tap.advance(row0 + threadIdx.x % 32 * 4, source.columns, source.channels);
        for (int half = 0; half < 2; ++half) {
            p[half] = first + threadIdx.x / 32 + half * (DEPTH / 2);
            w[half] = p[half] % W_out, h[half] = p[half] / W_out % H_out, n[half] = p[half] / W_out / H_out;
        }
    }
    __device__ void fetch() {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            int u = h[half] * stride_h - top, v = w[half] * stride_w - left;
            held[half] = p[half] < last ? source.four(x + n[half] * picture, u, v, tap) : zero4();
            p[half] += DEPTH;
            w[half] += DEPTH;
            while (w[half] >= W_out) {
                w[half] -= W_out;
                if (++h[half] == H_out) h[half] = 0, ++n[half];
            }
        }
    }
    template <class Product> __device__ void put(float* tile) const {
#pragma unroll
        for (int half = 0; half < 2; ++half)
            *(float4*)(tile + Product::place_a(threadIdx.x / 32 + half * (DEPTH / 2), threadIdx.x % 32 * 4)) =
                Product::kept(held[half]);
    }
};

// Tiles of 16 rows and 64 columns of a matrix whose rows lie in memory: a thread brings four columns of a row.
struct RowTile {
    const float* from;  // the thread's first four numbers
    int row, rows, pitch;
    bool exists;  // its columns
    float4 held;
    __device__ void begin(const float* matrix, int first, int last, int pitch_, int column, int columns) {
        row = first + threadIdx.x / 16, rows = last, pitch = pitch_, exists = column < columns;
        from = matrix + (size_t)row * pitch + column;
    }
    __device__ static int column() { return threadIdx.x % 16 * 4; }
    __device__ void fetch() {
        held = exists && row < rows ? *(const float4*)from : zero4();
        row += DEPTH, from += (size_t)DEPTH * pitch;
    }
    template <class Product> __device__ void put(float* tile) const {
        *(float4*)(tile + Product::place_b(threadIdx.x / 16, column())) = Product::kept(held);
    }
};

// Tiles of 16 steps (i, j, m) and 64 input channels of the weights: a thread brings four m of one channel.
struct TransposedWeightTile {
    const float* weights;  // of the group and the channel
    int taps_h, taps_w, outputs, first_h, first_w, step_h, step_w, kw, inputs, M;
    bool exists;  // the channel
    Tap tap;
    float4 held;
    __device__ void begin(int first) {
        tap = {0, 0, 0};
        tap.advance(first + threadIdx.x % 4 * 4, taps_w, outputs);
    }
    __device__ void fetch() {
        size_t place = (size_t)(first_h + step_h * tap.i) * kw + first_w + step_w * tap.j;
        held = exists && tap.i < taps_h ? *(const float4*)(weights + place * inputs * M + tap.c) : zero4();
        tap.advance(DEPTH, taps_w, outputs);
    }
    template <class Product> __device__ void put(float* tile) const {
        float* to = tile + Product::place_b(threadIdx.x % 4 * 4, threadIdx.x / 4);
        float4 v = Product::kept(held);
        to[0] = v.x, to[Product::PITCH_B] = v.y, to[2 * Product::PITCH_B] = v.z, to[3 * Product::PITCH_B] = v.w;
    }
};

// --- the products ----------------------------------------------------------------------------------------------------

// Rows are the pixels of y; with pooling, window by window, so that a thread holds whole windows.
// blockIdx.x counts tiles, those of one row of tiles first (they share patches), blockIdx.z groups.
// M / groups is a multiple of four. With `parts` blockIdx.y counts parts of `span` steps each, a multiple of DEPTH, whose sums go
// there, (parts, rows, M), for conv2d_finish.
template <class Product> __device__ __forceinline__ void
tile_of_y(const float* x, const float* weights, const float* bias, float* y, unsigned char* argmax, const Conv& s, int relu, int
          pool, float* parts, int span, float* shared) {
    int outputs = s.outputs(), column_tiles = (outputs + COLUMNS - 1) / COLUMNS, g = blockIdx.z;
    int row0 = blockIdx.x / column_tiles * ROWS, column0 = blockIdx.x % column_tiles * COLUMNS;
    int across = pool ? s.W_out / 2 : s.W_out, down = pool ? s.H_out / 2 : s.H_out, rows = s.N * down * across * (pool ? 4 : 1);
    int first = blockIdx.y * span, last = min(first + span, s.taps());
    PatchTile a;
    a.source = {s.H, s.W, s.C, s.kh, s.kw, s.inputs(), s.apart_h, s.apart_w};
    for (int half = 0; half < 2; ++half) {
        int row = row0 + PatchTile::row(half), p = pool ? row / 4 : row, h = p / across % down, w = p % across;
        if (pool) h = 2 * h + row % 4 / 2, w = 2 * w + row % 2;
        const float* picture = x + (size_t)(p / across / down) * s.H * s.W * s.C + g * s.inputs();
        if (row < rows) a.place(half, picture, h * s.stride_h - s.top, w * s.stride_w - s.left);
        else a.no_place(half);
    }
    a.begin(first);
    RowTile b;
    b.begin(weights + g * outputs, first, last, s.M, column0 + RowTile::column(), outputs);
    float z[8][4];
    Product::multiply(a, b, last - first, shared, z);

    int row = row0 + threadIdx.x / 16 * 8, m = column0 + RowTile::column();
    if (m >= outputs) return;
    m += g * outputs;
    if (parts) {
#pragma unroll
        for (int r = 0; r < 8; ++r) {
            float* to = parts + ((size_t)blockIdx.y * rows + row + r) * s.M + m;
            if (row + r < rows) *(float4*)to = make_float4(z[r][0], z[r][1], z[r][2], z[r][3]);
        }
        return;
    }
    float shift[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    if (bias) shift[0] = bias[m], shift[1] = bias[m + 1], shift[2] = bias[m + 2], shift[3] = bias[m + 3];
#pragma unroll
    for (int r = 0; r < 8; ++r)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
            z[r][e] += shift[e];
            if (relu && z[r][e] <= 0.0f) z[r][e] = 0.0f;
        }
    if (!pool) {
#pragma unroll
        for (int r = 0; r < 8; ++r)
            if (row + r < rows) *(float4*)(y + (size_t)(row + r) * s.M + m) = make_float4(z[r][0], z[r][1], z[r][2], z[r][3]);
        return;
    }
#pragma unroll
    for (int r = 0; r < 8; r += 4) {
        if (row + r >= rows) return;
        float best[4];
        unsigned index = 0;
#pragma unroll
        for (int e = 0; e < 4; ++e) {
            float places[4] = {z[r][e], z[r + 1][e], z[r + 2][e], z[r + 3][e]};
            index |= largest(places, relu, best[e]) << 8 * e;
        }
        size_t at = (size_t)((row + r) / 4) * s.M + m;
        *(float4*)(y + at) = make_float4(best[0], best[1], best[2], best[3]);
        if (argmax) *(unsigned*)(argmax + at) = index;
    }
}

// Row u of x is seen through tap i by the output row (u + top - i apart) / stride, if that is whole. So the rows with u + top =
// class (mod stride) see every step-th tap, from `tap` on: among themselves they are a convolution without stride, which goes
// back by `back` output rows from one of these taps to the next. Without a dilation, a step is the stride, and back is 1.
struct Class {
    int first, rows;  // the first row of x, and how many there are, stride apart
    int tap, taps, step, start, back;  // start: the output row that sees the first row through its first tap
    __device__ Class(int number, int size, int kernel, int stride, int apart, int before)
        : tap(number), step(stride), back(1) {
        if (apart > 1) {
            for (step = 1; step * apart % stride; ++step) continue;
            back = step * apart / stride;
            for (tap = 0; tap < step && (number - tap * apart) % stride; ++tap) continue;
            if (tap == step) tap = kernel;  // no tap sees them
        }
        first = ((number - before) % stride + stride) % stride;
        rows = first < size ? (size - first + stride - 1) / stride : 0;
        taps = tap < kernel ? (kernel - tap + step - 1) / step : 0;
        start = (first + before - tap * apart) / stride;
    }
};

// blockIdx.z counts groups, and classes of pixels; blockIdx.y parts of `span` steps, each of which has a dx of its own.
template <class Product> __device__ __forceinline__ void
tile_of_input_gradient(const float* dy, const float* weights, float* dx, const Conv& s, int span, float* shared) {
    int inputs = s.inputs(), outputs = s.outputs(), column_tiles = (inputs + COLUMNS - 1) / COLUMNS;
    int g = blockIdx.z % s.groups, number_h = blockIdx.z / s.groups / s.stride_w, number_w = blockIdx.z / s.groups % s.stride_w;
    int row0 = blockIdx.x / column_tiles * ROWS, column0 = blockIdx.x % column_tiles * COLUMNS;
    Class down(number_h, s.H, s.kh, s.stride_h, s.apart_h, s.top), across(number_w, s.W, s.kw, s.stride_w, s.apart_w, s.left);
    int rows = s.N * down.rows * across.rows, first = blockIdx.y * span;
    if (row0 >= rows) return;
    PatchTile a;
    a.source = {s.H_out, s.W_out, s.M, down.taps, across.taps, outputs, -down.back, -across.back};
    for (int half = 0; half < 2; ++half) {
        int row = row0 + PatchTile::row(half), h = row / across.rows % down.rows, w = row % across.rows;
        const float* picture = dy + (size_t)(row / across.rows / down.rows) * s.H_out * s.W_out * s.M + g * outputs;
        if (row < rows) a.place(half, picture, h + down.start, w + across.start);
        else a.no_place(half);
    }
    a.begin(first);
    int c = column0 + threadIdx.x / 4;
    TransposedWeightTile b;
    b.weights = weights + (size_t)c * s.M + g * outputs, b.exists = c < inputs;
    b.taps_h = down.taps, b.taps_w = across.taps, b.first_h = down.tap, b.first_w = across.tap;
    b.outputs = outputs, b.inputs = inputs, b.step_h = down.step, b.step_w = across.step, b.kw = s.kw, b.M = s.M;
    b.begin(first);
    float sums[8][4];
    Product::multiply(a, b, max(0, min(span, down.taps * across.taps * outputs - first)), shared, sums);

    int row = row0 + threadIdx.x / 16 * 8;
    c = column0 + threadIdx.x % 16 * 4;
#pragma unroll
    for (int r = 0; r < 8; ++r) {
        if (row + r >= rows || c >= inputs) return;
        int p = row + r;  // without a stride, pixels are rows
        if (s.stride_h > 1 || s.stride_w > 1) {
            int h = p / across.rows % down.rows * s.stride_h + down.first, w = p % across.rows * s.stride_w + across.first;
            p = (p / across.rows / down.rows * s.H + h) * s.W + w;
        }
        float* to = dx + (blockIdx.y * (size_t)(s.N * s.H * s.W) + p) * s.C + g * inputs + c;
        if (inputs % 4 == 0) *(float4*)to = make_float4(sums[r][0], sums[r][1], sums[r][2], sums[r][3]);
        else
#pragma unroll
            for (int e = 0; e < 4; ++e)
                if (c + e < inputs) to[e] = sums[r][e];
    }
}

// The sums over `span` pixels: part blockIdx.y of (taps + bias) x M numbers. blockIdx.z is the group.
template <class Product> __device__ __forceinline__ void
tile_of_weight_gradient(const float* x, const float* dy, float* parts, const Conv& s, int bias, int span, float* shared) {
    int outputs = s.outputs(), column_tiles = (outputs + COLUMNS - 1) / COLUMNS, g = blockIdx.z, part = blockIdx.y;
    int row0 = blockIdx.x / column_tiles * ROWS, column0 = blockIdx.x % column_tiles * COLUMNS;
    int first = part * span, last = min(s.pixels(), first + span);
    TransposedPatchTile a;
    a.source = {s.H, s.W, s.C, s.kh, s.kw, s.inputs(), s.apart_h, s.apart_w};
    a.x = x + g * s.inputs(), a.picture = (size_t)s.H * s.W * s.C, a.last = last;
    a.H_out = s.H_out, a.W_out = s.W_out, a.stride_h = s.stride_h, a.stride_w = s.stride_w, a.top = s.top, a.left = s.left;
    a.begin(row0, first);
    RowTile b;
    b.begin(dy + g * outputs, first, last, s.M, column0 + RowTile::column(), outputs);
    float sums[8][4];
    Product::multiply(a, b, last - first, shared, sums);

    int k = row0 + threadIdx.x / 16 * 8, m = column0 + RowTile::column();
    if (m >= outputs) return;
#pragma unroll
    for (int r = 0; r < 8; ++r)
        if (k + r < s.taps())
            *(float4*)(parts + ((size_t)part * (s.taps() + bias) + k + r) * s.M + g * outputs + m) =
                make_float4(sums[r][0], sums[r][1], sums[r][2], sums[r][3]);
}
