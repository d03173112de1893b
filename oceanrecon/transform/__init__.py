"""Numbers in, numbers out: regridding, windows, codes; no files and no dask."""
