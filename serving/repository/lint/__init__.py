"""Finds the known traps in a model repository before a server falls into them."""
