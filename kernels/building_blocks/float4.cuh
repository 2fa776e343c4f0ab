// Rows of numbers, read and written as float4 where they are aligned for it: 16 bytes a thread in one instruction.
#pragma once
#include "scratchlv.cuh"

// Whether p is a multiple of so many bytes: of 16, a float4 can be read there. Null is: what is not there does not count.
__device__ __forceinline__ bool aligned(const void* p, int bytes = 16) { return (size_t)p % bytes == 0; }

// Whether rows of n floats, one after the other from `p` on, are all aligned.
__device__ __forceinline__ bool rows_aligned(const void* p, int n) { return n % 4 == 0 && aligned(p); }

// Columns k to k + 3 of a row of n; 0 past its end. `vectorised` is what rows_aligned said of the rows.
__device__ __forceinline__ float4 load4(const float* row, int k, int n, bool vectorised) {
    if (vectorised) return *(const float4*)(row + k);
    return make_float4(row[k], k + 1 < n ? row[k + 1] : 0.0f, k + 2 < n ? row[k + 2] : 0.0f, k + 3 < n ? row[k + 3] : 0.0f);
}

__device__ __forceinline__ void store4(float* row, int k, int n, bool vectorised, float4 value) {
    if (vectorised) {
        *(float4*)(row + k) = value;
        return;
    }
    row[k] = value.x;
    if (k + 1 < n) row[k + 1] = value.y;
    if (k + 2 < n) row[k + 2] = value.z;
    if (k + 3 < n) row[k + 3] = value.w;
}

__device__ __forceinline__ float4 splat(float v) { return make_float4(v, v, v, v); }

__device__ __forceinline__ float4 operator+(float4 a, float4 b) {
    return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

// sum + w a
__device__ __forceinline__ float4 add_scaled(float4 sum, float w, float4 a) {
    return make_float4(fmaf(w, a.x, sum.x), fmaf(w, a.y, sum.y), fmaf(w, a.z, sum.z), fmaf(w, a.w, sum.w));
}

// sum + a · b
__device__ __forceinline__ float add_dot4(float sum, float4 a, float4 b) {
    return fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, fmaf(a.x, b.x, sum))));
}

// --- the same, where the four are an array ---------------------------------------------------------------------------

// Four numbers in one access where they all exist and are aligned (`vectorised`), else the `n` that exist.
__device__ __forceinline__ void load4(float (&to)[4], const float* from, int n, bool vectorised) {
    if (vectorised) {
        float4 v = *(const float4*)from;
        to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
        return;
    }
#pragma unroll
    for (int e = 0; e < 4; ++e) to[e] = e < n ? from[e] : 0.0f;
}

__device__ __forceinline__ void store4(float* to, const float (&from)[4], int n, bool vectorised) {
    if (vectorised) {
        *(float4*)to = make_float4(from[0], from[1], from[2], from[3]);
        return;
    }
#pragma unroll
    for (int e = 0; e < 4; ++e)
        if (e < n) to[e] = from[e];
}
