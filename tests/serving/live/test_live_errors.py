"""Errors of a running server."""

import pytest
from tritonclient.utils import InferenceServerException

from camserve.serving.live.live_errors import server_error

_TRACEBACK = "\n\nAt:\n  /tmp/backends/instance.py(86): initialize\n"
_LOAD = "load failed for model 'toy': version {} is at UNAVAILABLE state: Internal: TritonModelException: {};\n"


@pytest.mark.parametrize(
    ("message", "expected", "hint"),
    [
        (_LOAD.format(3, f"it has no output{_TRACEBACK}"), "version 3: it has no output", None),
        (
            _LOAD.format(3, f"it lacks CUDA; hint: Install it{_TRACEBACK}"),
            "version 3: it lacks CUDA",
            "Install it (on the host of the server)",
        ),
        (
            "load failed for model 'toy': version 2 is at UNAVAILABLE state: Internal: TritonModelException: "
            f"it lacks CUDA; hint: Install it{_TRACEBACK};version 3 is at UNAVAILABLE state: Not found: it is gone;",
            "version 2: it lacks CUDA; version 3: it is gone",
            "Install it (on the host of the server)",
        ),
        ("the model is busy", "the model is busy", None),
    ],
)
def test_a_refusal_is_one_sentence_with_a_hint(message: str, expected: str, hint: str | None) -> None:
    error = server_error("host:1", "load toy", InferenceServerException(message, status="StatusCode.INTERNAL"))
    assert error.message == f"the server host:1 cannot load toy: {expected}"
    assert error.hint == hint
