/* Find what is written out of bounds, and mend it.

   Two small kernels. Both work as long as the sizes happen to fit, and both
   write where they must not when the sizes do not.

   shift: the words that a decoder is given in training are the caption, moved
   on by one place, with a start word in front (teacher forcing):

       out_0 = start      out_i = in_{i−1}, i = 1 … n − 1

   An example: n = 4, in = 5 7 2 9, start = 1 give out = 1 5 7 2. The last
   number of in goes nowhere.

   transpose: out_ji = in_ij, in (N, D) and out (D, N). In memory a matrix is
   its rows, one after the other: in_ij is in[i * D + j], out_ji is
   out[j * N + i].

   A grid has as many blocks as cover the array, and so more threads than
   numbers: 37 numbers and blocks of 16 are 3 blocks, 48 threads. The last 11
   have nothing to do, and must know it. The block of transpose is 8 x 8
   threads; threadIdx.x goes over columns j, threadIdx.y over rows i.

   Run `check`. It puts margins around each array, and says which numbers
   there were written, by their place in memory: out[n] is the first one past
   the end. Reading past an end gives NaN. Whoever writes there on a chip
   destroys some other array, and nobody says a word.

   Mend it without more threads, and without larger arrays: say who may write. */

extern "C" __global__ void shift(const float *in, float *out, float start, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    // <solution>
    if (i < n) out[i] = i == 0 ? start : in[i - 1];
    // <stub>
    // if (i == 0) out[0] = start;
    // if (i < n) out[i + 1] = in[i];
    // </solution>
}

extern "C" __global__ void transpose(const float *in, float *out, int N, int D) {
    int i = blockIdx.y * blockDim.y + threadIdx.y;  // row of in
    int j = blockIdx.x * blockDim.x + threadIdx.x;  // column of in
    // <solution>
    if (i < N && j < D) out[j * N + i] = in[i * D + j];
    // <stub>
    // if (i * D + j < N * D) out[j * N + i] = in[i * D + j];
    // </solution>
}
