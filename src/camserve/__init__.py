"""camserve: Keras image classifiers on Triton Inference Server, each answer with its class activation map.

The three floors of the house are `camserve.export` (Keras in, verified bundle out), `camserve.serving` (bundle in,
served model out) and `camserve.clients` (images in, answers and maps out). This package holds what all three share.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
