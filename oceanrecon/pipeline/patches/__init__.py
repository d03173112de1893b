"""Patches: tables of them, their split, what they hold, and samples on disk."""
