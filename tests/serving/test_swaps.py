"""Versions are swapped while clients send requests: no request fails, and each answer is that of its version."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from support.chaos import times
from support.disposable_server import DisposableServer
from support.swapping import ContinuousClients, different_bundles
from support.toy import expected_outputs, toy_images

from camserve.serving import publish
from camserve.serving.server.server_health import is_ready

pytestmark = pytest.mark.chaos

CLIENTS = 16
SWAPS = max(4, times(20))


def test_no_request_fails_during_swaps(tmp_path: Path) -> None:
    bundles = different_bundles(tmp_path, SWAPS + 1)
    by_version = dict(enumerate(bundles, start=1))
    publish(bundles[0], tmp_path / "repository")
    with DisposableServer(tmp_path / "repository", model_control="explicit") as server:
        with ContinuousClients(server.grpc_url, by_version, CLIENTS) as clients:
            for bundle in bundles[1:]:
                version = publish(bundle, tmp_path / "repository", url=server.grpc_url).version
                clients.wait_for(version)
                assert is_ready(server.addresses)  # a load balancer keeps it in service
        assert server.served() == {"toy": (SWAPS + 1,)}
    assert not clients.failures
    assert clients.mismatches == 0
    assert set(clients.correct) == set(by_version)


def test_an_answer_of_another_version_is_detected(tmp_path: Path) -> None:
    bundles = different_bundles(tmp_path, 2)
    publish(bundles[0], tmp_path / "repository")
    swapped = {1: bundles[1], 2: bundles[0]}
    with (
        DisposableServer(tmp_path / "repository") as server,
        ContinuousClients(server.grpc_url, swapped, 2) as clients,
    ):
        clients.wait_until("mismatches")
    assert not clients.correct[1]


def test_a_missing_model_is_counted_as_a_failure(tmp_path: Path) -> None:
    (bundle,) = different_bundles(tmp_path, 1)
    publish(bundle, tmp_path / "repository", name="other")
    with (
        DisposableServer(tmp_path / "repository") as server,
        ContinuousClients(server.grpc_url, {1: bundle}, 2) as clients,
    ):
        clients.wait_until("failures")
    assert not clients.correct


def test_the_bundles_differ_by_more_than_rounding(tmp_path: Path) -> None:
    bundles = different_bundles(tmp_path, 5)
    image = toy_images(bundles[0])
    logits = [expected_outputs(bundle, image)["logits"] for bundle in bundles]
    assert min(float(np.abs(one - other).max()) for one, other in combinations(logits, 2)) > 0.01
