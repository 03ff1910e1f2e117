"""A page in the browser to try a served model: drop an image, see its classes and their maps, of one version or two."""

from camserve.view.options import ViewOptions
from camserve.view.server import PageServer
from camserve.view.versions import Versions

__all__ = ["PageServer", "Versions", "ViewOptions"]
