"""Every metric and label in the dashboard, alerts and autoscaler exists in Triton."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import pytest
from deployment import dashboards, kubernetes, prometheus, promql
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

DOCKER = Path(__file__).parents[2] / "docker"
SAMPLE = re.compile(r"^(?P<name>\w+)(?:\{(?P<labels>[^}]*)\})? ")
LABEL = re.compile(r'(\w+)="([^"]*)"')

NOT_FROM_TRITON = {
    "up": "created by Prometheus",
    "ALERTS": "created by Prometheus",
    "probe_success": "created by the readiness probe",
    "camserve_restarts": "requires `camserve serve`",
    "nv_gpu_utilization": "requires a GPU",
    "nv_gpu_memory_used_bytes": "requires a GPU",
    "nv_gpu_memory_total_bytes": "requires a GPU",
}
ADDED_BY_PROMETHEUS = {"instance", "job", "namespace", "pod"}

Samples = dict[str, dict[str, set[str]]]


def queries() -> dict[str, str]:
    """Return every expression by its place."""
    board = dashboards.queries(DOCKER / "grafana" / "dashboards" / "camserve.json")
    return {
        **{f"dashboard, {name}": expression for name, expression in board.items()},
        **{f"alert {name}": expression for name, expression in prometheus.alerts(DOCKER).items()},
        **{f"autoscaler, {name}": expression for name, expression in kubernetes.adapter_queries(DOCKER).items()},
    }


def missing(expression: str, samples: Samples) -> Iterator[str]:
    """Yield the metrics and labels of an expression that the samples lack."""
    for selected in promql.selections(expression):
        if selected.metric in NOT_FROM_TRITON:
            continue
        if selected.metric not in samples:
            yield selected.metric
            continue
        labels = samples[selected.metric]
        yield from (f"{selected.metric}{{{name}}}" for name in selected.labels - set(labels) - ADDED_BY_PROMETHEUS)
        yield from (
            f'{selected.metric}{{{name}="{value}"}}'
            for name, value in selected.values
            if name not in ADDED_BY_PROMETHEUS and value not in labels.get(name, set())
        )


def parse(text: str) -> Samples:
    """Return the label values by metric and label."""
    samples: Samples = defaultdict(lambda: defaultdict(set))
    for line in text.splitlines():
        if match := SAMPLE.match(line):
            labels = samples[match["name"]]
            for name, value in LABEL.findall(match["labels"] or ""):
                labels[name].add(value)
    return samples


@pytest.fixture(scope="module")
def samples(container_server: Any, toy_bundle: Any) -> Samples:
    """Metrics after requests with maps, without maps, and with an invalid output."""
    image = InferInput("image", [2, *toy_bundle.contract.input.shape], "FP32")
    image.set_data_from_numpy(np.zeros(image.shape(), dtype=np.float32))
    with InferenceServerClient(container_server.grpc) as client:
        for names in (["logits"], ["logits", "cam", "cam_class"]):
            client.infer("toy", [image], outputs=[InferRequestedOutput(name) for name in names])
        with pytest.raises(InferenceServerException):
            client.infer("toy", [image], outputs=[InferRequestedOutput("no-such-output")])
    return parse(container_server.scrape())


@pytest.mark.parametrize("place", queries())
def test_triton_provides_the_metrics_of_a_query(place: str, samples: Samples) -> None:
    assert list(missing(queries()[place], samples)) == []


def test_every_exemption_is_used(samples: Samples) -> None:
    used = {selected.metric for expression in queries().values() for selected in promql.selections(expression)}
    assert set(NOT_FROM_TRITON) <= used
    assert not set(NOT_FROM_TRITON) & set(samples)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("rate(nv_inference_requests[5m])", "nv_inference_requests"),
        ("sum by (tenant) (nv_inference_count)", "nv_inference_count{tenant}"),
        ('nv_inference_request_failure{reason="LAZY"}', 'nv_inference_request_failure{reason="LAZY"}'),
        ('nv_inference_request_failure{reason=~"OTHER|LAZY"}', 'nv_inference_request_failure{reason="LAZY"}'),
        ('nv_inference_queue_summary_us{quantile="0.95"}', 'nv_inference_queue_summary_us{quantile="0.95"}'),
    ],
)
def test_a_missing_metric_or_label_is_found(expression: str, expected: str, samples: Samples) -> None:
    assert list(missing(expression, samples)) == [expected]


def test_triton_counts_expired_requests_but_not_those_to_a_full_queue(overloaded_server: Any, toy_bundle: Any) -> None:
    """The alert RequestsExpire depends on the first; QueueLong exists because of the second."""
    image = InferInput("image", [8, *toy_bundle.contract.input.shape], "FP32")
    image.set_data_from_numpy(np.zeros(image.shape(), dtype=np.float32))
    rejected: dict[str, list[str]] = {"expires": [], "fills": []}
    with InferenceServerClient(overloaded_server.grpc) as client:
        for model, messages in rejected.items():
            results: Queue[Any] = Queue()
            for _ in range(300):
                client.async_infer(model, [image], lambda result, error, results=results: results.put(error))
            messages += [str(error) for error in (results.get(timeout=60) for _ in range(300)) if error is not None]
    assert rejected["expires"]
    assert rejected["fills"]
    counted = re.findall(r'failure\{model="(\w+)",reason="REJECTED",version="1"\} (\d+)', overloaded_server.scrape())
    assert {model: int(count) for model, count in counted} == {"expires": len(rejected["expires"]), "fills": 0}
