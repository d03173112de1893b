"""A TACO dataset from regional files: build, extend, verify."""
