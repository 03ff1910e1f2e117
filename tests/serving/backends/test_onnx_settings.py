"""ONNX Runtime settings of a configuration."""

from typing import Any

import pytest

from camserve.serving.backends.camserve_backend.onnx_settings import data_type, session_settings
from camserve.serving.backends.camserve_backend.parameters import ModelRefusedError


def _config(optimization: dict[str, Any] | None = None, /, **parameters: str) -> dict[str, Any]:
    values = {name.replace("__", "."): {"string_value": value} for name, value in parameters.items()}
    return {"parameters": values, "optimization": optimization or {}}


def test_the_defaults_are_those_of_onnx_runtime() -> None:
    settings = session_settings({})
    assert (settings.graph_level, settings.execution_mode) == ("ORT_ENABLE_ALL", "ORT_SEQUENTIAL")
    assert (settings.intra_op_threads, settings.inter_op_threads) == (0, 0)
    assert (settings.memory_arena, settings.memory_pattern, dict(settings.run_entries)) == (None, None, {})
    assert settings.warnings == ()


def test_threads_do_not_spin() -> None:
    assert session_settings({}).entries["session.intra_op.allow_spinning"] == "0"


@pytest.mark.parametrize(
    ("level", "name"),
    [(-1, "ORT_ENABLE_BASIC"), (0, "ORT_ENABLE_ALL"), (1, "ORT_ENABLE_EXTENDED"), (2, "ORT_DISABLE_ALL")],
)
def test_graph_levels_are_those_of_the_compiled_backend(level: int, name: str) -> None:
    assert session_settings(_config({"graph": {"level": level}})).graph_level == name


def test_parameters_are_those_of_the_compiled_backend() -> None:
    settings = session_settings(
        _config(
            intra_op_thread_count="3",
            inter_op_thread_count="-1",
            execution_mode="1",
            enable_mem_arena="FALSE",
            enable_mem_pattern="1",
            session__use_device_allocator_for_initializers="1",
            memory__enable_memory_arena_shrinkage="cpu:0",
            session__disable_prepacking="1",
        )
    )
    assert (settings.intra_op_threads, settings.inter_op_threads, settings.execution_mode) == (3, 0, "ORT_PARALLEL")
    assert (settings.memory_arena, settings.memory_pattern) == (False, True)
    assert settings.entries["session.use_device_allocator_for_initializers"] == "1"
    assert settings.run_entries == {"memory.enable_memory_arena_shrinkage": "cpu:0"}
    # The compiled backend ignores other entries, so they must have no effect here.
    assert "session.disable_prepacking" not in settings.entries


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"execution_mode": "2"}, "execution_mode must be 0 or 1, got 2"),
        ({"intra_op_thread_count": "many"}, "must be an integer, got 'many'"),
        ({"enable_mem_arena": "yes"}, "must be 0 or 1, got 'yes'"),
    ],
)
def test_an_invalid_parameter_is_refused(parameters: dict[str, str], message: str) -> None:
    with pytest.raises(ModelRefusedError, match=message):
        session_settings(_config(**parameters))


def test_a_shared_session_is_warned_about() -> None:
    assert "its own session" in session_settings(_config(share_session_between_instances="true")).warnings[0]


def test_types_have_their_name_in_the_configuration() -> None:
    assert data_type("tensor(float)") == "TYPE_FP32"
    assert data_type("tensor(bfloat16)") == "tensor(bfloat16)"
