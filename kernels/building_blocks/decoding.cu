// What is said next, chosen where the scores are: decoding brings no row of V log probabilities to the host.
//
//     most_likely   the word with the highest score
//     draw          a word drawn from what temperature, top-k and top-p leave
//     best_words    beam search: the K best words of each hypothesis
//     beam_step     beam search: the B best of the B K hypotheses of an input, and whether any can still win
//
// A block has a row of scores (beam_step: an input). Scores are ordered as whole numbers: the score's bits made to grow with
// it, and below them the token turned round, so that of equals the lower token comes first and no two words are equal. To
// draw, nothing is sorted. "The word at which the sum, from the likeliest on, passes a target" is found bit by bit, the highest
// first: is the sum of all that rank at least so high above the target? The same search finds where top-k and top-p cut.
// Weights are whole numbers, 2^31 for the likeliest word, so that a sum is the same in whatever order it is added.
//
// `never` has a bit for each word that may not be said. A token is -1 where a score is NaN: the host sees it when it asks.
#include "scratchlv.cuh"

typedef unsigned long long u64;

#define LEAST -1e6f            // for the log of p = 0 where nothing else may be said
#define NO_NUMBER 0xfffffffeu  // the key of NaN

// --- order -----------------------------------------------------------------------------------------------------------

