from __future__ import annotations

import asyncio

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry

from camserve.clients.observing.metrics import Metrics
from camserve.clients.observing.monitor import Monitor
from camserve.errors import ConnectionFailedError, ContractError, DeadlineError, RequestError, UsageError

PREFIX = "camserve_client"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_reply_is_counted_with_size_and_duration(registry: CollectorRegistry) -> None:
    monitor = Monitor(metrics=Metrics(registry))
    with monitor.observe("signs") as observed:
        assert registry.get_sample_value(f"{PREFIX}_requests_under_way", {"model": "signs"}) == 1
        observed.record_reply("a:1", "3", 4096, 1)
    assert registry.get_sample_value(f"{PREFIX}_requests_under_way", {"model": "signs"}) == 0
    assert outcomes(registry) == {"answered": 1}
    assert registry.get_sample_value(f"{PREFIX}_received_bytes_total", {"model": "signs"}) == 4096
    assert registry.get_sample_value(f"{PREFIX}_request_seconds_count", {"model": "signs"}) == 1


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (DeadlineError("late"), "deadline"),
        (ConnectionFailedError("gone"), "connection"),
        (RequestError("no"), "refused"),
        (ContractError("changed"), "contract"),
        (UsageError("closed"), "failed"),
        (ValueError("odd"), "failed"),
        (asyncio.CancelledError(), "cancelled"),
        (KeyboardInterrupt(), "cancelled"),
    ],
)
def test_error_is_counted_by_type_and_unchanged(
    error: BaseException, outcome: str, registry: CollectorRegistry
) -> None:
    with pytest.raises(type(error)) as caught, Monitor(metrics=Metrics(registry)).observe("signs"):
        raise error
    assert caught.value is error
    assert outcomes(registry) == {outcome: 1}
    assert registry.get_sample_value(f"{PREFIX}_requests_under_way", {"model": "signs"}) == 0


def test_retries_are_counted(registry: CollectorRegistry) -> None:
    with Monitor(metrics=Metrics(registry)).observe("signs") as observed:
        for delay in (0.0, 0.5, None):
            observed.record_failure("a:1", ConnectionFailedError("gone"), delay)
    assert registry.get_sample_value(f"{PREFIX}_retries_total", {"model": "signs"}) == 2


def test_clients_share_one_metrics_object(registry: CollectorRegistry) -> None:
    metrics = Metrics(registry)
    for model in ("signs", "flowers", "signs"):
        with Monitor(metrics=metrics).observe(model):
            pass
    assert outcomes(registry, "signs") == {"answered": 2}
    assert outcomes(registry, "flowers") == {"answered": 1}


def test_model_queries_are_not_counted(registry: CollectorRegistry) -> None:
    with Monitor(metrics=Metrics(registry)).observe("signs", "describe"):
        pass
    assert outcomes(registry) == {}


def test_no_metrics_by_default() -> None:
    with Monitor().observe("signs"):
        pass
    assert PREFIX not in prometheus_client.generate_latest().decode()


def test_default_registry_is_that_of_prometheus(monkeypatch: pytest.MonkeyPatch) -> None:
    own = CollectorRegistry()
    monkeypatch.setattr(prometheus_client, "REGISTRY", own)
    with Monitor(metrics=Metrics()).observe("signs"):
        pass
    assert outcomes(own) == {"answered": 1}


def test_duplicate_metrics_in_a_registry_are_refused(registry: CollectorRegistry) -> None:
    Metrics(registry)
    with pytest.raises(UsageError, match="Pass one Metrics"):
        Metrics(registry)


def outcomes(registry: CollectorRegistry, model: str = "signs") -> dict[str, float]:
    """Requests of a model by outcome."""
    return {
        sample.labels["outcome"]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == f"{PREFIX}_requests_total" and sample.labels["model"] == model
    }
