"""Each metric and label that the dashboard, the alerts and the autoscaler ask for is one that Triton has."""

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

NOT_TRITONS = {
    "up": "Prometheus makes it of every target",
    "ALERTS": "Prometheus makes it of every alert",
    "probe_success": "the probe of Triton's readiness makes it",
    "nv_gpu_utilization": "it needs a GPU",
    "nv_gpu_memory_used_bytes": "it needs a GPU",
    "nv_gpu_memory_total_bytes": "it needs a GPU",
}
ADDED_BY_PROMETHEUS = {"instance", "job", "namespace", "pod"}

Samples = dict[str, dict[str, set[str]]]


def asked() -> dict[str, str]:
    """Every expression, by where it stands."""
    board = dashboards.queries(DOCKER / "grafana" / "dashboards" / "camserve.json")
    return {
        **{f"dashboard, {name}": expression for name, expression in board.items()},
        **{f"alert {name}": expression for name, expression in prometheus.alerts(DOCKER).items()},
        **{f"autoscaler, {name}": expression for name, expression in kubernetes.adapter_queries(DOCKER).items()},
    }


def missing(expression: str, samples: Samples) -> Iterator[str]:
    """What an expression asks for that is not among the samples."""
    for selected in promql.selections(expression):
        if selected.metric in NOT_TRITONS:
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
    """The label values of each metric, by metric and label."""
    samples: Samples = defaultdict(lambda: defaultdict(set))
    for line in text.splitlines():
        if match := SAMPLE.match(line):
            labels = samples[match["name"]]
            for name, value in LABEL.findall(match["labels"] or ""):
                labels[name].add(value)
    return samples


@pytest.fixture(scope="module")
def samples(container_server: Any, toy_bundle: Any) -> Samples:
    """The metrics of a server that has answered, with maps and without, and refused."""
    image = InferInput("image", [2, *toy_bundle.contract.input.shape], "FP32")
    image.set_data_from_numpy(np.zeros(image.shape(), dtype=np.float32))
    with InferenceServerClient(container_server.grpc) as client:
        for names in (["logits"], ["logits", "cam", "cam_class"]):
            client.infer("toy", [image], outputs=[InferRequestedOutput(name) for name in names])
        with pytest.raises(InferenceServerException):
            client.infer("toy", [image], outputs=[InferRequestedOutput("no-such-output")])
    return parse(container_server.scrape())


@pytest.mark.parametrize("place", asked())
def test_triton_has_what_is_asked_for(place: str, samples: Samples) -> None:
    assert list(missing(asked()[place], samples)) == []


def test_each_exemption_is_needed(samples: Samples) -> None:
    named = {selected.metric for expression in asked().values() for selected in promql.selections(expression)}
    assert set(NOT_TRITONS) <= named
    assert not set(NOT_TRITONS) & set(samples)


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("rate(nv_inference_requests[5m])", "nv_inference_requests"),
        ("sum by (tenant) (nv_inference_count)", "nv_inference_count{tenant}"),
        ('nv_inference_request_failure{reason="LAZY"}', 'nv_inference_request_failure{reason="LAZY"}'),
        ('nv_inference_request_failure{reason=~"OTHER|LAZY"}', 'nv_inference_request_failure{reason="LAZY"}'),
        ('nv_inference_queue_summary_us{quantile="0.95"}', 'nv_inference_queue_summary_us{quantile="0.95"}'),
    ],
)
def test_what_triton_has_not_is_noticed(expression: str, found: str, samples: Samples) -> None:
    assert list(missing(expression, samples)) == [found]


def test_what_expires_is_counted_and_what_a_full_queue_refuses_is_not(overloaded_server: Any, toy_bundle: Any) -> None:
    """The alert on expired requests reads the one; the alert on waiting requests is there because of the other."""
    image = InferInput("image", [8, *toy_bundle.contract.input.shape], "FP32")
    image.set_data_from_numpy(np.zeros(image.shape(), dtype=np.float32))
    refused: dict[str, list[str]] = {"expires": [], "fills": []}
    with InferenceServerClient(overloaded_server.grpc) as client:
        for model, told in refused.items():
            answers: Queue[Any] = Queue()
            for _ in range(300):
                client.async_infer(model, [image], lambda result, error, answers=answers: answers.put(error))
            told += [str(error) for error in (answers.get(timeout=60) for _ in range(300)) if error is not None]
    assert refused["expires"]
    assert refused["fills"]
    rejected = re.findall(r'failure\{model="(\w+)",reason="REJECTED",version="1"\} (\d+)', overloaded_server.scrape())
    assert {model: int(count) for model, count in rejected} == {"expires": len(refused["expires"]), "fills": 0}
