"""Daily regional tiles: raw files of many sources cut into eight regions, their inventory and what it lacks."""
