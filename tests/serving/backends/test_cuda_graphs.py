"""Options of the CUDA provider for fixed batch sizes."""

from typing import Any

import pytest

from camserve.serving.backends.camserve_backend.cuda_graphs import check_free_sizes, plan_attempts
from camserve.serving.backends.camserve_backend.onnx_providers import CPU, CUDA, TENSORRT
from camserve.serving.backends.camserve_backend.parameters import ModelRefusedError

FAST = {"prefer_nhwc": "1", "fuse_conv_bias": "1"}
GRAPHS, NO_GRAPHS = {"enable_cuda_graph": "1"}, {"enable_cuda_graph": "0"}
SHRINKAGE = {"memory.enable_memory_arena_shrinkage": "gpu:0"}


def _planned(cuda_graphs: str | None = None, run_entries: dict[str, str] | None = None, /, **requested: str) -> Any:
    parameters = {} if cuda_graphs is None else {"cuda_graphs": {"string_value": cuda_graphs}}
    attempts = plan_attempts({"parameters": parameters}, [(CUDA, requested), (CPU, {})], run_entries or {})
    assert all(attempt.providers[1:] == ((CPU, {}),) for attempt in attempts)
    return [attempt.providers[0][1] for attempt in attempts]


def test_the_fastest_options_come_first() -> None:
    assert _planned(device_id="2") == [
        {**FAST, **GRAPHS, "device_id": "2"},
        {**FAST, **NO_GRAPHS, "device_id": "2"},
        {**NO_GRAPHS, "device_id": "2"},
    ]


def test_requested_options_are_in_every_attempt() -> None:
    assert _planned(**FAST, **GRAPHS) == [{**FAST, **GRAPHS}]
    assert _planned("1") == [{**FAST, **GRAPHS}, GRAPHS]
    assert _planned("0") == [{**FAST, **NO_GRAPHS}, NO_GRAPHS]


def test_convolutions_are_not_fused_without_nhwc() -> None:
    assert _planned(prefer_nhwc="0") == [{"prefer_nhwc": "0", **GRAPHS}, {"prefer_nhwc": "0", **NO_GRAPHS}]


def test_memory_of_recorded_graphs_is_not_returned() -> None:
    assert _planned(None, SHRINKAGE) == [{**FAST, **NO_GRAPHS}, NO_GRAPHS]
    with pytest.raises(ModelRefusedError, match=r"cuda_graphs cannot be 1 together with memory\.enable_memory_arena"):
        _planned("1", SHRINKAGE)


def test_an_attempt_names_what_was_not_requested() -> None:
    attempts = plan_attempts({}, [(CUDA, {"prefer_nhwc": "1", "device_id": "2"}), (CPU, {})], {})
    assert attempts[0].extras == "fuse_conv_bias=1, enable_cuda_graph=1"
    assert [each.graphs for each in attempts] == [True, False, False]
    assert {(each.device, each.index) for each in attempts} == {("cuda", 2)}


@pytest.mark.parametrize(("name", "device"), [(CPU, "cpu"), (TENSORRT, "cuda")])
def test_other_providers_keep_their_options(name: str, device: str) -> None:
    (attempt,) = plan_attempts({"parameters": {"cuda_graphs": {"string_value": "1"}}}, [(name, {"a": "b"})], {})
    assert attempt.providers == ((name, {"a": "b"}),)
    assert (attempt.device, attempt.graphs) == (device, False)


def test_an_invalid_choice_of_graphs_is_refused() -> None:
    with pytest.raises(ModelRefusedError, match="parameter cuda_graphs must be 0 or 1, got 'maybe'"):
        _planned("maybe")


def test_graphs_are_refused_for_batches_of_any_size() -> None:
    def check(value: str, provider: str = CUDA) -> None:
        check_free_sizes({"parameters": {"cuda_graphs": {"string_value": value}}}, [(provider, {}), (CPU, {})])

    with pytest.raises(ModelRefusedError, match="cuda_graphs cannot be 1 without fixed batch sizes; hint: Publish"):
        check("1")
    check("0")
    check("1", TENSORRT)
    check_free_sizes({}, [(CUDA, {}), (CPU, {})])
