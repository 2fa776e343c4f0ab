// Root mean square normalisation of pictures of L places and C channels, y = x / sqrt(mean x² + eps), and its backward pass:
// a block for a picture. A picture's row of y may have more channels, `wide`, of which the first C are written.
#include "scratchlv.cuh"

extern "C" __global__ void __launch_bounds__(1024)
rms_norm_forward(const float* __restrict__ x, float* __restrict__ y, float* __restrict__ scales, int L, int C, int wide,
                 float eps) {
    __shared__ float scratch[32];
    long long n = (long long)L * C;
    const float* from = x + blockIdx.x * n;
    float* to = y + (size_t)blockIdx.x * L * wide;
    float sum = 0.0f;
    for (long long i = threadIdx.x; i < n; i += blockDim.x) sum += from[i] * from[i];
    float scale = 1.0f / sqrtf(block_sum(sum, scratch) / (float)n + eps);
    for (long long i = threadIdx.x; i < n; i += blockDim.x) to[i / C * wide + i % C] = from[i] * scale;
    if (threadIdx.x == 0) scales[blockIdx.x] = scale;
}

// dx = scale (dy - y mean(dy y)), of n numbers a picture.
extern "C" __global__ void __launch_bounds__(1024)
rms_norm_backward(const float* __restrict__ dy, const float* __restrict__ y, const float* __restrict__ scales,
                  float* __restrict__ dx, long long n) {
    __shared__ float scratch[32];
    long long first = blockIdx.x * n;
    float sum = 0.0f;
    for (long long i = first + threadIdx.x; i < first + n; i += blockDim.x) sum += dy[i] * y[i];
    float mean = block_sum(sum, scratch) / (float)n, scale = scales[blockIdx.x];
    for (long long i = first + threadIdx.x; i < first + n; i += blockDim.x) dx[i] = scale * (dy[i] - mean * y[i]);
}
