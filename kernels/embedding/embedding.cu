// Embedding: y = W[tokens], and its gradient dW, a sum over the positions where a token stood. No token is read outside W:
// where it is none of its rows, y is NaN, and dW does not hear of it.
//
// Forward, version 1 moves one number a thread; from version 2 on it is four, 16 bytes an instruction, and no division
// finds the row. Backward, version 1 sends every row of dW through all tokens: V M tokens are read. Version 2 sorts the
// positions by token, and a block adds up one token's: every row of dy is read once. Version 3 cuts the sorted positions into
// chunks of the same size, so that one frequent token does not keep everybody waiting, and adds four columns a thread.
// Version 4 sorts nothing where there are no more than TILE positions: a block for each looks at all tokens, and adds up if its
// own stands there for the first time. One launch does what took three or four.
// All add in a fixed order, without atomics.
#include "float4.cuh"

#define TILE 1024  // positions that are sorted by looking at all the others
#define CHUNK 16   // sorted positions that a block of version 3 adds up

__device__ __forceinline__ bool is_row(long long token, int V) { return 0 <= token && token < V; }

// 1. One thread for each of the n = M E numbers.
extern "C" __global__ void __launch_bounds__(256)
gather_1(const long long* __restrict__ tokens, const float* __restrict__ W, float* __restrict__ y, long long n, int V, int E) {
    long long k = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (k >= n) return;
    long long token = tokens[k / E];
    y[k] = is_row(token, V) ? W[token * E + k % E] : NAN;
}

// 2. blockDim.y tokens in a block, blockDim.x threads for each.
extern "C" __global__ void __launch_bounds__(256)
gather_2(const long long* __restrict__ tokens, const float* __restrict__ W, float* __restrict__ y, int M, int V, int E) {
    int m = blockIdx.x * blockDim.y + threadIdx.y;
    if (m >= M) return;
    long long token = tokens[m];
    bool vectorised = rows_aligned(W, E) && rows_aligned(y, E);
    for (int k = 4 * threadIdx.x; k < E; k += 4 * blockDim.x)
        store4(y + (size_t)m * E, k, E, vectorised, is_row(token, V) ? load4(W + token * E, k, E, vectorised) : splat(NAN));
}

// 1. A block for each row of dW.
extern "C" __global__ void __launch_bounds__(256)
scatter_1(const long long* __restrict__ tokens, const float* __restrict__ dy, float* __restrict__ dW, int M, int E) {
    int row = blockIdx.x;
    for (int k = threadIdx.x; k < E; k += blockDim.x) {
        float sum = 0.0f;
        for (int m = 0; m < M; ++m)
            if (tokens[m] == row) sum += dy[(size_t)m * E + k];
        dW[(size_t)row * E + k] = sum;
    }
}

// What a token is sorted by: itself, or V if it is no row.
__device__ __forceinline__ int sort_key(long long token, int V) { return is_row(token, V) ? (int)token : V; }

// A warp finds the rank of a token in its tile: how many are smaller, or equal and stand before it.
// Equal tokens keep their order.
extern "C" __global__ void __launch_bounds__(256)
sort_tiles(const long long* __restrict__ tokens, int* __restrict__ sorted, int* __restrict__ positions, int M, int V) {
    int m = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (m >= M) return;
    int first = m / TILE * TILE, last = min(first + TILE, M), token = sort_key(tokens[m], V), before = 0;
    for (int k = first + lane; k < last; k += 32) {
        int other = sort_key(tokens[k], V);
        before += other < token || (other == token && k < m);
    }
    for (int offset = 16; offset > 0; offset >>= 1) before += __shfl_xor_sync(FULL_WARP, before, offset);
    if (lane == 0) {
        sorted[first + before] = token;
        positions[first + before] = m;
    }
}

// How many of the n sorted tokens are smaller than `token`, or with `equal` not larger.
__device__ __forceinline__ int count_below(const int* sorted, int n, int token, bool equal) {
    int low = 0;
    while (n > 0) {
        int half = n / 2, other = sorted[low + half];
        if (other < token || (equal && other == token)) {
            low += half + 1;
            n -= half + 1;
        } else n = half;
    }
    return low;
}

// Where a token of a sorted tile belongs among all: behind what is smaller in the other tiles, or equal and in a tile before.
extern "C" __global__ void __launch_bounds__(256)
merge_tiles(const int* __restrict__ tiles, const int* __restrict__ tile_positions, int* __restrict__ sorted,
            int* __restrict__ positions, int M) {
    int k = blockIdx.x * blockDim.x + threadIdx.x;
    if (k >= M) return;
    int own = k / TILE * TILE, at = k - own, token = tiles[k];
    for (int first = 0; first < M; first += TILE)
        if (first != own) at += count_below(tiles + first, min(TILE, M - first), token, first < own);
    sorted[at] = token;
    positions[at] = tile_positions[k];
}

// 2. A block for each sorted position; it works if a token's run begins there. dW is zero before.
extern "C" __global__ void __launch_bounds__(256)
scatter_2(const int* __restrict__ sorted, const int* __restrict__ positions, const float* __restrict__ dy, float* __restrict__ dW,
          int M, int V, int E) {
    int begin = blockIdx.x;
    int token = sorted[begin];
    if (token == V || (begin > 0 && sorted[begin - 1] == token)) return;
    for (int k = threadIdx.x; k < E; k += blockDim.x) {
        float sum = 0.0f;
        for (int m = begin; m < M && sorted[m] == token; ++m) sum += dy[(size_t)positions[m] * E + k];
        dW[(size_t)token * E + k] = sum;
    }
}

