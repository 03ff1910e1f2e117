"""Why a framework failed, in one line."""

from __future__ import annotations

from camserve.export.framework_errors import reason

TRACEBACK = """in user code:

    File "/somewhere/served.py", line 81, in function  *
        image = preprocess(image, pixels)

    ValueError: 'conv 1/' is not a valid root scope name.
"""


def test_the_cause_below_a_traceback_is_told() -> None:
    assert reason(ValueError(TRACEBACK)) == "'conv 1/' is not a valid root scope name"


def test_without_one_the_first_line_is_told() -> None:
    assert reason(ValueError("it is wet.\nVery wet.")) == "it is wet"
    assert reason(ValueError()) == "ValueError"


def test_a_long_story_is_cut() -> None:
    assert reason(TypeError("Could not do it. Full object config: {'a': 1}")) == "Could not do it"
    assert len(reason(ValueError("long " * 1000))) <= 201
