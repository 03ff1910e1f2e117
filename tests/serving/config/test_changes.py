"""Options by name, laid over those that stand."""

from dataclasses import asdict
from typing import Any

import pytest

from camserve.errors import UsageError
from camserve.serving import ServingOptions
from camserve.serving.config.changes import changed_options, make_options

_TENSORRT = ServingOptions(accelerator="tensorrt", gpus=(0,), tensorrt_precision="fp16", gpu_mem_limit=2**30)


@pytest.mark.parametrize(("name", "told"), [("max_batch", "max_batch_size"), ("xyz", "response_cache")])
def test_an_unknown_name_is_met_with_the_nearest_or_with_all(name: str, told: str) -> None:
    with pytest.raises(UsageError, match=name) as caught:
        make_options({name: 8})
    assert told in str(caught.value.hint)


def test_what_is_not_changed_stays() -> None:
    standing = ServingOptions(max_batch_size=4, threads=2, priority_levels=2, default_priority=1)
    changed = changed_options(asdict(standing), {"threads": 3})
    assert changed == ServingOptions(max_batch_size=4, threads=3, priority_levels=2, default_priority=1)


@pytest.mark.parametrize(
    ("standing", "changes", "expected"),
    [
        (_TENSORRT, {"accelerator": "cuda"}, ServingOptions(accelerator="cuda", gpus=(0,), gpu_mem_limit=2**30)),
        (_TENSORRT, {"accelerator": "none"}, ServingOptions(accelerator="none")),
        (_TENSORRT, {"max_batch_size": 4}, None),
        (ServingOptions(latest_versions=3), {"versions": "all"}, ServingOptions(versions="all")),
        (ServingOptions(versions=(4,)), {"latest_versions": 2}, ServingOptions(latest_versions=2)),
        (ServingOptions(priority_levels=2, default_priority=2), {"priority_levels": 0}, ServingOptions()),
    ],
)
def test_options_that_lose_their_meaning_go_back_to_their_defaults(
    standing: ServingOptions, changes: dict[str, Any], expected: ServingOptions | None
) -> None:
    changed = changed_options(asdict(standing), changes)
    assert changed == (expected or make_options({**asdict(standing), **changes}))


def test_changes_that_contradict_what_stands_are_refused() -> None:
    standing = asdict(ServingOptions(preferred_batch_sizes=(8,)))
    with pytest.raises(UsageError, match="preferred_batch_sizes"):
        changed_options(standing, {"max_batch_size": 4})
