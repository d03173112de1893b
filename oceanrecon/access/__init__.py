"""How files are reached: paths inside their roots, file systems behind URLs, ranges of bytes, and what heals."""
