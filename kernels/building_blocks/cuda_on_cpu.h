// CUDA C on a CPU, to check kernels and to learn from them where there is no GPU.
//
// One fiber per CUDA thread, all on one OS thread: what runs is decided here, and a launch with the same order and seed is
// the same launch again. A thread runs until it must wait for others, so a missing barrier shows as a wrong result in at
// least one of the orders, not as luck.
//
//   order       threads and blocks take their turns forward, in reverse, or shuffled anew at every turn; or a warp goes
//               on to where it must wait for other warps before the next has a turn
//   poison      shared memory, static and dynamic, is 0xFF (NaN) when a block begins
//   deadlock    threads that wait for what cannot come are named, with the line on which they wait
//   divergence  so are threads of a block at different barriers, and lanes of a warp at different shuffles
//   a barrier can be left out by file and line: the mutation test's way to delete it
//
// Limits: `__shared__` variables stand in `extern "C"` kernels, not in templates or inline functions. Every thread must reach a
// barrier, also one that could have ended (stricter than the chip). No spinning on memory: blocks meet in grid.sync() alone. The
// chip's weak memory order is not played: a missing __threadfence() is not seen. Tensor cores, cp.async, clusters and inline PTX
// need a twin in plain C behind `#ifdef ON_CPU`. It says nothing about speed.
#pragma once
#include <csetjmp>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <ucontext.h>

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __shared__ static __attribute__((section("cuda_shared")))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __restrict__ __restrict

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };
struct __attribute__((aligned(8))) float2 { float x, y; };
struct __attribute__((aligned(16))) float4 { float x, y, z, w; };
struct __attribute__((aligned(8))) int2 { int x, y; };
struct __attribute__((aligned(16))) int4 { int x, y, z, w; };
struct __attribute__((aligned(8))) uint2 { unsigned x, y; };
struct __attribute__((aligned(16))) uint4 { unsigned x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

extern "C" __attribute__((weak, visibility("hidden"))) char __start_cuda_shared[], __stop_cuda_shared[];

namespace on_cpu {

#if defined(__SANITIZE_ADDRESS__)
constexpr size_t STACK = 256 * 1024;
#else
constexpr size_t STACK = 64 * 1024;
#endif
constexpr unsigned MOST_THREADS = 1024, MOST_SHARED = 227 * 1024;
enum Order { FORWARD, REVERSE, SHUFFLED, WARPS };

struct Site {  // where a thread waits
    const char *what, *file;
    int line;
    bool operator==(const Site& other) const {
        return line == other.line && !strcmp(file, other.file) && !strcmp(what, other.what);
    }
};

struct Thread {
    uint3 index;
    unsigned number, released;  // released counts how often it was let go on
    unsigned waits_for;         // and this is the count that it waits for
    unsigned collectives;       // warp primitives so far
    bool started, ended;
    Site site;
    ucontext_t start;
    jmp_buf at;
};

struct Warp {
    unsigned exists, arrived;
    uint64_t value[2][32];  // by turns: a lane is at most one primitive ahead
    uint32_t vote[2][32];
};

struct Block {
    uint3 index;
    Thread* threads;
    Warp* warps;
    char *stacks, *dynamic_shared, *static_shared;
    unsigned arrived, ended;
    bool in_grid_barrier;
};

struct Launch {
    const char* kernel;
    dim3 grid, block;
    unsigned threads, blocks, shared;
    bool cooperative, failed;
    void (*body)(void**);
    void** arguments;
    char message[512];
};

struct Options {
    int order;
    uint64_t random;
    char left_out_file[128];  // the barrier that is left out; empty if none is
    int left_out_line;
};

static Launch* launch;
static Block* block;
static Thread* self;
static jmp_buf scheduler;
static bool progress;
static Options options;
static char sites[64 * 1024];  // "file:line\n" of every barrier that was met since somebody asked

inline size_t static_shared_size() { return __start_cuda_shared ? (size_t)(__stop_cuda_shared - __start_cuda_shared) : 0; }

// Byte by byte, and without the sanitizer: the red zones around variables are copied along with them.
__attribute__((no_sanitize_address, no_sanitize_undefined)) inline void copy_bytes(char* to, const char* from, size_t n) {
    for (size_t i = 0; i < n; ++i) ((volatile char*)to)[i] = from ? from[i] : (char)0xFF;
}

inline uint64_t random_number() {  // xorshift64
    uint64_t& r = options.random;
    r ^= r << 13, r ^= r >> 7, r ^= r << 17;
    return r;
}

// --- waiting ---------------------------------------------------------------------------------------------------------

[[noreturn]] inline void to_scheduler() { _longjmp(scheduler, 1); }

template <class... Values> [[noreturn]] inline void fail(const char* format, Values... values) {
    if (!launch->failed) snprintf(launch->message, sizeof launch->message, format, values...);
    launch->failed = true;
    to_scheduler();
}

inline void wait(Site site) {
    self->site = site;
    self->waits_for = self->released + 1;
    if (_setjmp(self->at) == 0) to_scheduler();
}

inline void release(Thread& thread) { ++thread.released; }

inline bool can_run(const Thread& thread) { return !thread.ended && (!thread.started || thread.released == thread.waits_for); }

inline const char* base_name(const char* file) {
    const char* slash = strrchr(file, '/');
    return slash ? slash + 1 : file;
}

inline void note(Site site) {
    char line[128];
    snprintf(line, sizeof line, "%s:%d\n", base_name(site.file), site.line);
    if (!strstr(sites, line) && strlen(sites) + strlen(line) < sizeof sites) strcat(sites, line);
}

inline bool left_out(Site site) {
    return site.line == options.left_out_line && !strcmp(base_name(site.file), options.left_out_file);
}

inline void all_at_one_site(Site site) {
    for (unsigned i = 0; i < launch->threads; ++i) {
        const Thread& other = block->threads[i];
        if (!(other.site == site))
            fail("%s, block (%u, %u, %u): thread (%u, %u, %u) stands at %s (%s:%d) and thread (%u, %u, %u) at %s (%s:%d): "
                 "all threads of a block must come to the same barrier",
                 launch->kernel, block->index.x, block->index.y, block->index.z,
                 self->index.x, self->index.y, self->index.z, site.what, base_name(site.file), site.line,
                 other.index.x, other.index.y, other.index.z, other.site.what, base_name(other.site.file), other.site.line);
    }
}

inline void barrier(Site site) {
    note(site);
    if (left_out(site)) return;
    self->site = site;
    if (++block->arrived < launch->threads) return wait(site);
    all_at_one_site(site);
    block->arrived = 0;
    for (unsigned i = 0; i < launch->threads; ++i) release(block->threads[i]);
    self->waits_for = self->released;
}

inline void grid_barrier(Site site) {
    if (!launch->cooperative)
        fail("%s: grid.sync() in a launch that is not cooperative (%s:%d)", launch->kernel, base_name(site.file), site.line);
    note(site);
    if (left_out(site)) return;
    self->site = site;
    if (++block->arrived == launch->threads) {
        all_at_one_site(site);
        block->arrived = 0;
        block->in_grid_barrier = true;
    }
    wait(site);
}

// Waits for the lanes of `mask`; returns which of the two buffers this primitive uses.
inline unsigned warp_barrier(unsigned mask, Site site) {
    Warp& warp = block->warps[self->number / 32];
    unsigned lane = self->number % 32, wanted = mask & warp.exists;
    if (!(mask >> lane & 1))
        fail("%s, block (%u, %u, %u), thread (%u, %u, %u): a lane that is not in its own mask %08x (%s, %s:%d)",
             launch->kernel, block->index.x, block->index.y, block->index.z, self->index.x, self->index.y, self->index.z,
             mask, site.what, base_name(site.file), site.line);
    self->site = site;
    warp.arrived |= 1u << lane;
    if ((warp.arrived & wanted) != wanted) {
        wait(site);
        return self->collectives++ & 1;
    }
    warp.arrived &= ~wanted;
    Thread* lanes = block->threads + self->number / 32 * 32;
    for (unsigned i = 0; i < 32; ++i) {
        if (!(wanted >> i & 1)) continue;
        if (!(lanes[i].site == site))
            fail("%s, block (%u, %u, %u): lanes of one warp stand at %s:%d and %s:%d, in one mask",
                 launch->kernel, block->index.x, block->index.y, block->index.z,
                 base_name(site.file), site.line, base_name(lanes[i].site.file), lanes[i].site.line);
        release(lanes[i]);
    }
    self->waits_for = self->released;
    return self->collectives++ & 1;
}

// --- running ---------------------------------------------------------------------------------------------------------

inline void body_of_thread() {
    launch->body(launch->arguments);
    self->ended = true;
    ++block->ended;
    to_scheduler();
}

inline void run(Thread& thread) {
    self = &thread;
    progress = true;
    if (_setjmp(scheduler) != 0) return;
    if (thread.started) _longjmp(thread.at, 1);
    thread.started = true;
    getcontext(&thread.start);
    thread.start.uc_stack.ss_sp = block->stacks + STACK * thread.number;
    thread.start.uc_stack.ss_size = STACK;
    thread.start.uc_link = nullptr;
    makecontext(&thread.start, body_of_thread, 0);
    setcontext(&thread.start);
}

inline void put_in_order(unsigned* turns, unsigned n) {
    for (unsigned i = 0; i < n; ++i) turns[i] = options.order == REVERSE ? n - 1 - i : i;
    if (options.order == SHUFFLED)
        for (unsigned i = n; i > 1; --i) {
            unsigned j = random_number() % i, t = turns[i - 1];
            turns[i - 1] = turns[j], turns[j] = t;
        }
}

inline void begin(Block& b, unsigned number) {
    dim3 g = launch->grid, s = launch->block;
    b.index = {number % g.x, number / g.x % g.y, number / (g.x * g.y)};
    b.arrived = b.ended = 0;
    b.in_grid_barrier = false;
    memset(b.warps, 0, sizeof(Warp) * ((launch->threads + 31) / 32));
    for (unsigned i = 0; i < launch->threads; ++i) {
        Thread& t = b.threads[i];
        t.index = {i % s.x, i / s.x % s.y, i / (s.x * s.y)};
        t.number = i;
        t.released = t.waits_for = t.collectives = 0;
        t.started = t.ended = false;
        t.site = {"the start", "", 0};
        b.warps[i / 32].exists |= 1u << i % 32;
    }
    memset(b.dynamic_shared, 0xFF, launch->shared);
    copy_bytes(b.static_shared, nullptr, static_shared_size());
}

inline void stuck(Block& b) {
    const Thread *first = nullptr, *second = nullptr;
    for (unsigned i = 0; i < launch->threads && !second; ++i) {
        const Thread& t = b.threads[i];
        if (t.ended) continue;
        if (!first) first = &t;
        else if (!(t.site == first->site)) second = &t;
    }
    int n = snprintf(launch->message, sizeof launch->message,
                     "%s, block (%u, %u, %u): deadlock: thread (%u, %u, %u) waits in %s (%s:%d)",
                     launch->kernel, b.index.x, b.index.y, b.index.z, first->index.x, first->index.y, first->index.z,
                     first->site.what, base_name(first->site.file), first->site.line);
    char* rest = launch->message + n;
    size_t room = sizeof launch->message - n;
    if (second)
        n = snprintf(rest, room, ", thread (%u, %u, %u) in %s (%s:%d)", second->index.x, second->index.y, second->index.z,
                     second->site.what, base_name(second->site.file), second->site.line);
    else n = 0;
    if (b.ended) snprintf(rest + n, room - n, ", and %u of %u threads have ended", b.ended, launch->threads);
    launch->failed = true;
}

// Runs a block until it has ended, or all its threads stand in the barrier of the grid.
inline void run_block(Block& b, unsigned* turns) {
    block = &b;
    copy_bytes(__start_cuda_shared, b.static_shared, static_shared_size());
    put_in_order(turns, launch->threads);
    while (b.ended < launch->threads && !b.in_grid_barrier && !launch->failed) {
        progress = false;
        if (options.order == SHUFFLED) put_in_order(turns, launch->threads);
        for (unsigned i = 0, again = 0; i < launch->threads && !launch->failed; ++i) {
            if (can_run(b.threads[turns[i]])) run(b.threads[turns[i]]), again = 1;
            bool warp_ends = i % 32 == 31 || i + 1 == launch->threads;
            if (options.order == WARPS && warp_ends && again) i = i / 32 * 32 - 1, again = 0;  // its lanes once more
        }
        if (!progress && !launch->failed) stuck(b);
    }
    copy_bytes(b.static_shared, __start_cuda_shared, static_shared_size());
}

struct Memory {  // of the blocks that live at the same time
    Block* blocks;
    unsigned count;
    explicit Memory(unsigned n) : blocks(new Block[n]), count(n) {
        for (unsigned i = 0; i < n; ++i) {
            Block& b = blocks[i];
            b.threads = new Thread[launch->threads];
            b.warps = new Warp[(launch->threads + 31) / 32];
            b.dynamic_shared = (char*)aligned_alloc(16, (launch->shared + 15) & ~15u);
            b.static_shared = new char[static_shared_size() + 1];
            b.stacks = (char*)mmap(nullptr, STACK * launch->threads, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        }
    }
    ~Memory() {
        for (unsigned i = 0; i < count; ++i) {
            Block& b = blocks[i];
            delete[] b.threads;
            delete[] b.warps;
            free(b.dynamic_shared);
            delete[] b.static_shared;
            munmap(b.stacks, STACK * launch->threads);
        }
        delete[] blocks;
    }
};

inline void run_blocks_one_by_one(unsigned* blocks, unsigned* turns) {
    Memory memory(1);
    for (unsigned i = 0; i < launch->blocks && !launch->failed; ++i) {
        begin(memory.blocks[0], blocks[i]);
        run_block(memory.blocks[0], turns);
    }
}

inline void run_blocks_together(unsigned* blocks, unsigned* turns) {
    Memory memory(launch->blocks);
    for (unsigned i = 0; i < launch->blocks; ++i) begin(memory.blocks[i], i);
    for (unsigned ended = 0; ended < launch->blocks && !launch->failed;) {
        unsigned waiting = 0;
        put_in_order(blocks, launch->blocks);
        for (unsigned i = 0; i < launch->blocks && !launch->failed; ++i) {
            Block& b = memory.blocks[blocks[i]];
            if (b.ended == launch->threads) continue;
            run_block(b, turns);
            if (b.in_grid_barrier) ++waiting;
            else ++ended;
        }
        if (launch->failed || ended == launch->blocks) return;
        if (waiting < launch->blocks) {
            snprintf(launch->message, sizeof launch->message,
                     "%s: deadlock: %u of %u blocks wait in grid.sync(), and the others have ended",
                     launch->kernel, waiting, launch->blocks);
            launch->failed = true;
            return;
        }
        for (unsigned i = 0; i < launch->blocks; ++i) {
            memory.blocks[i].in_grid_barrier = false;
            for (unsigned t = 0; t < launch->threads; ++t) release(memory.blocks[i].threads[t]);
        }
    }
}

inline int run_launch(const char* kernel, void (*body)(void**), void** arguments, const unsigned* g, const unsigned* b,
                      unsigned shared, int cooperative, char* message, int room) {
    Launch l{};
    l.kernel = kernel, l.body = body, l.arguments = arguments;
    l.grid = {g[0], g[1], g[2]}, l.block = {b[0], b[1], b[2]};
    l.threads = b[0] * b[1] * b[2], l.blocks = g[0] * g[1] * g[2];
    l.shared = shared, l.cooperative = cooperative;
    launch = &l;
    unsigned* turns = new unsigned[l.threads + l.blocks];
    put_in_order(turns + l.threads, l.blocks);
    if (cooperative) run_blocks_together(turns + l.threads, turns);
    else run_blocks_one_by_one(turns + l.threads, turns);
    delete[] turns;
    snprintf(message, room, "%s", l.message);
    return l.failed;
}

template <class T> struct Plain { typedef T type; };
template <class T> struct Plain<const T> { typedef T type; };
template <size_t... I> struct Numbers {};
template <size_t N, size_t... I> struct Count : Count<N - 1, N - 1, I...> {};
template <size_t... I> struct Count<0, I...> { typedef Numbers<I...> type; };
template <class... A, size_t... I> inline void call(void (*kernel)(A...), void** a, Numbers<I...>) {
    kernel(*(typename Plain<A>::type*)a[I]...);
}
template <class... A> inline void call(void (*kernel)(A...), void** a) { call(kernel, a, typename Count<sizeof...(A)>::type()); }

// --- warp primitives -------------------------------------------------------------------------------------------------

template <class T> inline T shuffle(unsigned mask, T v, int from, bool valid, Site site) {
    static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
    Warp& warp = block->warps[self->number / 32];
    uint64_t bits = 0;
    memcpy(&bits, &v, sizeof(T));
    warp.value[self->collectives & 1][self->number % 32] = bits;
    unsigned turn = warp_barrier(mask, site);
    if (!valid) return v;
    bits = (mask & warp.exists) >> from & 1 ? warp.value[turn][from] : ~(uint64_t)0;  // from a lane that is not there: NaN
    memcpy(&v, &bits, sizeof(T));
    return v;
}

inline int lane() { return (int)(self->number % 32); }
template <class T> inline T shuffle_from(unsigned m, T v, int from, int width, Site s) {
    return shuffle(m, v, (lane() & ~(width - 1)) | (from & (width - 1)), true, s);
}
template <class T> inline T shuffle_down(unsigned m, T v, unsigned by, int width, Site s) {
    bool valid = (lane() & (width - 1)) + (int)by < width;
    return shuffle(m, v, valid ? lane() + (int)by : 0, valid, s);
}
template <class T> inline T shuffle_up(unsigned m, T v, unsigned by, int width, Site s) {
    bool valid = (lane() & (width - 1)) >= (int)by;
    return shuffle(m, v, valid ? lane() - (int)by : 0, valid, s);
}
template <class T> inline T shuffle_xor(unsigned m, T v, int with, int, Site s) {
    return shuffle(m, v, (lane() ^ with) & 31, true, s);
}

inline unsigned ballot(unsigned mask, int vote, Site site) {
    Warp& warp = block->warps[self->number / 32];
    warp.vote[self->collectives & 1][lane()] = vote != 0;
    unsigned turn = warp_barrier(mask, site), votes = 0;
    for (unsigned i = 0; i < 32; ++i)
        if ((mask & warp.exists) >> i & 1 && warp.vote[turn][i]) votes |= 1u << i;
    return votes;
}

}  // namespace on_cpu

#define ON_CPU_SITE(what) (on_cpu::Site{what, __FILE__, __LINE__})
#define threadIdx (on_cpu::self->index)
#define blockIdx (on_cpu::block->index)
#define blockDim (on_cpu::launch->block)
#define gridDim (on_cpu::launch->grid)
#define warpSize 32
#define __syncthreads() on_cpu::barrier(ON_CPU_SITE("__syncthreads()"))
#define __syncwarp(...) on_cpu::sync_warp(ON_CPU_SITE("__syncwarp()"), ##__VA_ARGS__)
#define __shfl_sync(m, v, from, ...) on_cpu::shuffle_from(m, v, from, on_cpu::width(__VA_ARGS__), ON_CPU_SITE("__shfl_sync()"))
#define __shfl_down_sync(m, v, by, ...) \
    on_cpu::shuffle_down(m, v, by, on_cpu::width(__VA_ARGS__), ON_CPU_SITE("__shfl_down_sync()"))
#define __shfl_up_sync(m, v, by, ...) on_cpu::shuffle_up(m, v, by, on_cpu::width(__VA_ARGS__), ON_CPU_SITE("__shfl_up_sync()"))
#define __shfl_xor_sync(m, v, with, ...) \
    on_cpu::shuffle_xor(m, v, with, on_cpu::width(__VA_ARGS__), ON_CPU_SITE("__shfl_xor_sync()"))
#define __ballot_sync(m, vote) on_cpu::ballot(m, vote, ON_CPU_SITE("__ballot_sync()"))
#define __any_sync(m, vote) (on_cpu::ballot(m, vote, ON_CPU_SITE("__any_sync()")) != 0)
#define __all_sync(m, vote) (on_cpu::ballot(m, !(vote), ON_CPU_SITE("__all_sync()")) == 0)

namespace on_cpu {
inline int width(int w = 32) { return w; }
inline void sync_warp(Site site, unsigned mask = 0xffffffffu) {
    note(site);
    if (!left_out(site)) warp_barrier(mask, site);
}
}  // namespace on_cpu

inline void __threadfence() {}
inline void __threadfence_block() {}

// One OS thread runs everything, so a plain read and write is atomic.
template <class T> inline T atomicAdd(T* p, T v) { T old = *p; *p = old + v; return old; }
template <class T> inline T atomicMax(T* p, T v) { T old = *p; if (v > old) *p = v; return old; }
template <class T> inline T atomicMin(T* p, T v) { T old = *p; if (v < old) *p = v; return old; }
template <class T> inline T atomicOr(T* p, T v) { T old = *p; *p = old | v; return old; }
template <class T> inline T atomicExch(T* p, T v) { T old = *p; *p = v; return old; }
template <class T> inline T atomicCAS(T* p, T compare, T v) { T old = *p; if (old == compare) *p = v; return old; }

template <class T> inline T __ldg(const T* p) { return *p; }
template <class T> inline T __ldcg(const T* p) { return *p; }
template <class T> inline void __stcg(T* p, T v) { *p = v; }
inline float __uint_as_float(unsigned u) { float f; memcpy(&f, &u, 4); return f; }
inline unsigned __float_as_uint(float f) { unsigned u; memcpy(&u, &f, 4); return u; }
inline float __int_as_float(int i) { return __uint_as_float((unsigned)i); }
inline int __float_as_int(float f) { return (int)__float_as_uint(f); }
inline long long __double_as_longlong(double d) { long long bits; memcpy(&bits, &d, 8); return bits; }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline int __popc(unsigned u) { return __builtin_popcount(u); }
inline int __ffs(int i) { return __builtin_ffs(i); }
inline int __clz(int i) { return i ? __builtin_clz((unsigned)i) : 32; }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
template <class T> inline T min(T a, T b) { return b < a ? b : a; }
template <class T> inline T max(T a, T b) { return a < b ? b : a; }

namespace cooperative_groups {
struct grid_group {
    void sync_at(on_cpu::Site site) const { on_cpu::grid_barrier(site); }
};
inline grid_group this_grid() { return {}; }
}  // namespace cooperative_groups
#define sync() sync_at(ON_CPU_SITE("grid.sync()"))

#define DYNAMIC_SHARED(type, name) type* name = (type*)on_cpu::block->dynamic_shared

#define ON_CPU_EXPORT(kernel)                                                                                                  \
    extern "C" __attribute__((visibility("default"))) int launch_##kernel(                                                     \
        void** arguments, const unsigned* grid, const unsigned* block, unsigned shared, int cooperative,                       \
        char* message, int room) {                                                                                             \
        return on_cpu::run_launch(#kernel, [](void** a) { on_cpu::call(&kernel, a); }, arguments, grid, block, shared,         \
                                  cooperative, message, room);                                                                 \
    }
#define ON_CPU_EXPORT_OPTIONS                                                                                                  \
    extern "C" __attribute__((visibility("default"))) void set_options(int order, uint64_t seed, const char* file, int line) { \
        on_cpu::options = {order, seed * 2654435769u + 88172645463325252u, "", line};                                          \
        snprintf(on_cpu::options.left_out_file, sizeof on_cpu::options.left_out_file, "%s", file);                             \
    }                                                                                                                          \
    extern "C" __attribute__((visibility("default"))) const char* barriers_met() {                                             \
        static char met[sizeof on_cpu::sites];                                                                                 \
        memcpy(met, on_cpu::sites, sizeof met);                                                                                \
        on_cpu::sites[0] = 0;                                                                                                  \
        return met;                                                                                                            \
    }