// It grows with the score; NaN is above all.
__device__ __forceinline__ unsigned key_of(float score) {
    unsigned bits = __float_as_uint(score + 0.0f);  // of -0 and 0 neither is larger
    if (score != score) return NO_NUMBER;
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

__device__ __forceinline__ u64 rank_of(float score, int token) { return (u64)key_of(score) << 32 | (unsigned)~token; }
__device__ __forceinline__ int token_of(u64 rank) { return (int)~(unsigned)rank; }
__device__ __forceinline__ bool no_number(u64 rank) { return rank >> 32 == NO_NUMBER; }

__device__ __forceinline__ bool is_in(const unsigned* bits, int token) { return bits[token >> 5] >> (token & 31) & 1u; }

struct Sum { static __device__ __forceinline__ u64 of(u64 a, u64 b) { return a + b; } };
struct Largest { static __device__ __forceinline__ u64 of(u64 a, u64 b) { return a > b ? a : b; } };

// Every thread receives the result over the block. `scratch` is 64 numbers of shared memory, of which `pass` takes one half
// by turns: who is still reading one is at most one pass behind, so that no second barrier is needed.
template <class Op> __device__ __forceinline__ u64 over_block(u64 v, u64* scratch, int pass) {
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
    scratch += 32 * (pass & 1);
    for (int offset = 16; offset > 0; offset >>= 1) v = Op::of(v, __shfl_xor_sync(FULL_WARP, v, offset));
    if (lane == 0) scratch[warp] = v;
    __syncthreads();
    v = lane < warps ? scratch[lane] : 0;
    for (int offset = 16; offset > 0; offset >>= 1) v = Op::of(v, __shfl_xor_sync(FULL_WARP, v, offset));
    return v;
}

// In the V bits of `repeats`, in shared memory: the words that would say `n` words in a row again that are in said[0 … t).
__device__ __forceinline__ void mark_repeats(const long long* said, int t, int n, unsigned* repeats, int V) {
    for (int k = threadIdx.x; k < (V + 31) / 32; k += blockDim.x) repeats[k] = 0;
    __syncthreads();
    for (int at = threadIdx.x; at + n <= t; at += blockDim.x) {
        bool again = true;
        for (int i = 0; i + 1 < n; ++i) again = again && said[at + i] == said[t - n + 1 + i];
        int word = (int)said[at + n - 1];
        if (again && 0 <= word && word < V) atomicOr(repeats + (word >> 5), 1u << (word & 31));
    }
    __syncthreads();
}

// --- greedy ----------------------------------------------------------------------------------------------------------

// Of words that all have probability 0 the lowest that is not in `never`. `repeats` is shared memory of V bits if no_repeat.
extern "C" __global__ void __launch_bounds__(1024)
most_likely(const float* __restrict__ log_probs, const unsigned* __restrict__ never, const long long* __restrict__ said,
            long long* __restrict__ tokens, float* __restrict__ own, int V, int said_words, int no_repeat) {
    DYNAMIC_SHARED(unsigned, repeats);
    __shared__ u64 scratch[64];
    const float* z = log_probs + (size_t)blockIdx.x * V;
    if (no_repeat) mark_repeats(said + (size_t)blockIdx.x * said_words, said_words, no_repeat, repeats, V);
    u64 best = 0;
    for (int v = threadIdx.x; v < V; v += blockDim.x) {
        float score = z[v];
        if (score == score && is_in(never, v)) continue;
        if (score == score && no_repeat && is_in(repeats, v)) score = -INFINITY;
        best = Largest::of(best, rank_of(score, v));
    }
    best = over_block<Largest>(best, scratch, 0);
    if (threadIdx.x) return;
    tokens[blockIdx.x] = no_number(best) ? -1 : token_of(best);
    own[blockIdx.x] = no_number(best) ? NAN : z[token_of(best)];
}

// --- sampling --------------------------------------------------------------------------------------------------------

struct Row {
    const float* z;
    const unsigned *never, *weights;
    int V, token_bits;
    bool by_score;  // the likeliest first; otherwise in the order of the vocabulary
    u64* scratch;
};

// The weight of all words that rank at least so high, or how many they are.
__device__ __forceinline__ u64 at_least(const Row& row, u64 rank, bool count, int& pass) {
    u64 sum = 0;
    for (int v = threadIdx.x; v < row.V; v += blockDim.x) {
        u64 own = (row.by_score ? (u64)key_of(row.z[v]) << row.token_bits : 0) | (u64)(row.V - 1 - v);
        if (own >= rank) sum += count ? !is_in(row.never, v) : row.weights[v];
    }
    return over_block<Sum>(sum, row.scratch, pass++);
}

// The highest rank from which on the sum is above the target, which is that of a word; 0 if no sum is.
__device__ __forceinline__ u64 reach(const Row& row, u64 target, bool count, int& pass) {
    u64 found = 0;
    for (int bit = row.token_bits + (row.by_score ? 32 : 0) - 1; bit >= 0; --bit) {
        u64 tried = found | 1ull << bit;
        if (at_least(row, tried, count, pass) > target) found = tried;
    }
    return found;
}

// p ~ exp(score / temperature) among the top_k likeliest (0: all) and the fewest of those that have the share top_p of it (1: all).
// `draws` are in [0, 1) and count from the likeliest word on; in the order of the vocabulary they are in (0, 1].
extern "C" __global__ void __launch_bounds__(1024)
draw(const float* __restrict__ log_probs, const unsigned* __restrict__ never, const double* __restrict__ draws, unsigned* weights,
     long long* __restrict__ tokens, float* __restrict__ own, int V, int token_bits, double temperature, int top_k, double top_p,
     int by_score) {
    __shared__ u64 scratch[64];
    __shared__ float maxima[32];
    const float* z = log_probs + (size_t)blockIdx.x * V;
    weights += (size_t)blockIdx.x * V;
    float most = -INFINITY;
    for (int v = threadIdx.x; v < V; v += blockDim.x)
        if (z[v] != z[v] || !is_in(never, v)) most = larger(most, z[v]);
    most = block_max(most, maxima);
    for (int v = threadIdx.x; v < V; v += blockDim.x) {  // each is read by the thread that wrote it
        float below = most == -INFINITY ? 0.0f : (float)(((double)z[v] - most) / temperature);
        weights[v] = is_in(never, v) ? 0u : (unsigned)(expf(below) * 2147483648.0f);
    }
    Row row = {z, never, weights, V, token_bits, by_score != 0, scratch};
    int pass = 0;
    u64 kept = top_k > 0 ? reach(row, top_k - 1, true, pass) : 0, total = at_least(row, kept, false, pass);
    if (top_p < 1.0) {
        kept = reach(row, (u64)ceil(top_p * total) - 1, false, pass);  // not below what top_k left: there is less in all
        total = at_least(row, kept, false, pass);
    }
    double passed = draws[blockIdx.x] * total;
    u64 target = by_score ? (u64)passed : (u64)ceil(passed) - 1;
    u64 found = reach(row, target < total ? target : total - 1, false, pass);
    if (threadIdx.x) return;
    bool right = most == most && total > 0;
    int token = V - 1 - (int)(found & ((1ull << token_bits) - 1));
    tokens[blockIdx.x] = right ? token : -1;
    own[blockIdx.x] = right ? z[token] : NAN;
}

// --- beam search -----------------------------------------------------------------------------------------------------

// The K best words of each hypothesis, the best first; their scores are 0 at most, and -inf where there are no more.
// `damaged` is set if a score is NaN.
extern "C" __global__ void __launch_bounds__(1024)
best_words(const float* __restrict__ log_probs, const unsigned* __restrict__ never, const long long* __restrict__ said,
           float* __restrict__ offered, int* __restrict__ words, int* __restrict__ damaged, int V, int said_words, int no_repeat,
           int K) {
    DYNAMIC_SHARED(unsigned, repeats);
    __shared__ u64 scratch[64];
    const float* z = log_probs + (size_t)blockIdx.x * V;
    offered += (size_t)blockIdx.x * K, words += (size_t)blockIdx.x * K;
    if (no_repeat) mark_repeats(said + (size_t)blockIdx.x * said_words, said_words, no_repeat, repeats, V);
    u64 last = ~0ull;
    bool stuck = false;  // all that may be said has probability 0: then any of it
    for (int k = 0, pass = 0; k < K; ++pass) {
        u64 best = 0;
        for (int v = threadIdx.x; v < V; v += blockDim.x) {
            float score = z[v];
            if (score == score) {
                if (is_in(never, v)) continue;
                if (stuck) score = LEAST;
                else if (no_repeat && is_in(repeats, v)) score = -INFINITY;
                score = fminf(score, 0.0f);
            }
            u64 rank = rank_of(score, v);
            if (rank < last) best = Largest::of(best, rank);
        }
        best = over_block<Largest>(best, scratch, pass);
        if (k == 0 && !stuck && best >> 32 == key_of(-INFINITY)) {
            stuck = true;
            continue;
        }
        bool there = best != 0 && !no_number(best);
        if (threadIdx.x == 0) {
            if (no_number(best)) *damaged = 1;
            words[k] = there ? token_of(best) : 0;
            bool said_again = there && !stuck && no_repeat && is_in(repeats, token_of(best));
            offered[k] = !there || said_again ? -INFINITY : stuck ? LEAST : fminf(z[token_of(best)], 0.0f);
        }
        last = best;
        ++k;
    }
}

__device__ __forceinline__ u64 key_of(double score) {
    u64 bits = (u64)__double_as_longlong(score + 0.0);
    return bits >> 63 ? ~bits : bits | 1ull << 63;
}

// The larger key; of equals the lower place.
__device__ __forceinline__ void take_better(u64& key, int& place, u64 other, int there) {
    if (other > key || (other == key && there < place)) key = other, place = there;
}

__device__ __forceinline__ void best_of_warp(u64& key, int& place) {
    for (int offset = 16; offset > 0; offset >>= 1) {
        u64 other = __shfl_xor_sync(FULL_WARP, key, offset);
        take_better(key, place, other, __shfl_xor_sync(FULL_WARP, place, offset));
    }
}

// `scores` (N, B) are the log p of the open hypotheses, -inf where there is none; best (N,) and best_at (N, 2) the score of the
// best that has ended, and its step and slot; if none has when a sentence is cut off, after `longest` words, those of the best
// open one. `length` and `divisors` (N,) divide what ends now, and what would end last. `kept` is shared memory, B numbers.
extern "C" __global__ void __launch_bounds__(1024)
beam_step(const float* __restrict__ log_probs, const float* __restrict__ offered, const int* __restrict__ offered_words,
          double* scores, double* __restrict__ best, long long* __restrict__ best_at, long long* __restrict__ parents,
          long long* __restrict__ words, float* __restrict__ own, long long* __restrict__ continued, bool* __restrict__ open,
          const int* __restrict__ longest, const double* __restrict__ divisors, int V, int B, int K, int end, int step,
          double length) {
    DYNAMIC_SHARED(double, kept);
    __shared__ u64 keys[2][32];
    __shared__ int places[2][32];
    int first = blockIdx.x * B, lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
    u64 last = ~0ull;
    int last_place = -1;
    for (int slot = 0; slot < B; ++slot) {
        u64 key = 0;
        int place = B * K;
        for (int c = threadIdx.x; c < B * K; c += blockDim.x) {
            u64 other = key_of(scores[first + c / K] + offered[(size_t)first * K + c]);
            if (other < last || (other == last && c > last_place)) take_better(key, place, other, c);
        }
        best_of_warp(key, place);
        if (lane == 0) keys[slot & 1][warp] = key, places[slot & 1][warp] = place;
        __syncthreads();
        key = lane < warps ? keys[slot & 1][lane] : 0;
        place = lane < warps ? places[slot & 1][lane] : B * K;
        best_of_warp(key, place);
        last = key, last_place = place;
        if (threadIdx.x) continue;
        int parent = first + place / K, word = offered_words[(size_t)first * K + place];
        kept[slot] = scores[parent] + offered[(size_t)first * K + place];
        parents[first + slot] = place / K;
        continued[first + slot] = parent;
        words[first + slot] = word;
        own[first + slot] = log_probs[(size_t)parent * V + word];
    }
    if (threadIdx.x) return;
    double top = -INFINITY, most = -INFINITY;
    int top_slot = 0, most_slot = 0;
    for (int slot = 0; slot < B; ++slot) {
        if (words[first + slot] != end && kept[slot] > most) most = kept[slot], most_slot = slot;
        else if (words[first + slot] == end && kept[slot] / length > top) top = kept[slot] / length, top_slot = slot;
    }
    if (top > best[blockIdx.x]) {
        best[blockIdx.x] = top;
        best_at[2 * blockIdx.x] = step;
        best_at[2 * blockIdx.x + 1] = top_slot;
    }
    bool cut_off = step + 1 == longest[blockIdx.x];
    if (cut_off && best[blockIdx.x] == -INFINITY) {
        best_at[2 * blockIdx.x] = step;
        best_at[2 * blockIdx.x + 1] = most_slot;
    }
    bool done = cut_off || best[blockIdx.x] >= most / divisors[blockIdx.x];  // log p only falls, and the length has an end
    for (int slot = 0; slot < B; ++slot) scores[first + slot] = done || words[first + slot] == end ? -INFINITY : kept[slot];
    open[blockIdx.x] = !done;
}
