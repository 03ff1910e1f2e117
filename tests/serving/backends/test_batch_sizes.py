"""The choice of batch sizes from a configuration."""

from typing import Any

import pytest

from camserve.serving.backends.camserve_backend.batch_sizes import SizeChoice, choose_sizes, smallest_size
from camserve.serving.backends.camserve_backend.parameters import ModelRefusedError


def _config(sizes: str | None = None, *, maximum: int = 32, side: int = 8, output: int = 4) -> dict[str, Any]:
    """Return a configuration as Triton passes it."""
    return {
        "name": "toy",
        "max_batch_size": maximum,
        "input": [{"name": "image", "dims": [str(side), "8", "3"]}],
        "output": [{"name": "logits", "dims": [str(output)]}],
        "parameters": {} if sizes is None else {"batch_sizes": {"string_value": sizes}},
    }


@pytest.mark.parametrize(
    ("maximum", "sizes"), [(1, (1,)), (4, (1, 4)), (8, (1, 8)), (32, (1, 8, 32)), (100, (1, 8, 32, 100))]
)
def test_cuda_has_fixed_sizes_by_default(maximum: int, sizes: tuple[int, ...]) -> None:
    assert choose_sizes(_config(maximum=maximum), cuda=True) == SizeChoice(sizes)
    assert choose_sizes(_config(maximum=maximum), cuda=False) == SizeChoice()


@pytest.mark.parametrize("cuda", [False, True])
def test_the_parameter_takes_precedence(cuda: bool) -> None:
    assert choose_sizes(_config("32, 4,4"), cuda=cuda) == SizeChoice((4, 32))
    assert choose_sizes(_config("none"), cuda=cuda) == SizeChoice()


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ("1,8", r"the largest of batch_sizes must be max_batch_size, 32, got 1,8"),
        ("8,64", r"the largest of batch_sizes must be max_batch_size, 32, got 8,64; hint: .* --set batch_sizes=1,8,32"),
        ("0,32", r"batch_sizes must be at least 1, got 0,32"),
        ("many", r"batch_sizes must be sizes such as 1,8,32, or none, got 'many'"),
        ("", r"batch_sizes must be sizes such as 1,8,32, or none, got ''"),
    ],
)
def test_invalid_sizes_are_refused(sizes: str, message: str) -> None:
    with pytest.raises(ModelRefusedError, match=message):
        choose_sizes(_config(sizes), cuda=False)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"side": -1}, "input 'image' has a dimension of any size"),
        ({"output": -1}, "output 'logits' has a dimension of any size"),
    ],
)
def test_a_free_dimension_has_no_fixed_sizes(config: Any, reason: str) -> None:
    with pytest.raises(
        ModelRefusedError, match=f"since {reason}; hint: Publish the model again with --set batch_sizes=none"
    ):
        choose_sizes(_config("1,32", **config), cuda=True)
    choice = choose_sizes(_config(**config), cuda=True)
    assert choice.sizes == ()
    assert choice.warnings == (
        f"runs each batch with its own size, since {reason}; on CUDA, each change of it is slow",
    )
    assert choose_sizes(_config(**config), cuda=False) == SizeChoice()


def test_a_model_without_batches_has_no_fixed_sizes() -> None:
    with pytest.raises(ModelRefusedError, match="batch_sizes cannot be 1, since max_batch_size is 0; hint: Publish"):
        choose_sizes(_config("1", maximum=0), cuda=True)
    assert choose_sizes(_config(maximum=0), cuda=True) == SizeChoice()


def test_a_reshaped_input_has_the_shape_of_the_model() -> None:
    config = _config("1,32")
    config["input"][0] |= {"dims": ["-1"], "reshape": {"shape": ["8", "8", "3"]}}
    assert choose_sizes(config, cuda=False) == SizeChoice((1, 32))


def test_a_batch_takes_the_smallest_size_that_holds_it() -> None:
    taken = {rows: smallest_size((1, 8, 32), rows) for rows in range(33)}
    assert set(taken) == set(range(33))
    assert [taken[rows] for rows in (0, 1, 2, 8, 9, 32)] == [1, 1, 8, 8, 32, 32]
    with pytest.raises(ValueError, match="a batch of 33 exceeds the largest of the batch sizes, 32"):
        smallest_size((1, 8, 32), 33)
