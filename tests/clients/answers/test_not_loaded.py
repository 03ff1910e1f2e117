"""The error for a model that a server does not serve."""

from __future__ import annotations

from camserve.clients.answers.not_loaded import explain_not_loaded
from camserve.errors import NotLoadedError

URL = "localhost:8001"
ERROR = NotLoadedError("model 'resnet5' is not loaded", hint="Check the name")


def test_the_models_of_the_server_and_the_most_similar_are_named() -> None:
    error = explain_not_loaded(ERROR, "resnet5", "", URL, {"resnet50": ["1"], "digits": ["2"]})
    assert error.message == f"unknown model 'resnet5'; the server at {URL} has: digits, resnet50"
    assert error.hint == "Did you mean 'resnet50'?"


def test_the_versions_of_a_served_model_are_named() -> None:
    error = explain_not_loaded(ERROR, "digits", "7", URL, {"digits": ["2", "3"]})
    assert error.message == f"model 'digits' has no version 7; the server at {URL} has: 2, 3"


def test_names_from_the_server_are_printed_in_one_line() -> None:
    assert "\n" not in explain_not_loaded(ERROR, "x", "", URL, {"a\nb": ["1"]}).message
    assert "\n" not in explain_not_loaded(ERROR, "x", "7", URL, {"x": ["1\n2"]}).message


def test_a_long_list_of_models_is_cut() -> None:
    error = explain_not_loaded(ERROR, "x", "", URL, {f"model-{number:02}": ["1"] for number in range(25)})
    assert error.message.endswith("model-19 and 5 other models")


def test_a_server_that_lists_no_models_leaves_the_error_unchanged() -> None:
    assert explain_not_loaded(ERROR, "resnet5", "", "", {}) is ERROR
    assert explain_not_loaded(ERROR, "resnet5", "", URL, {"resnet5": ["1"]}) is ERROR
