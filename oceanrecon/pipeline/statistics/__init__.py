"""Statistics of the training side of an export: climatology, deviations, vertical modes and covariances."""
