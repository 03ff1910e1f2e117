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
import numpy as np
from support.shared_regions import SharedMemoryClient
from camserve.clients.wire.shared_memory import SharedMemory
asker = SharedMemoryClient(sys.argv[1], SharedMemory())
asker.logits(np.zeros((1, 8, 8, 3), np.float32))
print("asked", flush=True)
{end}
"""


def start_client(url: str, end: str) -> subprocess.Popen[str]:
    """A process that asks once through shared memory, and then ends in that way."""
    words = [sys.executable, "-W", "error", "-c", CLIENT.format(end=end), url]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGKILL)", "raise SystemExit(1 / 0)", "sys.exit()"])
def test_a_client_that_ends_without_a_word_leaves_no_name_and_its_segment_can_be_unregistered(
    end: str, asker: SharedMemoryClient
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


def test_a_living_clients_segment_is_not_abandoned(asker: SharedMemoryClient, toy_bundle: Bundle) -> None:
    asker.logits(toy_images(toy_bundle))
    assert SharedMemory().abandoned(asker.regions()) == []


def test_a_name_left_by_a_killed_client_is_taken_away_by_the_next() -> None:
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


def test_whose_process_number_was_given_out_again_has_lost_its_owner() -> None:
    name, memory = segments.create(4096)
    segments.remove(name)
    memory.close()
    *head, boot, namespace, pid, born, token = name.split("-")
    assert not segments.is_abandoned(name)
    reborn = "-".join((*head, boot, namespace, pid, str(int(born) - 1), token))
    assert segments.is_abandoned(reborn)
    assert not segments.is_abandoned(reborn.replace(boot, "0" * 32))
    assert not segments.is_abandoned("camserve-anything")


def test_the_next_classifier_has_the_server_forget_what_a_killed_one_left(
    open_server: TritonServer, toy_bundle: Bundle, asker: SharedMemoryClient
) -> None:
    client = start_client(asker.url, "os.kill(os.getpid(), signal.SIGKILL)")
    client.communicate(timeout=60)
    assert len(asker.regions(client.pid)) == 1
    with Classifier(open_server.grpc_url, "toy", shared_memory=True) as classifier:
        classifier.infer(toy_images(toy_bundle), ["logits"])
        assert len(asker.regions()) == 1
    assert asker.regions(client.pid) == []
