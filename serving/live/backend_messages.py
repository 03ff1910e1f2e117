"""What camserve's own backends tell: the hint of a refusal, and what a version runs on.

The backends run inside Triton, which passes on only the texts of errors and the tensors of responses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field

from camserve.text import shortened

__all__ = ["REPORT_REQUEST", "Execution", "read_execution", "split_hint"]

_HINT = "; hint: "  # as in camserve.serving.backends.camserve_backend.parameters, which cannot import it
REPORT_REQUEST: Mapping[str, Any] = {"camserve_report": True}
"""The parameter of a request for a report. Its response has the report, as JSON in bytes, in place of an output."""

_REPORT_TYPE = "UINT8"
_LONGEST_NAME, _LONGEST_WARNING, _MOST_WARNINGS = 40, 1_000, 20


@dataclass(frozen=True)
class Execution:
    """What a version runs on.

    Attributes:
        provider: The execution provider, such as `CUDA` or `CPU`; None if the server does not report it.
        warnings: What its configuration requests and the instance does not have, without the name of the model.
    """

    provider: str | None = None
    warnings: tuple[str, ...] = ()


def split_hint(message: str) -> tuple[str, str | None]:
    """Split the message of a refusal into what was refused and the hint, which is None if there is none."""
    refusal, _, hint = message.partition(_HINT)
    return refusal, hint or None


def read_execution(response: Any, output: str) -> Execution:
    """Read the report in a response; any server may have sent it.

    Args:
        response: The response of tritonclient to a request with the parameter.
        output: The requested output, which is not of type UINT8 in the model.
    """
    tensor = response.get_output(output)
    if tensor is None or tensor.datatype != _REPORT_TYPE:
        return Execution()
    try:
        return _Report.model_validate_json(response.as_numpy(output).tobytes()).execution
    except (ValueError, IndexError):
        return Execution()


class _Report(BaseModel):
    """The JSON of a report."""

    provider: Annotated[str, Field(min_length=1)]
    warnings: tuple[str, ...]

    @property
    def execution(self) -> Execution:
        warnings = (shortened(warning, _LONGEST_WARNING) for warning in self.warnings[:_MOST_WARNINGS])
        return Execution(shortened(self.provider, _LONGEST_NAME), tuple(warnings))
