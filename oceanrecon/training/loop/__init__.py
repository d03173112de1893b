"""Training: stages, steps, checkpoints."""
