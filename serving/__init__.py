"""Serving: a bundle in, a served model out.

`publish` turns a bundle into the next version of a model in a Triton model repository, `list_models` says what stands
there, and `TritonServer` runs a real Triton over it.
"""

from camserve.serving.config.options import Accelerator, ServingOptions
from camserve.serving.publishing.publish import Publication, publish
from camserve.serving.repository.listing import ModelEntry, VersionEntry, list_models
from camserve.serving.server.triton import TritonServer

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
