"""A bundle becomes the next version of a model, wholly or not at all."""
