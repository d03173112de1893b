"""A folder that is ready for a dataset hub: cards, index tables, metadata, and the data as hard links."""
