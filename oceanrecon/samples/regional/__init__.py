"""Patches of a regional dataset: boxes of some days of many sources, read from no more files than they touch."""
