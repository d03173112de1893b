"""Days of the synthetic ocean as each source of daily fields and points has them in its files."""
