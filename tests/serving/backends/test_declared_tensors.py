"""Checks of the tensors of a configuration against the model."""

from typing import Any

import pytest

from camserve.serving.backends.camserve_backend.declared_tensors import (
    Tensor,
    check_inputs,
    check_outputs,
    check_supported,
)
from camserve.serving.backends.camserve_backend.parameters import ModelRefusedError

IMAGE = Tensor("image", "TYPE_FP32", (-1, 8, 8, 3))
FREE = Tensor("image", "TYPE_FP32", (-1, -1, -1, 3))


def _config(*, batch: int = 8, **tensor: Any) -> dict[str, Any]:
    configured = {"name": "image", "data_type": "TYPE_FP32", "dims": [8, 8, 3], **tensor}
    return {"max_batch_size": batch, "input": [configured], "output": [configured]}


def test_matching_tensors_are_accepted() -> None:
    check_supported(_config())
    check_inputs(_config(), [IMAGE])
    check_outputs(_config(), [IMAGE, Tensor("more", "TYPE_FP32", (-1,))])
    check_inputs(_config(batch=0, dims=[-1, 8, 8, 3]), [IMAGE])
    check_inputs(_config(dims=[192], reshape={"shape": [8, 8, 3]}), [IMAGE])


def test_only_inputs_can_restrict_a_free_dimension() -> None:
    check_inputs(_config(), [FREE])
    with pytest.raises(ModelRefusedError, match="output 'image' has shape"):
        check_outputs(_config(), [FREE])
    check_outputs(_config(dims=[-1, -1, 3]), [FREE])


def test_an_input_cannot_free_a_fixed_dimension() -> None:
    with pytest.raises(ModelRefusedError, match=r"\[-1, 8, 8, 3\] in the model and \[-1, -1, 8, 3\]"):
        check_inputs(_config(dims=[-1, 8, 3]), [IMAGE])


@pytest.mark.parametrize(
    ("config", "found", "message"),
    [
        (_config(name="pixels"), [IMAGE], "no input 'pixels'; it has image"),
        (_config(data_type="TYPE_UINT8"), [IMAGE], "is TYPE_FP32 in the model and TYPE_UINT8"),
        (_config(dims=[8, 8]), [IMAGE], "has shape"),
        (_config(), [Tensor("image", "TYPE_FP32", (1, 8, 8, 3))], "no free batch dimension"),
        (_config(), [Tensor("image", "TYPE_FP32", ())], "no free batch dimension"),
        (_config(), [IMAGE, Tensor("mask", "TYPE_FP32", (-1,))], "lacks the model's inputs mask"),
        (_config(optional=True), [IMAGE], "is optional, which is not supported together with batching"),
    ],
)
def test_tensors_that_do_not_match_are_refused(config: dict[str, Any], found: list[Tensor], message: str) -> None:
    with pytest.raises(ModelRefusedError, match=message):
        check_inputs(config, found)


def test_inputs_with_a_default_value_are_optional() -> None:
    default = Tensor("scale", "TYPE_FP32", (1,))
    check_inputs(_config(), [IMAGE], [default])
    config = _config(batch=0, dims=[-1, 8, 8, 3])
    config["input"].append({"name": "scale", "data_type": "TYPE_FP32", "dims": [1], "optional": True})
    check_inputs(config, [IMAGE], [default])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sequence_batching": {"max_sequence_idle_microseconds": 1}}, "sequence batching"),
        ({"batch_input": [{"kind": "BATCH_ELEMENT_COUNT"}]}, "batch inputs"),
        ({"input": [{"name": "words", "data_type": "TYPE_STRING", "dims": [1]}]}, r"strings \(tensor 'words'\)"),
        ({"input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [1], "allow_ragged_batch": True}]}, "ragged"),
    ],
)
def test_features_of_the_compiled_backend_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelRefusedError, match=message):
        check_supported({**_config(), **change})
