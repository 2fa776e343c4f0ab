/* Find the missing barrier.

   The kernel below is a softmax of each row of x (N, D), one block of THREADS
   threads for a row:

       m = max_j x_j
       s = sum over j of exp(x_j − m)
       p_j = exp(x_j − m) / s

   Each thread goes over the numbers t, t + THREADS, t + 2 THREADS … of the
   row. The maximum over the block, and later the sum, go through the same
   array `part` in shared memory: first each thread's own, then a tree of
   steps, and in the end part[0] holds the result for all to read.

   One barrier is missing, one line __syncthreads(); and so the result depends
   on which thread is first. Run `check`: it shows what comes when the threads
   run forward and when they run in reverse. Then put the barrier where it
   belongs. Nothing else changes, no other barrier is needed, and one that
   could be left out is found, too.

   How to look: between two barriers the threads of a block run in any order,
   one may be done before another has begun. So for each number of part, and
   each stretch from one barrier to the next: if one thread writes to it, no
   other thread may read or write it in the same stretch.

   An example of such a stretch, for two threads and an array of two:

       a = part[0];       both threads read part[0]
       part[t] = 7 + t;   thread 0 writes to it: has thread 1 read by then?

   Why: on a chip this goes well a thousand times, and then it does not. No
   test of the results finds it; thinking in stretches does. */

#define THREADS 32

extern "C" __global__ void softmax(const float *x, float *p, int D) {
    __shared__ float part[THREADS];
    int t = threadIdx.x;
    x += blockIdx.x * D;
    p += blockIdx.x * D;
    // <solution>
    float own = -INFINITY;
    for (int j = t; j < D; j += THREADS) own = fmaxf(own, x[j]);
    part[t] = own;
    __syncthreads();
    for (int s = THREADS / 2; s > 0; s /= 2) {
        if (t < s) part[t] = fmaxf(part[t], part[t + s]);
        __syncthreads();
    }
    float m = part[0];
    __syncthreads();

    own = 0.0f;
    for (int j = t; j < D; j += THREADS) own += expf(x[j] - m);
    part[t] = own;
    __syncthreads();
    for (int s = THREADS / 2; s > 0; s /= 2) {
        if (t < s) part[t] += part[t + s];
        __syncthreads();
    }
    float sum = part[0];

    for (int j = t; j < D; j += THREADS) p[j] = expf(x[j] - m) / sum;
    // <stub>
    // float own = -INFINITY;
    // for (int j = t; j < D; j += THREADS) own = fmaxf(own, x[j]);
    // part[t] = own;
    // __syncthreads();
    // for (int s = THREADS / 2; s > 0; s /= 2) {
    //     if (t < s) part[t] = fmaxf(part[t], part[t + s]);
    //     __syncthreads();
    // }
    // float m = part[0];
    //
    // own = 0.0f;
    // for (int j = t; j < D; j += THREADS) own += expf(x[j] - m);
    // part[t] = own;
    // __syncthreads();
    // for (int s = THREADS / 2; s > 0; s /= 2) {
    //     if (t < s) part[t] += part[t + s];
    //     __syncthreads();
    // }
    // float sum = part[0];
    //
    // for (int j = t; j < D; j += THREADS) p[j] = expf(x[j] - m) / sum;
    // </solution>
}
