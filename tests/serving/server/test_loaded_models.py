"""What a Triton has loaded, from its log."""

import pytest

from camserve.serving.server.loaded_models import loaded_models

_DEFAULT = 'I1126 20:41:39.159193 7433 model_lifecycle.cc:472] "{}"'
_ISO8601 = '2026-11-26T20:41:39Z I 7433 model_lifecycle.cc:472] "{}"'


def _log(*events: str, line: str = _DEFAULT) -> list[str]:
    return [line.format(event) for event in events]


_LOADED = ("loading: toy:1", "loading: toy:2", "successfully loaded 'toy'")
_REPLACED = (*_LOADED, "loading: toy:2", "loading: toy:3", "successfully loaded 'toy'")
_UNLOADED = ("successfully unloaded 'toy' version 2", "successfully unloaded 'toy' version 1")


@pytest.mark.parametrize("line", [_DEFAULT, _ISO8601])
def test_a_loaded_model_has_the_versions_of_its_last_load(line: str) -> None:
    assert loaded_models(_log(*_LOADED, line=line)) == {"toy": (1, 2)}
    assert loaded_models(_log(*_REPLACED, line=line)) == {"toy": (2, 3)}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (("loading: toy:1",), {}),
        ((*_REPLACED, "successfully unloaded 'toy' version 2"), {"toy": (2, 3)}),  # the first of two instances
        ((*_REPLACED, *_UNLOADED), {"toy": (2, 3)}),
        ((*_LOADED, *_UNLOADED), {}),
        ((*_LOADED, "successfully unloaded 'other' version 1"), {"toy": (1, 2)}),
    ],
)
def test_only_the_last_instance_of_a_version_counts(events: tuple[str, ...], expected: dict[str, object]) -> None:
    assert loaded_models(_log(*events)) == expected


def test_a_failed_load_changes_nothing() -> None:
    failed = (
        "loading: toy:2",
        "loading: toy:3",
        "failed to load 'toy' version 3: Internal: onnxruntime cannot load '/models/toy/3/model.onnx'",
        "failed to load 'toy'",
        "successfully unloaded 'toy' version 2",
    )
    assert loaded_models(_log(*_LOADED, *failed)) == {"toy": (1, 2)}


def test_the_unloading_of_a_shutdown_is_not_counted() -> None:
    shutdown = 'I1126 20:41:48.778988 7433 server.cc:305] "Waiting for in-flight requests to complete."'
    log = [*_log(*_LOADED), shutdown, *_log("successfully unloaded 'toy' version 1")]
    assert loaded_models(log) == {"toy": (1, 2)}


def test_other_lines_are_ignored() -> None:
    printed = ["loading: toy:1", 'model_lifecycle.cc:1] "loading: toy:x"', "\"successfully loaded 'toy'\"", "", "|"]
    assert loaded_models(printed) == {}
