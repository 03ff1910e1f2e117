"""Expected answers to image files: find the preprocessing that reproduces them, and compare the export with them."""
