"""Noise, and how it is taken away: preconditioning, schedules, samplers."""
