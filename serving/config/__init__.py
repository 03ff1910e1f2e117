"""How a model is served: the options, and the `config.pbtxt` that they become."""
