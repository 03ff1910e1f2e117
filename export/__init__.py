"""Keras in, verified bundle out: load or build, fold BatchNorm, add the class activation map, convert, prove parity.

Importing this package loads TensorFlow, which takes some seconds.
"""

from camserve.export.frameworks import load_frameworks

load_frameworks()  # before anything below imports one of them

from camserve.export.gate.parity import Metric  # noqa: E402
from camserve.export.gate.tolerances import Tolerances  # noqa: E402
from camserve.export.pipeline import export_model  # noqa: E402
from camserve.export.source.applications import application_names  # noqa: E402
from camserve.export.source.recipes import RECIPES, Recipe  # noqa: E402

__all__ = ["RECIPES", "Metric", "Recipe", "Tolerances", "application_names", "export_model"]
