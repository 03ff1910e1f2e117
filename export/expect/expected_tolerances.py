"""The check that the tolerances for expected answers are such as a bundle may have."""

from __future__ import annotations

from camserve.contract import Activation
from camserve.errors import UsageError
from camserve.export.formats.onnx_settings import lower_format
from camserve.export.gate.tolerances import Tolerances
from camserve.export.options import ExportOptions
from camserve.golden_images import tolerance_fault

__all__ = ["check_expected_tolerances"]


def check_expected_tolerances(options: ExportOptions, activation: Activation, *, probabilities: bool) -> None:
    """Check that some answers would exceed the tolerances for expected answers, as publishing requires.

    Args:
        options: The options.
        activation: The last activation of the model.
        probabilities: Whether the expected answers are probabilities, not classes.

    Raises:
        UsageError: If one accepts every answer.
    """
    names, lower = ["end_to_end"], lower_format(options.onnx.precision)
    if lower is not None:
        names.append(str(options.tolerances.of_lower_precision("probabilities", lower).option))
    for name in names:
        fault = tolerance_fault(getattr(options.tolerances, name), activation, probabilities=probabilities)
        if fault is not None:
            raise UsageError(
                f"with expected answers, the tolerance of {name} {fault}",
                hint=f"Pass --bound {name}={getattr(Tolerances(), name):g}, which is the default, or another number",
            )
