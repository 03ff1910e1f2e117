"""Images: decoded with care, fitted to the network's input, and turned into its tensor."""
