"""From profile files to enriched, gridded and packaged profiles."""
