"""What camserve's own backends tell: the hint of a refusal, and what a version runs on.

The backends run inside Triton, which passes on only the text of an error and the parameters of a response. Triton's
other backends ignore the parameter of the request and add none to the response.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from camserve.text import shortened

__all__ = ["REPORT_REQUEST", "Execution", "read_execution", "split_hint"]

# All of these as in camserve.serving.backends.camserve_backend, which cannot import them.
_HINT = "; hint: "
_PROVIDER = "camserve_provider"
_WARNINGS = "camserve_warnings"
REPORT_REQUEST: Mapping[str, Any] = {"camserve_report": True}
"""The parameter of a request for a report."""

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


def read_execution(parameters: Mapping[str, Any]) -> Execution:
    """Read the report in the parameters of a response; any server may have sent them.

    Args:
        parameters: Messages `InferParameter` by name.
    """
    texts = {name: parameters[name].string_param for name in (_PROVIDER, _WARNINGS) if name in parameters}
    provider = shortened(texts.get(_PROVIDER, ""), _LONGEST_NAME) or None
    lines = texts.get(_WARNINGS, "").splitlines()[:_MOST_WARNINGS]
    return Execution(provider, tuple(shortened(line, _LONGEST_WARNING) for line in lines))
