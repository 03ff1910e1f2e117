"""Options as a person types them."""

from dataclasses import fields
from typing import Any

import pytest

from camserve.errors import UsageError
from camserve.serving import ServingOptions
from camserve.serving.config.parsing import format_option, parse_option, parse_settings
from camserve.serving.config.serving_options import Resource


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((field.name, field.default) for field in fields(ServingOptions)),
        ("preferred_batch_sizes", (4, 8)),
        ("threads", 3),
        ("gpus", (0, 2)),
        ("queue_timeout_override", True),
        ("do_copy_in_default_stream", False),
        ("versions", "all"),
        ("versions", (3, 5)),
        ("rate_limiter_resources", (Resource(name="disk", count=2), Resource(name="link", shared=True))),
    ],
)
def test_what_is_written_reads_back_equal(name: str, value: Any) -> None:
    assert parse_option(name, format_option(value)) == value


@pytest.mark.parametrize(("text", "size"), [("512", 512), ("4k", 4096), ("2G", 2**31), ("3 MiB", 3 * 2**20)])
def test_sizes_take_units(text: str, size: int) -> None:
    assert parse_option("gpu_mem_limit", text) == size


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("max_queue_size", "max_queue_size=64"),
        ("max_queue_sise=3", "max_queue_size"),
        ("max_queue_size=many", "whole number"),
        ("response_cache=perhaps", "response_cache=on"),
        ("versions=newest", "3,5, or latest, or all"),
        ("gpus=first", "gpus=0,1"),
        ("gpu_mem_limit=much", "gpu_mem_limit=8G"),
        ("max_queue_size=8K", "max_queue_size=1"),
        ("rate_limiter_resources=disk:2:mine", "name:count"),
    ],
)
def test_a_setting_that_makes_no_sense_is_told_how(setting: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_settings([setting])
    assert told in str(caught.value)


def test_a_later_setting_goes_before_an_earlier() -> None:
    assert parse_settings(["threads=2", "threads = 4"]) == {"threads": 4}
