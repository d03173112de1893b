"""Patches as torch data sets, and a loader that does not keep a GPU waiting."""
