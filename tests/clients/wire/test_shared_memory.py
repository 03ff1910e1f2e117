from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from toy import expected_outputs, toy_images
from tritonclient.grpc import service_pb2, service_pb2_grpc

from camserve.bundle import Bundle
from camserve.clients import AsyncClassifier, Classifier
from camserve.clients.wire import segments
from camserve.clients.wire.segments import FOLDER
from camserve.clients.wire.shared_memory import SharedMemory, is_unknown_region, refused
from camserve.errors import RequestError, UsageError
from camserve.serving import TritonServer

Array = np.ndarray[Any, Any]
SECONDS = 20
BATCH = np.arange(32, dtype=np.float32)


class Asker:
    """Sends batches as a transport does, and counts what it told the server."""

    def __init__(self, url: str, shared: SharedMemory) -> None:
        self.url = url
        self.shared = shared
        self.registered = 0
        self._channel = grpc.insecure_channel(url)
        self.stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    def logits(self, batch: Array) -> Array:
        with self.shared.lease(self.url, batch) as lease:
            assert lease is not None
            if not lease.registered:
                with lease.registering() as message:
                    self.stub.SystemSharedMemoryRegister(message, timeout=SECONDS)
                self.registered += 1
            request = service_pb2.ModelInferRequest(model_name="toy")
            lease.describe(request.inputs.add(name="image", datatype="FP32", shape=batch.shape))
            request.outputs.add(name="logits")
            try:
                answer = self.stub.ModelInfer(request, timeout=SECONDS)
            except grpc.RpcError as error:
                if not is_unknown_region(error.details() or ""):
                    raise
                lease.discard()
            else:
                return np.frombuffer(answer.raw_output_contents[0], np.float32).reshape(len(batch), -1)
        return self.logits(batch)

    def regions(self, pid: int | None = None) -> list[str]:
        """Those that the server knows of a process; this one unless given."""
        request = service_pb2.SystemSharedMemoryStatusRequest(name="")
        known = self.stub.SystemSharedMemoryStatus(request, timeout=SECONDS).regions
        return [name for name in known if f"-{pid or os.getpid()}-" in name]

    def unregister(self, messages: list[Any]) -> None:
        for message in messages:
            self.stub.SystemSharedMemoryUnregister(message, timeout=SECONDS)

    def close(self) -> None:
        self._channel.close()


@pytest.fixture
def shared() -> Iterator[SharedMemory]:
    shared = SharedMemory()
    yield shared
    shared.close()
    assert names() == []


@pytest.fixture(scope="module")
def open_server(toy_repository: Path) -> Iterator[TritonServer]:
    server = TritonServer(toy_repository, allow_shared_memory=True)
    server.start()
    yield server
    server.stop(grace=0.0)


@pytest.fixture
def asker(open_server: TritonServer, shared: SharedMemory) -> Iterator[Asker]:
    asker = Asker(open_server.grpc_url, shared)
    yield asker
    asker.unregister(shared.unregistrations(asker.url))
    assert asker.regions() == []
    asker.close()


def names(pid: int | None = None) -> list[str]:
    """Those that stand in the folder of a process; this one unless given."""
    return [path.name for path in FOLDER.glob(f"camserve-client-*-*-{pid or os.getpid()}-*")]


def test_what_is_asked_through_shared_memory_is_answered_as_over_the_socket(asker: Asker, toy_bundle: Bundle) -> None:
    for count, seed in ((1, 0), (3, 1), (1, 2)):
        batch = toy_images(toy_bundle, count, seed=seed)
        np.testing.assert_allclose(asker.logits(batch), expected_outputs(toy_bundle, batch)["logits"], atol=1e-5)


def test_a_segment_is_told_to_the_server_once_and_used_again(asker: Asker, toy_bundle: Bundle) -> None:
    for seed in range(10):
        asker.logits(toy_images(toy_bundle, 3, seed=seed))
        asker.logits(toy_images(toy_bundle, 2, seed=seed))
    assert asker.registered == 1
    assert len(asker.regions()) == 1


def test_no_name_stands_once_the_server_has_opened_a_segment(asker: Asker, toy_bundle: Bundle) -> None:
    asker.logits(toy_images(toy_bundle))
    assert names() == []


def test_threads_never_share_a_segment(asker: Asker, toy_bundle: Bundle) -> None:
    wrong: list[int] = []

    def ask(number: int) -> None:
        for seed in range(20):
            batch = toy_images(toy_bundle, 1 + number % 3, seed=100 * number + seed)
            expected = expected_outputs(toy_bundle, batch)["logits"]
            wrong.extend([seed] * (not np.allclose(asker.logits(batch), expected, atol=1e-5)))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert asker.registered <= len(threads) * 2


