"""Model-ready samples in numpy: patches of fields and the profiles in them, from exports, archives and older sets."""
