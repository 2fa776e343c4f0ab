/* A matrix product by tiles in shared memory.

       C_ij = sum over k of A_ik B_kj       A (M, K), B (K, N), C (M, N)

   One thread makes one number of C. Alone it would read a row of A and a
   column of B from the chip's far memory: two reads for one multiplication.
   But the TILE x TILE threads of a block make a whole tile of C, and need the
   same rows and columns. So they go through K in tiles, and for each

   1. every thread brings one number of A and one of B to shared memory,
   2. all wait until the two tiles are there,
   3. every thread adds TILE products of numbers in shared memory to its sum,
   4. all wait until nobody needs these tiles any more.

   Each number that was brought serves TILE threads.

   A block is TILE x TILE threads: x = threadIdx.x goes along a row, y =
   threadIdx.y down a column. Block (blockIdx.x, blockIdx.y) makes the tile of
   C whose rows begin at blockIdx.y TILE and columns at blockIdx.x TILE. In
   memory a matrix is its rows, one after the other: A_ik is A[i * K + k].

   For TILE = 2 and K = 4, the thread of C_00 has, one tile after the other,

       tile_a   A_00 A_01     tile_b   B_00 B_01
                A_10 A_11              B_10 B_11    sum = A_00 B_00 + A_01 B_10
       tile_a   A_02 A_03     tile_b   B_20 B_21
                A_12 A_13              B_30 B_31    sum + A_02 B_20 + A_03 B_30

   M, K and N need not be multiples of TILE. What lies past an edge counts as
   0 in a tile, and is not written to C. A thread whose number of C is past
   the edge still helps to bring tiles, and comes to all barriers.

   __syncthreads(); is the barrier, as in the exercise before.

   Why: with a TILE of 16 a product reads a sixteenth of what it would, and
   reading is what it waits for. */

#define TILE 8

extern "C" __global__ void matmul(const float *A, const float *B, float *C, int M, int K, int N) {
    __shared__ float tile_a[TILE][TILE], tile_b[TILE][TILE];
    // <solution>
    int x = threadIdx.x, y = threadIdx.y;
    int row = blockIdx.y * TILE + y, column = blockIdx.x * TILE + x;
    float sum = 0.0f;
    for (int k0 = 0; k0 < K; k0 += TILE) {
        tile_a[y][x] = row < M && k0 + x < K ? A[row * K + k0 + x] : 0.0f;
        tile_b[y][x] = k0 + y < K && column < N ? B[(k0 + y) * N + column] : 0.0f;
        __syncthreads();
        for (int k = 0; k < TILE; ++k) sum += tile_a[y][k] * tile_b[k][x];
        __syncthreads();
    }
    if (row < M && column < N) C[row * N + column] = sum;
    // <stub>
    // // yours to write
    // </solution>
}
