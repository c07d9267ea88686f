"""Input that nobody would write, in large numbers: what reads it may refuse it, and nothing else."""
