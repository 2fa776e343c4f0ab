"""Models: parameters, a forward pass and a backward pass, one file each; the backward pass mirrors the forward pass."""
