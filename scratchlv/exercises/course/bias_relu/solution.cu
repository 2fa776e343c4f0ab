/* Bias and ReLU in one kernel, forward and backward.

       y_nd  = max(x_nd + b_d, 0)                     x, y (N, D), b (D,)

       dx_nd = dy_nd if y_nd > 0, else 0              dy, dx (N, D)
       db_d  = sum over n of dx_nd                    db (D,)

   At y = 0 the slope counts as 0. In memory a matrix is its rows, one after
   the other: x_nd is x[n * D + d].

   Two kernels, x + b and then max(…, 0), would read and write the whole array
   twice. Both together are no more arithmetic than one, so one kernel takes
   half the time: this is called fusing. The backward kernel makes dx and db in
   one reading of dy and y.

   forward is launched with one thread for each of the N D numbers, and some
   more: the last block is not full. Number i stands in column i % D.

   backward is launched with one thread for each column d, and some more. The
   thread goes down its column, writes dx, and adds up db in a variable of its
   own: so no two threads add to the same number, and db is the same, to the
   bit, in every order of the threads. (atomicAdd would do without that, but
   its sums depend on who is first.) db holds NaN in the beginning.

   An example: x = (1 −3; 2 5), b = (1 1), dy = (10 20; −30 40):

       y = (2 0; 3 6)    dx = (10 0; −30 40)    db = (−20 40)

   Why: most time of a network that is not spent in products goes into reading
   and writing arrays between them. */

extern "C" __global__ void forward(const float *x, const float *b, float *y, int N, int D) {
    // <solution>
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < N * D) y[i] = fmaxf(x[i] + b[i % D], 0.0f);
    // <stub>
    // // yours to write
    // </solution>
}

extern "C" __global__ void backward(const float *dy, const float *y, float *dx, float *db, int N, int D) {
    // <solution>
    int d = blockIdx.x * blockDim.x + threadIdx.x;
    if (d >= D) return;
    float sum = 0.0f;
    for (int n = 0; n < N; ++n) {
        float slope = y[n * D + d] > 0.0f ? dy[n * D + d] : 0.0f;
        dx[n * D + d] = slope;
        sum += slope;
    }
    db[d] = sum;
    // <stub>
    // // yours to write
    // </solution>
}
