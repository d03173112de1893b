"""Products, inventories and blocks: the only room that knows a product's conventions."""
