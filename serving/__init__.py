"""Serving: a bundle in, a served model out.

`publish` turns a bundle into the next version of a model in a Triton model repository, `list_models` says what stands
there, and `TritonServer` runs a real Triton over it.
"""

from camserve.serving.options import Accelerator, ServingOptions
from camserve.serving.publish import Publication, publish
from camserve.serving.repository import ModelEntry, VersionEntry, list_models
from camserve.serving.triton import TritonServer

__all__ = [
    "Accelerator",
    "ModelEntry",
    "Publication",
    "ServingOptions",
    "TritonServer",
    "VersionEntry",
    "list_models",
    "publish",
]
