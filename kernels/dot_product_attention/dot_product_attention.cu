// Dot-product attention: e = scale keys · query, α = softmax(e), z = Σ α x, and its gradients. The work is in attention.cuh,
// the kernels are in attention_kernels.cuh; a matrix that the query goes through before is a product for the whole batch,
// made by the caller.
#include "attention.cuh"
using Score = attention::Dot;
#include "attention_kernels.cuh"
#include "attention_queries.cuh"
