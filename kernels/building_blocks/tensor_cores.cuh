// What tensor cores do for a warp, and its twins for a CPU: numbers are rounded to TF32 or, two to a word, to bfloat16, and a
// 16 x 8 tile of words times an 8 x 8 tile of words is added to sums in float32. They need compute capability 8.0.
#pragma once
#include "scratchlv.cuh"

#define WORDS 8  // of K in a tile: TF32 numbers, or pairs of bfloat16 that are neighbours in K

#ifdef ON_CPU
// To the nearest number with 10 bits of mantissa, ties away from zero.
__device__ __forceinline__ unsigned to_tf32(float x) {
    unsigned bits = __float_as_uint(x);
    if ((bits & 0x7f800000u) == 0x7f800000u) return bits & 0x7fffffu ? 0x7fffffffu : bits;  // NaN and infinity stay
    return (bits + 0x1000u) & 0xffffe000u;
}

__device__ __forceinline__ unsigned to_bf16_pair(float low, float high) { return to_bf16(low) | (unsigned)to_bf16(high) << 16; }

template <bool BF16> __device__ __forceinline__ float product(unsigned a, unsigned b) {
    if (!BF16) return __uint_as_float(a) * __uint_as_float(b);
    return from_bf16((unsigned short)a) * from_bf16((unsigned short)b) +
           from_bf16((unsigned short)(a >> 16)) * from_bf16((unsigned short)(b >> 16));
}

// c += a b, as the chip does it: lane 4 g + t holds words t and t + 4 of rows g and g + 8 of a, and of column g of b,
// and columns 2 t and 2 t + 1 of rows g and g + 8 of c.
template <bool BF16> __device__ __forceinline__ void multiply(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    for (int word = 0; word < WORDS; ++word) {
        int half = word / 4, from = word % 4;
        unsigned upper = __shfl_sync(FULL_WARP, a[2 * half], 4 * g + from);
        unsigned lower = __shfl_sync(FULL_WARP, a[2 * half + 1], 4 * g + from);
        unsigned left = __shfl_sync(FULL_WARP, b[half], 4 * (2 * t) + from);
        unsigned right = __shfl_sync(FULL_WARP, b[half], 4 * (2 * t + 1) + from);
        c[0] += product<BF16>(upper, left), c[1] += product<BF16>(upper, right);
        c[2] += product<BF16>(lower, left), c[3] += product<BF16>(lower, right);
    }
}
#elif __CUDA_ARCH__ >= 800
__device__ __forceinline__ unsigned to_tf32(float x) {
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return bits;
}

__device__ __forceinline__ unsigned to_bf16_pair(float low, float high) {
    unsigned bits;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
    return bits;
}

template <bool BF16> __device__ __forceinline__ void multiply(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    if (BF16)
        asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    else
        asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#else  // an older chip: never launched there
__device__ __forceinline__ unsigned to_tf32(float) { return 0; }
__device__ __forceinline__ unsigned to_bf16_pair(float, float) { return 0; }
template <bool BF16> __device__ __forceinline__ void multiply(float (&)[4], const unsigned (&)[4], const unsigned (&)[2]) {}
#endif
