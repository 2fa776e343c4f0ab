/* A sum by many threads, in CUDA C.

   The same as the exercise before, in the language of the chip itself. A
   block of THREADS threads adds up THREADS numbers of x:

       part[t] = x_i, or 0 past the end        i = blockIdx.x THREADS + t
       part[t] = part[t] + part[t + s]         for t < s;  s = THREADS/2 … 2, 1
       sums[blockIdx.x] = part[0]

   So log2(THREADS) steps do what one thread would do in THREADS: in step s
   the first s threads each add a number that lies s further. An example with
   THREADS = 4 and x = 1 2 3 4 5:

       block 0: part = 1 2 3 4    s = 2:  4 6 . .    s = 1:  10 . . .
       block 1: part = 5 0 0 0    s = 2:  5 0 . .    s = 1:   5 . . .
       sums = 10 5

   What you need of CUDA C:

   - threadIdx.x is the number of the thread in its block, blockIdx.x that of
     the block, blockDim.x how many threads a block has (THREADS here).
   - __shared__ float part[THREADS]; is one array for all threads of a block.
     It holds NaN, not zeros, in the beginning. No other block sees it.
   - __syncthreads(); is a barrier: a thread waits there until all threads of
     its block have come to it. Without one nothing is said about who is
     first. All threads must come to each barrier: it cannot stand where some
     do not pass, in an if (t < s) for example, or behind a return.

   block_sums gets x (n numbers) and writes one sum for each block into sums.
   It is launched with ceil(n / THREADS) blocks; n is at least 1. The check
   runs it with its threads in several orders, on a CPU that plays a GPU.

   Why: sums over a million numbers are everywhere (a loss, a norm, a
   softmax), and one thread would keep the whole chip waiting. */

#define THREADS 64

extern "C" __global__ void block_sums(const float *x, float *sums, int n) {
    __shared__ float part[THREADS];
    // <solution>
    int t = threadIdx.x, i = blockIdx.x * THREADS + t;
    part[t] = i < n ? x[i] : 0.0f;
    __syncthreads();
    for (int s = THREADS / 2; s > 0; s /= 2) {
        if (t < s) part[t] += part[t + s];
        __syncthreads();
    }
    if (t == 0) sums[blockIdx.x] = part[0];
    // <stub>
    // // yours to write
    // </solution>
}
