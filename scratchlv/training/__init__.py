"""Training: the loop, the optimisers, checkpoints, and how far it is."""
