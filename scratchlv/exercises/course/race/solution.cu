/* A race, which shows only in some orders of the threads. Mend it.

   running_total: y_i = x_0 + x_1 + … + x_i, within one block of THREADS
   threads. (A sampler of words needs it: the probabilities, added up in turn,
   say where a random number falls.) Each step adds what stands d places to
   the left:

       part[t] = x_t
       for d = 1, 2, 4 …:   part[t] = part[t] + part[t − d]    for t >= d

   An example with four threads, where each step reads what the step before
   has left:

       x        1   2   3   4
       d = 1    1   3   5   7       1, 2 + 1, 3 + 2, 4 + 3
       d = 2    1   3   6  10       1, 3, 5 + 1, 7 + 3

   The kernel below has a barrier after each step, and is wrong all the same:
   run `check`, and see what comes when the threads run forward, and in
   reverse. Within a step thread t reads part[t − d], and thread t − d writes
   it. If it has written first, t adds a number of this step, not of the one
   before.

   What helps: within one step each thread must have read before any other
   writes. A thread can keep a number in a variable of its own
   (float left = …;) from one side of a barrier to the other. All threads must
   come to every barrier.

   Why: threads of one warp go in step on many chips, and hide a race for as
   long as a block is one warp. The tests pass, until somebody makes the block
   larger. */

#define THREADS 64

extern "C" __global__ void running_total(const float *x, float *y, int n) {
    __shared__ float part[THREADS];
    int t = threadIdx.x;
    part[t] = t < n ? x[t] : 0.0f;
    __syncthreads();
    for (int d = 1; d < THREADS; d *= 2) {
        // <solution>
        float left = t >= d ? part[t - d] : 0.0f;
        __syncthreads();
        part[t] += left;
        __syncthreads();
        // <stub>
        // if (t >= d) part[t] += part[t - d];
        // __syncthreads();
        // </solution>
    }
    if (t < n) y[t] = part[t];
}
