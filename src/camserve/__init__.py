"""Serve Keras image classifiers on Triton Inference Server, with a class activation map for each answer.

The three packages are `camserve.export` (Keras model to verified bundle), `camserve.serving` (bundle to served model)
and `camserve.clients` (images to classes and maps). The modules beside them are shared by all three.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
