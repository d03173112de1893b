"""Export jobs on the scheduler's own dashboard: the page Exports, and the same numbers for Prometheus."""
