"""Fetches the raw files of all sources: what is there is kept, what was cut goes on, what fails is recorded."""