def test_a_server_that_has_forgotten_is_told_anew(asker: Asker, toy_bundle: Bundle) -> None:
    batch = toy_images(toy_bundle)
    asker.logits(batch)
    asker.unregister([service_pb2.SystemSharedMemoryUnregisterRequest(name="")])
    assert asker.regions() == []
    np.testing.assert_allclose(asker.logits(batch), expected_outputs(toy_bundle, batch)["logits"], atol=1e-5)
    assert asker.registered == 2
    assert len(asker.regions()) == 1


def test_a_server_that_forbids_it_is_told_from_one_that_forgot(
    toy_server: TritonServer, toy_bundle: Bundle, shared: SharedMemory
) -> None:
    asker = Asker(toy_server.grpc_url, shared)
    with pytest.raises(grpc.RpcError) as caught:
        asker.logits(toy_images(toy_bundle))
    asker.close()
    why = caught.value.details() or ""
    assert not is_unknown_region(why)
    error = refused(asker.url, why)
    assert "restricted" in error.message
    assert "--allow-shared-memory" in str(error)


def test_a_segment_that_could_not_be_told_is_not_used_again_and_is_unregistered_in_the_end(
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


def test_each_server_has_segments_of_its_own(shared: SharedMemory) -> None:
    assert registered(shared, "a:1") == registered(shared, "a:1")
    assert registered(shared, "a:1") != registered(shared, "b:1")


def registered(shared: SharedMemory, url: str) -> str:
    """The name of the segment that the next batch for a server is given."""
    with shared.lease(url, BATCH) as lease:
        assert lease is not None
        if not lease.registered:
            with lease.registering():
                pass
        return lease.name


def test_no_more_is_taken_than_the_bound() -> None:
    shared = SharedMemory(limit=2 * 4096)
    with shared.lease("a:1", BATCH) as first, shared.lease("b:1", BATCH) as second, shared.lease("a:1", BATCH) as third:
        assert first is not None
        assert second is not None
        assert third is None
    with shared.lease("c:1", BATCH) as again:
        assert again is not None
    shared.close()
    assert names() == []


def test_a_full_shared_memory_is_told_once_and_is_no_error(
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


def test_memory_is_taken_before_it_is_written() -> None:
    name, memory = segments.create(1 << 20)
    assert (FOLDER / name).stat().st_blocks * 512 >= 1 << 20
    assert (FOLDER / name).stat().st_mode & 0o777 == 0o600
    segments.remove(name)
    memory.close()


def test_a_host_without_it_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("camserve.clients.wire.shared_memory.FOLDER", tmp_path / "none")
    with pytest.raises(UsageError, match="Leave shared_memory out"):
        SharedMemory()


def test_closed_it_lends_nothing_and_frees_what_is_on_lease_when_that_ends() -> None:
    shared = SharedMemory()
    with shared.lease("a:1", BATCH) as lease:
        assert lease is not None
        shared.close()
        shared.close()
        assert names() == [lease.name]
    assert names() == []
    with shared.lease("a:1", BATCH) as after:
        assert after is None


def test_descriptors_are_given_back() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        shared = SharedMemory()
        for url in ("a:1", "b:1"):
            registered(shared, url)
        shared.close()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before  # what other tests have left may end meanwhile


def test_a_forked_child_leaves_its_parents_segments_alone(shared: SharedMemory) -> None:
    mine = registered(shared, "a:1")
    with shared.lease("a:1", BATCH) as lease:
        assert lease is not None
        held = np.frombuffer(lease._memory, np.float32, BATCH.size)
        child = os.fork()
        if child == 0:
            with shared.lease("a:1", BATCH + 1) as theirs:
                right = theirs is not None and theirs.name != mine and not theirs.registered
            right = right and shared.unregistrations("a:1") == []
            shared.close()
            os._exit(0 if right else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        np.testing.assert_array_equal(held, BATCH)
        del held
    assert registered(shared, "a:1") == mine


CLIENT = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
import numpy as np
from test_shared_memory import Asker
from camserve.clients.wire.shared_memory import SharedMemory
asker = Asker(sys.argv[1], SharedMemory())
asker.logits(np.zeros((1, 8, 8, 3), np.float32))
print("asked", flush=True)
{end}
"""


def start_client(url: str, end: str) -> subprocess.Popen[str]:
    """A process that asks once through shared memory, and then ends in that way."""
    words = [sys.executable, "-W", "error", "-c", CLIENT.format(end=end), url, str(Path(__file__).parent)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGKILL)", "raise SystemExit(1 / 0)", "sys.exit()"])
def test_a_client_that_ends_without_a_word_leaves_no_name_and_its_segment_can_be_unregistered(
    end: str, asker: Asker
) -> None:
    client = start_client(asker.url, end)
    said, complaint = client.communicate(timeout=60)
    assert said == "asked\n", complaint
    assert "resource_tracker" not in complaint
    assert names(client.pid) == []
    (left,) = asker.regions(client.pid)
    registered(asker.shared, "elsewhere:1")
    assert [each.name for each in asker.shared.abandoned([left, "a stranger's"])] == [left]
    asker.unregister(asker.shared.abandoned([left]))
    assert asker.regions(client.pid) == []


def test_a_living_clients_segment_is_not_abandoned(asker: Asker, toy_bundle: Bundle) -> None:
    asker.logits(toy_images(toy_bundle))
    assert SharedMemory().abandoned(asker.regions()) == []


def test_a_name_left_by_a_killed_client_is_taken_away_by_the_next() -> None:
    code = (
        "import os, signal; from camserve.clients.wire.segments import create; "
        "print(create(4096)[0], flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    left = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout.strip()
    assert segments.has_lost_its_owner(left)
    alive, memory = segments.create(4096)
    SharedMemory().close()
    assert not (FOLDER / left).exists()
    assert names() == [alive]
    segments.remove(alive)
    memory.close()


def test_whose_process_number_was_given_out_again_has_lost_its_owner() -> None:
    name, memory = segments.create(4096)
    segments.remove(name)
    memory.close()
    *head, boot, namespace, pid, born, token = name.split("-")
    assert not segments.has_lost_its_owner(name)
    reborn = "-".join((*head, boot, namespace, pid, str(int(born) - 1), token))
    assert segments.has_lost_its_owner(reborn)
    assert not segments.has_lost_its_owner(reborn.replace(boot, "0" * 32))
    assert not segments.has_lost_its_owner("camserve-anything")


def test_what_a_server_still_computes_on_outlives_the_client(asker: Asker, toy_bundle: Bundle) -> None:
    batch = toy_images(toy_bundle)
    with asker.shared.lease(asker.url, batch) as lease:
        assert lease is not None
        with lease.registering() as message:
            asker.stub.SystemSharedMemoryRegister(message, timeout=SECONDS)
        lease.discard()
    request = service_pb2.ModelInferRequest(model_name="toy")
    lease.describe(request.inputs.add(name="image", datatype="FP32", shape=batch.shape))
    request.outputs.add(name="logits")
    answer = asker.stub.ModelInfer(request, timeout=SECONDS)
    logits = np.frombuffer(answer.raw_output_contents[0], np.float32)
    np.testing.assert_allclose(logits, expected_outputs(toy_bundle, batch)["logits"][0], atol=1e-5)
    asker.unregister([service_pb2.SystemSharedMemoryUnregisterRequest(name=message.name)])


def test_a_classifier_through_shared_memory_answers_as_over_the_socket_and_leaves_nothing(
    open_server: TritonServer, toy_bundle: Bundle, asker: Asker
) -> None:
    batch = toy_images(toy_bundle, 3)
    with Classifier(open_server.grpc_url, "toy", shared_memory=True) as through:
        with Classifier(open_server.grpc_url, "toy") as plain:
            expected = plain.infer(batch, ["logits", "cam"])
        found = through.infer(batch, ["logits", "cam"])
        assert len(asker.regions()) == 1
    assert asker.regions() == []
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_tasks_of_one_loop_never_share_a_segment(open_server: TritonServer, toy_bundle: Bundle, asker: Asker) -> None:
    async def main() -> None:
        async with AsyncClassifier(open_server.grpc_url, "toy", shared_memory=True) as classifier:
            batches = [toy_images(toy_bundle, 1 + seed % 3, seed=seed) for seed in range(40)]
            found = await asyncio.gather(*(classifier.infer(batch, ["logits"]) for batch in batches))
        for batch, outputs in zip(batches, found, strict=True):
            expected = expected_outputs(toy_bundle, batch)["logits"]
            np.testing.assert_allclose(outputs["logits"], expected, atol=1e-5)

    asyncio.run(main())
    assert asker.regions() == []
    assert names() == []


def test_a_classifier_whose_server_forbids_it_says_what_to_do(toy_server: TritonServer, toy_bundle: Bundle) -> None:
    classifier = Classifier(toy_server.grpc_url, "toy", shared_memory=True)
    with classifier, pytest.raises(RequestError, match="--allow-shared-memory"):
        classifier.infer(toy_images(toy_bundle), ["logits"])
    assert names() == []


def test_the_next_classifier_has_the_server_forget_what_a_killed_one_left(
    open_server: TritonServer, toy_bundle: Bundle, asker: Asker
) -> None:
    client = start_client(asker.url, "os.kill(os.getpid(), signal.SIGKILL)")
    client.communicate(timeout=60)
    assert len(asker.regions(client.pid)) == 1
    with Classifier(open_server.grpc_url, "toy", shared_memory=True) as classifier:
        classifier.infer(toy_images(toy_bundle), ["logits"])
        assert len(asker.regions()) == 1
    assert asker.regions(client.pid) == []
