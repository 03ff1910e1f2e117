"""The network as a list of steps: traced from Keras, put into inference mode, folded, and extended by its maps."""
