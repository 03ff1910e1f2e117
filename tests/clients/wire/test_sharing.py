"""Shared memory in a transport, with a server that is restarted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from support.scripted_server import ScriptedServer, failing
from support.toy import expected_outputs, toy_images
from support.transports import ThreadTransport, TransportClass, deadline, toy_request

from camserve.bundle import Bundle
from camserve.serving import TritonServer

Array = np.ndarray[Any, Any]
THREADS = 4


def test_restarted_server_receives_every_segment_again(toy_repository: Path, toy_bundle: Bundle) -> None:
    images = toy_images(toy_bundle, 8)
    expected = expected_outputs(toy_bundle, images)["logits"]
    first = TritonServer(toy_repository, allow_shared_memory=True)
    first.start()
    port = int(first.grpc_url.rpartition(":")[2])
    with ThreadTransport(first.grpc_url, shared_memory=True) as client:
        send_concurrently(client, images, expected)
        first.stop(grace=0.0)
        with TritonServer(toy_repository, allow_shared_memory=True, grpc_port=port):
            send_concurrently(client, images, expected)


IN_USE = "Cannot unregister shared memory region 'x', it is currently in use."  # Triton 24.10, just after a reply


@pytest.mark.parametrize(("why", "requests"), [(IN_USE, 3), ("unable to find it", 1)])
def test_segment_that_is_still_in_use_is_unregistered_again(transport: TransportClass, why: str, requests: int) -> None:
    refused = failing(grpc.StatusCode.INTERNAL, why, times=2)
    with ScriptedServer(memory=True, unregister=refused) as server:
        with transport(server.url, shared_memory=True) as client:
            client.infer(toy_request(), deadline=deadline())
        assert server.methods.count("SystemSharedMemoryUnregister") == requests


def send_concurrently(client: ThreadTransport, images: Array, expected: Array) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        calls = [pool.submit(client.infer, toy_request(images), deadline=deadline(20)) for _ in range(5 * THREADS)]
        for call in calls:
            np.testing.assert_allclose(call.result().tensors["logits"], expected, rtol=1e-6, atol=1e-6)
