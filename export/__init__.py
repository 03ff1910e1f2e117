"""Export a Keras model as a verified bundle: fold BatchNorm, add the class activation map, convert and check parity.

Each name is loaded on first use. A call of `export_model` loads TensorFlow, which takes several seconds.
"""

from typing import TYPE_CHECKING

from camserve.lazy import lazy_exports

if TYPE_CHECKING:
    from camserve.export.gate.metric import Metric
    from camserve.export.gate.tolerances import Tolerances
    from camserve.export.pipeline import export_model
    from camserve.export.source.applications import application_names
    from camserve.export.source.recipes import RECIPES, Recipe
else:
    __getattr__, __dir__ = lazy_exports(__name__)

__all__ = ["RECIPES", "Metric", "Recipe", "Tolerances", "application_names", "export_model"]
