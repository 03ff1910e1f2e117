from __future__ import annotations

import asyncio
import logging
import os
import threading
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from support.shared_regions import SECONDS, SharedMemoryClient, names, registered
from support.toy import expected_outputs, toy_images
from tritonclient.grpc import service_pb2

from camserve.bundle import Bundle
from camserve.clients import AsyncClassifier, Classifier
from camserve.clients.wire import segments
from camserve.clients.wire.segments import FOLDER
from camserve.clients.wire.shared_memory import SharedMemory, is_unknown_region, not_accepted
from camserve.clients.wire.sharing import open_sharing
from camserve.errors import RequestError, UsageError
from camserve.serving import TritonServer

Array = np.ndarray[Any, Any]
BATCH = np.arange(32, dtype=np.float32)


def test_shared_memory_gives_the_same_answer(sender: SharedMemoryClient, toy_bundle: Bundle) -> None:
    for count, seed in ((1, 0), (3, 1), (1, 2)):
        batch = toy_images(toy_bundle, count, seed=seed)
        np.testing.assert_allclose(sender.logits(batch), expected_outputs(toy_bundle, batch)["logits"], atol=1e-5)


def test_segment_is_registered_once_and_reused(sender: SharedMemoryClient, toy_bundle: Bundle) -> None:
    for seed in range(10):
        sender.logits(toy_images(toy_bundle, 3, seed=seed))
        sender.logits(toy_images(toy_bundle, 2, seed=seed))
    assert sender.registered == 1
    assert len(sender.regions()) == 1


def test_registered_segment_has_no_name(sender: SharedMemoryClient, toy_bundle: Bundle) -> None:
    sender.logits(toy_images(toy_bundle))
    assert names() == []


