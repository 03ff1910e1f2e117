"""Whether TensorFlow can use the GPU of an instance."""

from __future__ import annotations

import tensorflow as tf

from .gpu_obstacles import Obstacle, driver_obstacle
from .packages import built_without, installed_packages

__all__ = ["gpu_obstacle"]


def gpu_obstacle(gpu: str) -> Obstacle | None:
    """Return why TensorFlow cannot use a GPU, or None.

    Args:
        gpu: Index of the GPU.
    """
    package = f"'tensorflow[and-cuda]=={tf.__version__}'"
    if not tf.test.is_built_with_cuda():
        return built_without("CUDA", installed_packages(tf.__file__), "tensorflow-cpu", package)
    found = len(tf.config.list_physical_devices("GPU"))
    if int(gpu) < found:
        return None
    return driver_obstacle() or Obstacle(
        f"TensorFlow finds {found} GPU{'' if found == 1 else 's'}, not GPU {gpu}",
        f"Install CUDA's libraries: pip install {package}",
    )
