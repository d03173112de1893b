"""The synthetic ocean: its truth, and archives of it in the products' native form."""
