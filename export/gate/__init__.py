"""Whether what was written says what Keras says."""
