from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.shared_regions import SharedMemoryClient, names, registered
from support.toy import toy_images

from camserve.bundle import Bundle
from camserve.clients import Classifier
from camserve.clients.wire import segments
from camserve.clients.wire.segments import FOLDER
from camserve.clients.wire.shared_memory import SharedMemory
from camserve.serving import TritonServer

BATCH = np.arange(32, dtype=np.float32)


def test_forked_child_keeps_segments_of_its_parent(shared: SharedMemory) -> None:
    mine = registered(shared, "a:1")
    with shared.lease("a:1", BATCH) as lease:
        assert lease is not None
        view = np.frombuffer(lease._memory, np.float32, BATCH.size)
        child = os.fork()
        if child == 0:
            with shared.lease("a:1", BATCH + 1) as theirs:
                right = theirs is not None and theirs.name != mine and not theirs.registered
            right = right and shared.unregistrations("a:1") == []
            shared.close()
            os._exit(0 if right else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        np.testing.assert_array_equal(view, BATCH)
        del view
    assert registered(shared, "a:1") == mine


CLIENT = """
import os, signal, sys
import numpy as np
from support.shared_regions import SharedMemoryClient
from camserve.clients.wire.shared_memory import SharedMemory
sender = SharedMemoryClient(sys.argv[1], SharedMemory())
sender.logits(np.zeros((1, 8, 8, 3), np.float32))
print("sent", flush=True)
{end}
"""


def start_client(url: str, end: str) -> subprocess.Popen[str]:
    """Start a process that sends one request through shared memory, and then ends with the given code."""
    words = [sys.executable, "-W", "error", "-c", CLIENT.format(end=end), url]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGKILL)", "raise SystemExit(1 / 0)", "sys.exit()"])
def test_killed_client_leaves_no_name(end: str, sender: SharedMemoryClient) -> None:
    client = start_client(sender.url, end)
    output, errors = client.communicate(timeout=60)
    assert output == "sent\n", errors
    assert "resource_tracker" not in errors
    assert names(client.pid) == []
    (left,) = sender.regions(client.pid)
    registered(sender.shared, "elsewhere:1")
    assert [each.name for each in sender.shared.abandoned([left, "a stranger's"])] == [left]
    sender.unregister(sender.shared.abandoned([left]))
    assert sender.regions(client.pid) == []


def test_segment_of_a_running_client_is_not_abandoned(sender: SharedMemoryClient, toy_bundle: Bundle) -> None:
    sender.logits(toy_images(toy_bundle))
    assert SharedMemory().abandoned(sender.regions()) == []


def test_name_of_a_killed_client_is_removed_by_the_next() -> None:
    code = (
        "import os, signal; from camserve.clients.wire.segments import create; "
        "print(create(4096)[0], flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    left = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout.strip()
    assert segments.is_abandoned(left)
    alive, memory = segments.create(4096)
    SharedMemory().close()
    assert not (FOLDER / left).exists()
    assert names() == [alive]
    segments.remove(alive)
    memory.close()


def test_reused_process_number_is_recognized() -> None:
    name, memory = segments.create(4096)
    segments.remove(name)
    memory.close()
    *head, boot, namespace, pid, born, token = name.split("-")
    assert not segments.is_abandoned(name)
    reborn = "-".join((*head, boot, namespace, pid, str(int(born) - 1), token))
    assert segments.is_abandoned(reborn)
    assert not segments.is_abandoned(reborn.replace(boot, "0" * 32))
    assert not segments.is_abandoned("camserve-anything")


def test_next_classifier_unregisters_segments_of_a_killed_one(
    open_server: TritonServer, toy_bundle: Bundle, sender: SharedMemoryClient
) -> None:
    client = start_client(sender.url, "os.kill(os.getpid(), signal.SIGKILL)")
    client.communicate(timeout=60)
    assert len(sender.regions(client.pid)) == 1
    with Classifier(open_server.grpc_url, "toy", shared_memory=True) as classifier:
        classifier.infer(toy_images(toy_bundle), ["logits"])
        assert len(sender.regions()) == 1
    assert sender.regions(client.pid) == []
