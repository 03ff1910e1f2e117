"""Whether the tensors of a configuration are those of the model."""

from typing import Any

import pytest

from camserve.serving.backends.camserve_backend.declared_tensors import Tensor, check_inputs, check_outputs, check_type
from camserve.serving.backends.camserve_backend.parameters import ModelRefusedError

IMAGE = Tensor("image", "TYPE_FP32", (-1, 8, 8, 3))
FREE = Tensor("image", "TYPE_FP32", (-1, -1, -1, 3))


def _config(*, batch: int = 8, **tensor: Any) -> dict[str, Any]:
    configured = {"name": "image", "data_type": "TYPE_FP32", "dims": [8, 8, 3], **tensor}
    return {"max_batch_size": batch, "input": [configured], "output": [configured]}


def test_what_fits_is_accepted() -> None:
    check_type(_config())
    check_inputs(_config(), [IMAGE])
    check_outputs(_config(), [IMAGE, Tensor("more", "TYPE_FP32", (-1,))])
    check_inputs(_config(batch=0, dims=[-1, 8, 8, 3]), [IMAGE])
    check_inputs(_config(dims=[192], reshape={"shape": [8, 8, 3]}), [IMAGE])


def test_an_input_may_narrow_what_the_model_leaves_free_and_an_output_may_not() -> None:
    check_inputs(_config(), [FREE])
    with pytest.raises(ModelRefusedError, match="output 'image' is of shape"):
        check_outputs(_config(), [FREE])
    check_outputs(_config(dims=[-1, -1, 3]), [FREE])


def test_an_input_may_not_free_what_the_model_fixes() -> None:
    with pytest.raises(ModelRefusedError, match=r"\[-1, 8, 8, 3\] in the model and \[-1, -1, 8, 3\]"):
        check_inputs(_config(dims=[-1, 8, 3]), [IMAGE])


@pytest.mark.parametrize(
    ("config", "found", "why"),
    [
        (_config(name="picture"), [IMAGE], "no input 'image'; it has image"),
        (_config(data_type="TYPE_UINT8"), [IMAGE], "is TYPE_FP32 in the model and TYPE_UINT8"),
        (_config(dims=[8, 8]), [IMAGE], "is of shape"),
        (_config(), [Tensor("image", "TYPE_FP32", (1, 8, 8, 3))], "no free batch dimension"),
        (_config(), [Tensor("image", "TYPE_FP32", ())], "no free batch dimension"),
        (_config(), [IMAGE, Tensor("mask", "TYPE_FP32", (-1,))], "lacks the model's inputs mask"),
        (_config(optional=True), [IMAGE], "is optional, which a model that batches cannot have"),
    ],
)
def test_what_does_not_fit_is_refused(config: dict[str, Any], found: list[Tensor], why: str) -> None:
    with pytest.raises(ModelRefusedError, match=why):
        check_inputs(config, found)


def test_what_the_model_has_a_value_for_may_be_left_out_and_may_be_given() -> None:
    default = Tensor("scale", "TYPE_FP32", (1,))
    check_inputs(_config(), [IMAGE], [default])
    config = _config(batch=0, dims=[-1, 8, 8, 3])
    config["input"].append({"name": "scale", "data_type": "TYPE_FP32", "dims": [1], "optional": True})
    check_inputs(config, [IMAGE], [default])


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"sequence_batching": {"max_sequence_idle_microseconds": 1}}, "sequences"),
        ({"batch_input": [{"kind": "BATCH_ELEMENT_COUNT"}]}, "batch inputs"),
        ({"input": [{"name": "words", "data_type": "TYPE_STRING", "dims": [1]}]}, "'words' is ragged or of strings"),
        ({"input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [1], "allow_ragged_batch": True}]}, "ragged"),
    ],
)
def test_what_only_a_compiled_backend_does_is_refused_rather_than_answered_wrongly(
    change: dict[str, Any], what: str
) -> None:
    with pytest.raises(ModelRefusedError, match=what):
        check_type({**_config(), **change})