// 3. A block for each chunk. A run that lies in it goes to dW; of one that came in from the chunk before, the sum is kept in
// heads[chunk], and of one that begins here and goes on, in tails[chunk]. dW is zero before.
extern "C" __global__ void __launch_bounds__(256)
scatter_3(const int* __restrict__ sorted, const int* __restrict__ positions, const float* __restrict__ dy, float* __restrict__ dW,
          float* __restrict__ heads, float* __restrict__ tails, int M, int V, int E) {
    int first = blockIdx.x * CHUNK, last = min(first + CHUNK, M);
    bool vectorised = rows_aligned(dy, E) && rows_aligned(dW, E);  // heads and tails are the wrapper's own
    for (int k = 4 * threadIdx.x; k < E; k += 4 * blockDim.x) {
        float4 sum = splat(0.0f);
        bool came_in = first > 0 && sorted[first - 1] == sorted[first];
#pragma unroll 4
        for (int m = first; m < last; ++m) {
            int token = sorted[m];
            sum = sum + load4(dy + (size_t)positions[m] * E, k, E, vectorised);
            bool goes_on = m + 1 < M && sorted[m + 1] == token;
            if (goes_on && m + 1 < last) continue;
            if (came_in) store4(heads + (size_t)blockIdx.x * E, k, E, vectorised, sum);
            else if (goes_on) store4(tails + (size_t)blockIdx.x * E, k, E, vectorised, sum);
            else if (token < V) store4(dW + (size_t)token * E, k, E, vectorised, sum);
            sum = splat(0.0f);
            came_in = false;
        }
    }
}

// A block for each chunk: if a run begins in it and goes on, its tail and the heads after it are the row.
extern "C" __global__ void __launch_bounds__(256)
combine_chunks(const int* __restrict__ sorted, const float* __restrict__ heads, const float* __restrict__ tails,
            float* __restrict__ dW, int M, int V, int E) {
    int first = blockIdx.x * CHUNK, next = first + CHUNK;
    if (next >= M) return;
    int token = sorted[next];
    bool begins = sorted[first] != token || first == 0 || sorted[first - 1] != token;
    if (sorted[next - 1] != token || !begins || token == V) return;
    bool vectorised = rows_aligned(dW, E);
    for (int k = 4 * threadIdx.x; k < E; k += 4 * blockDim.x) {
        float4 sum = load4(tails + (size_t)blockIdx.x * E, k, E, vectorised);
        for (int chunk = blockIdx.x + 1; chunk * CHUNK < M && sorted[chunk * CHUNK] == token; ++chunk)
            sum = sum + load4(heads + (size_t)chunk * E, k, E, vectorised);
        store4(dW + (size_t)token * E, k, E, vectorised, sum);
    }
}

// 4. A block for each of at most TILE positions, blockDim.y groups of threads; it works if its token does not stand before it.
// The groups add up every so many of its places, and the first adds up what they found. dW is zero before. `sums` is shared
// memory for all threads but those of the first group.
extern "C" __global__ void __launch_bounds__(512)
scatter_4(const long long* __restrict__ tokens, const float* __restrict__ dy, float* __restrict__ dW, int M, int V, int E) {
    DYNAMIC_SHARED(float4, sums);
    __shared__ unsigned there[TILE / 32];  // a bit for each position
    __shared__ int places[TILE];
    int across = blockDim.x, groups = blockDim.y, group = threadIdx.y, thread = group * across + threadIdx.x;
    long long token = tokens[blockIdx.x];
    if (!is_row(token, V)) return;
    int warp = thread / 32, lane = thread % 32, warps = across * groups / 32, words = (M + 31) / 32, first = -1, count = 0;
    for (int word = warp; word < words; word += warps) {
        int m = 32 * word + lane;
        unsigned bits = __ballot_sync(FULL_WARP, m < M && tokens[m] == token);
        if (lane == 0) there[word] = bits;
    }
    __syncthreads();
    for (int word = 0; word < words; ++word) {
        unsigned bits = there[word];
        if (first < 0 && bits) first = 32 * word + __ffs(bits) - 1;
        if (first >= 0 && first != blockIdx.x) return;
        unsigned bit = 1u << lane;
        if (word % warps == warp && bits & bit) places[count + __popc(bits & (bit - 1))] = 32 * word + lane;
        count += __popc(bits);
    }
    __syncthreads();
    bool vectorised = rows_aligned(dy, E) && rows_aligned(dW, E);
    for (int begin = 0; begin < E; begin += 4 * across) {
        int k = begin + 4 * threadIdx.x;
        float4 sum = splat(0.0f);
        if (k < E) {
#pragma unroll 4
            for (int i = group; i < count; i += groups) sum = sum + load4(dy + (size_t)places[i] * E, k, E, vectorised);
        }
        if (group) sums[thread - across] = sum;
        __syncthreads();
        if (group == 0 && k < E) {
            for (int other = 0; other < groups - 1 && other < count - 1; ++other) sum = sum + sums[other * across + threadIdx.x];
            store4(dW + (size_t)token * E, k, E, vectorised, sum);
        }
        __syncthreads();
    }
}
