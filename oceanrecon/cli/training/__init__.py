"""Commands of the training package; torch is imported when one runs."""
