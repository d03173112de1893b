"""Maps: overlapping tiles that share their noise and are fused at every step, and the files that they become."""
