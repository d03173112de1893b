"""From decoded batches to what models look at, and from what they find back to temperature and salinity."""
