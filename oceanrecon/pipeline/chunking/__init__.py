"""The chunking benchmark: layouts of one field are written, read in three ways, measured and compared."""
