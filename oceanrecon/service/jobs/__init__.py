"""Exports that run on a cluster by themselves: submitted, watched, cancelled and resumed by anyone."""
