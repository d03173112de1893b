"""How good estimates are: scores against withheld floats and the dense target, spectra, and physical sense."""
