"""On-disk formats: each with how it is written, opened and checked."""
