"""What is learnt: losses, as sums and weights."""
