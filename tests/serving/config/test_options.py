"""Serving options."""

from typing import Any

import pytest

from camserve.errors import UsageError
from camserve.serving import ServingOptions


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_batch_size": 0},
        {"max_batch_size": 2.5},
        {"max_batch_size": True},
        {"max_queue_delay_us": -1},
        {"instances": 0},
        {"threads": 0},
        {"latest_versions": 0},
        {"accelerator": "quantum"},
    ],
)
def test_a_value_out_of_range_is_named(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(UsageError, match=name):
        ServingOptions(**wrong)
