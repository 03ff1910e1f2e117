"""Versions change under clients that ask without pause: none of them fails, and each answer is of one version."""

from __future__ import annotations

import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from support.chaos import times
from support.swapping import Askers, bundles_that_differ
from support.toy import expected_outputs, toy_images

from camserve.serving import TritonServer, publish
from camserve.serving.server.server_health import is_ready

pytestmark = pytest.mark.chaos

CLIENTS = 16
SWAPS = max(4, times(20))
ASKED = 0.3  # seconds


def test_no_request_fails_and_each_answer_is_that_of_its_version(tmp_path: Path) -> None:
    bundles = bundles_that_differ(tmp_path, SWAPS + 1)
    by_version = dict(enumerate(bundles, start=1))
    publish(bundles[0], tmp_path / "repository")
    with TritonServer(tmp_path / "repository", model_control="explicit") as server:
        with Askers(server.grpc_url, by_version, CLIENTS) as askers:
            for bundle in bundles[1:]:
                version = publish(bundle, tmp_path / "repository", url=server.grpc_url).version
                askers.wait_for(version)
                assert is_ready(server.addresses)  # a load balancer keeps it in service
        assert server.served() == {"toy": (SWAPS + 1,)}
    assert not askers.failures
    assert askers.strangers == 0
    assert set(askers.answers) == set(by_version)


def test_an_answer_of_another_version_is_told_from_a_right_one(tmp_path: Path) -> None:
    bundles = bundles_that_differ(tmp_path, 2)
    publish(bundles[0], tmp_path / "repository")
    swapped = {1: bundles[1], 2: bundles[0]}
    with TritonServer(tmp_path / "repository") as server, Askers(server.grpc_url, swapped, 2) as askers:
        time.sleep(ASKED)
    assert askers.strangers > 0
    assert not askers.answers[1]


def test_a_model_that_is_gone_is_a_failure(tmp_path: Path) -> None:
    (bundle,) = bundles_that_differ(tmp_path, 1)
    publish(bundle, tmp_path / "repository", name="other")
    with TritonServer(tmp_path / "repository") as server, Askers(server.grpc_url, {1: bundle}, 2) as askers:
        time.sleep(ASKED)
    assert askers.failures


def test_the_bundles_differ_by_more_than_rounding(tmp_path: Path) -> None:
    bundles = bundles_that_differ(tmp_path, 5)
    image = toy_images(bundles[0])
    logits = [expected_outputs(bundle, image)["logits"] for bundle in bundles]
    assert min(float(np.abs(one - other).max()) for one, other in combinations(logits, 2)) > 0.01