def test_threads_never_share_a_segment(sender: SharedMemoryClient, toy_bundle: Bundle) -> None:
    wrong: list[int] = []

    def infer(number: int) -> None:
        for seed in range(20):
            batch = toy_images(toy_bundle, 1 + number % 3, seed=100 * number + seed)
            expected = expected_outputs(toy_bundle, batch)["logits"]
            wrong.extend([seed] * (not np.allclose(sender.logits(batch), expected, atol=1e-5)))

    threads = [threading.Thread(target=infer, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert sender.registered <= len(threads) * 2


def test_lost_segment_is_registered_again(sender: SharedMemoryClient, toy_bundle: Bundle) -> None:
    batch = toy_images(toy_bundle)
    sender.logits(batch)
    # By name: a region that Triton still uses is an error with the reason only then, and no other client is disturbed.
    sender.unregister([service_pb2.SystemSharedMemoryUnregisterRequest(name=name) for name in sender.regions()])
    assert sender.regions() == []
    np.testing.assert_allclose(sender.logits(batch), expected_outputs(toy_bundle, batch)["logits"], atol=1e-5)
    assert sender.registered == 2
    assert len(sender.regions()) == 1


def test_refused_registration_is_not_a_lost_segment(
    toy_server: TritonServer, toy_bundle: Bundle, shared: SharedMemory
) -> None:
    sender = SharedMemoryClient(toy_server.grpc_url, shared)
    with pytest.raises(grpc.RpcError) as caught:
        sender.logits(toy_images(toy_bundle))
    sender.close()
    why = caught.value.details() or ""
    assert not is_unknown_region(why)
    error = not_accepted(sender.url, why)
    assert "restricted" in error.message
    assert "--allow-shared-memory" in str(error)


def test_failed_registration_discards_and_unregisters_the_segment(
    shared: SharedMemory,
) -> None:
    with shared.lease("a:1", BATCH) as lease:
        assert lease is not None
        with pytest.raises(TimeoutError), lease.registering() as message:
            raise TimeoutError
    with shared.lease("a:1", BATCH) as other:
        assert other is not None
        assert other.name != message.name
    assert [each.name for each in shared.unregistrations("a:1")] == [message.name]
    assert shared.unregistrations("a:1") == []


def test_each_server_has_its_own_segments(shared: SharedMemory) -> None:
    assert registered(shared, "a:1") == registered(shared, "a:1")
    assert registered(shared, "a:1") != registered(shared, "b:1")


def test_memory_limit_is_kept() -> None:
    shared = SharedMemory(limit=2 * 4096)
    with shared.lease("a:1", BATCH) as first, shared.lease("b:1", BATCH) as second, shared.lease("a:1", BATCH) as third:
        assert first is not None
        assert second is not None
        assert third is None
    with shared.lease("c:1", BATCH) as again:
        assert again is not None
    shared.close()
    assert names() == []


def test_full_shared_memory_is_logged_once(
    shared: SharedMemory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with caplog.at_level(logging.WARNING, "camserve"):
        for _ in range(3):
            with shared.lease("a:1", BATCH) as lease:
                assert lease is None
    assert len(caplog.records) == 1
    assert "No space left" in caplog.text
    monkeypatch.undo()
    with shared.lease("a:1", BATCH) as lease:
        assert lease is not None


def test_memory_is_allocated_before_it_is_written() -> None:
    name, memory = segments.create(1 << 20)
    assert (FOLDER / name).stat().st_blocks * 512 >= 1 << 20
    assert (FOLDER / name).stat().st_mode & 0o777 == 0o600
    segments.remove(name)
    memory.close()


def test_host_without_shared_memory_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("camserve.clients.wire.shared_memory.FOLDER", tmp_path / "none")
    with pytest.raises(UsageError, match="Remove shared_memory"):
        SharedMemory()


def test_closing_frees_a_segment_when_its_lease_ends() -> None:
    shared = SharedMemory()
    with shared.lease("a:1", BATCH) as lease:
        assert lease is not None
        shared.close()
        shared.close()
        assert names() == [lease.name]
    assert names() == []
    with shared.lease("a:1", BATCH) as after:
        assert after is None


def test_descriptors_are_closed() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        shared = SharedMemory()
        for url in ("a:1", "b:1"):
            registered(shared, url)
        shared.close()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before  # leftovers of other tests may end meanwhile


def test_segment_in_use_by_a_server_outlives_the_client(sender: SharedMemoryClient, toy_bundle: Bundle) -> None:
    batch = toy_images(toy_bundle)
    with sender.shared.lease(sender.url, batch) as lease:
        assert lease is not None
        with lease.registering() as message:
            sender.stub.SystemSharedMemoryRegister(message, timeout=SECONDS)
        lease.discard()
    request = service_pb2.ModelInferRequest(model_name="toy")
    lease.describe(request.inputs.add(name="image", datatype="FP32", shape=batch.shape))
    request.outputs.add(name="logits")
    answer = sender.stub.ModelInfer(request, timeout=SECONDS)
    logits = np.frombuffer(answer.raw_output_contents[0], np.float32)
    np.testing.assert_allclose(logits, expected_outputs(toy_bundle, batch)["logits"][0], atol=1e-5)
    sender.unregister([service_pb2.SystemSharedMemoryUnregisterRequest(name=message.name)])


def test_classifier_with_shared_memory_leaves_nothing(
    open_server: TritonServer, toy_bundle: Bundle, sender: SharedMemoryClient
) -> None:
    batch = toy_images(toy_bundle, 3)
    with Classifier(open_server.grpc_url, "toy", shared_memory=True) as through:
        with Classifier(open_server.grpc_url, "toy") as plain:
            expected = plain.infer(batch, ["logits", "cam"])
        found = through.infer(batch, ["logits", "cam"])
        assert len(sender.regions()) == 1
    assert sender.regions() == []
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_tasks_never_share_a_segment(open_server: TritonServer, toy_bundle: Bundle, sender: SharedMemoryClient) -> None:
    async def main() -> None:
        async with AsyncClassifier(open_server.grpc_url, "toy", shared_memory=True) as classifier:
            batches = [toy_images(toy_bundle, 1 + seed % 3, seed=seed) for seed in range(40)]
            found = await asyncio.gather(*(classifier.infer(batch, ["logits"]) for batch in batches))
        for batch, outputs in zip(batches, found, strict=True):
            expected = expected_outputs(toy_bundle, batch)["logits"]
            np.testing.assert_allclose(outputs["logits"], expected, atol=1e-5)

    asyncio.run(main())
    assert sender.regions() == []
    assert names() == []


def test_refused_shared_memory_has_a_hint(toy_server: TritonServer, toy_bundle: Bundle) -> None:
    classifier = Classifier(toy_server.grpc_url, "toy", shared_memory=True)
    with classifier, pytest.raises(RequestError, match="--allow-shared-memory"):
        classifier.infer(toy_images(toy_bundle), ["logits"])
    assert names() == []


def test_refused_shared_memory_is_not_used_if_it_is_not_required(
    toy_server: TritonServer, toy_bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    images = toy_images(toy_bundle)
    caplog.set_level(logging.INFO, "camserve.clients")
    with Classifier(toy_server.grpc_url, "toy", shared_memory="auto") as classifier:
        for _ in range(2):
            found = classifier.infer(images, ["logits"])["logits"]
            np.testing.assert_allclose(found, expected_outputs(toy_bundle, images)["logits"], atol=1e-5)
    assert sum("does not accept shared memory" in record.message for record in caplog.records) == 1
    assert names() == []


def test_accepted_shared_memory_is_used_if_it_is_not_required(
    open_server: TritonServer, toy_bundle: Bundle, sender: SharedMemoryClient
) -> None:
    with Classifier(open_server.grpc_url, "toy", shared_memory="auto") as classifier:
        classifier.infer(toy_images(toy_bundle), ["logits"])
        assert len(sender.regions()) == 1
    assert sender.regions() == []


def test_shared_memory_is_offered_to_servers_of_this_host_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert open_sharing(["example.org:8001"], "auto") is None
    assert open_sharing(["localhost:8001"], "auto") is not None
    monkeypatch.setattr("camserve.clients.wire.shared_memory.FOLDER", tmp_path / "none")
    assert open_sharing(["localhost:8001"], "auto") is None
