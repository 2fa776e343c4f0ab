"""What is timed: the problem, ours, and the least that it can take. Nothing here knows of the baselines."""
