// The operands of a matrix product, either way they lie in memory, read four numbers at a time.
#pragma once
#include "float4.cuh"

// One of the two operands: numbers (i, k), i < L, k < K; i is a row of A or a column of B.
struct Operand {
    const float* numbers;
    int L, K;
    bool along_k;     // whether numbers that differ in k are neighbours
    bool vectorised;  // whether all groups of four neighbours begin at a multiple of 16 bytes
};

__device__ __forceinline__ Operand operand(const float* numbers, int L, int K, bool along_k) {
    return {numbers, L, K, along_k, aligned(numbers) && (along_k ? K : L) % 4 == 0};
}

// Four neighbours from (i, k) on; 0 for those past an end.
__device__ __forceinline__ float4 four(const Operand& o, int i, int k) {
    if (i >= o.L || k >= o.K) return make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    const float* at = o.numbers + (o.along_k ? (size_t)i * o.K + k : (size_t)k * o.L + i);
    if (o.vectorised) return *(const float4*)at;
    int left = o.along_k ? o.K - k : o.L - i;
    return make_float4(at[0], left > 1 ? at[1] : 0.0f, left > 2 ? at[2] : 0.0f, left > 3 ? at[3] : 0.0f);
}
