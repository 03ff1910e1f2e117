"""Short messages from the exceptions of frameworks."""

from __future__ import annotations

from camserve.export.framework_errors import reason

TRACEBACK = """in user code:

    File "/somewhere/served.py", line 81, in function  *
        image = preprocess(image, pixels)

    ValueError: 'conv 1/' is not a valid root scope name.
"""


def test_cause_below_a_traceback_is_returned() -> None:
    assert reason(ValueError(TRACEBACK)) == "'conv 1/' is not a valid root scope name"


def test_first_line_is_returned_without_a_traceback() -> None:
    assert reason(ValueError("Invalid shape.\nExpected 3 dimensions.")) == "Invalid shape"
    assert reason(ValueError()) == "ValueError"


def test_long_message_is_shortened() -> None:
    assert reason(TypeError("Could not do it. Full object config: {'a': 1}")) == "Could not do it"
    assert len(reason(ValueError("long " * 1000))) <= 201


def test_addresses_styles_and_wrappers_are_left_out() -> None:
    wrapped = "Exception encountered when calling Dense.call().\n\n\x1b[1mbad <keras.src.Own object at 0x7f3a>\x1b[0m"
    assert reason(ValueError(wrapped)) == "bad Own"
