"""How `benchmarks/bench` asks, starts and stops the servers that camserve is compared with."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.process_usage import is_running

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

from bench.peers import processes
from bench.peers.calls import Target
from bench.peers.closed_loop import ClosedLoop, Sent
from bench.peers.contenders import Contender
from bench.peers.environments import NotInstalledError, environment
from bench.peers.processes import ServerError, decode, free_port, listening, started
from bench.served import Results, goals
from bench.settings import Settings

IMAGES = np.arange(8, dtype=np.float32).reshape(4, 1, 1, 2)
LOGITS = IMAGES.reshape(4, 2) + 1
DELAY = 0.01


@pytest.fixture(scope="module")
def loop() -> Iterator[ClosedLoop]:
    with ClosedLoop() as loop:
        yield loop


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """An HTTP server that adds 1 to the pixels after a delay; /chunked splits its answers, /fails refuses them."""
    events = asyncio.new_event_loop()
    server = events.run_until_complete(asyncio.start_server(answer, "127.0.0.1", 0))
    thread = threading.Thread(target=events.run_forever)
    thread.start()
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    events.call_soon_threadsafe(events.stop)
    thread.join()
    server.close()
    events.close()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            writer.close()
            return
        body = (np.frombuffer(await reader.readexactly(8), "<f4") + 1).tobytes()
        await asyncio.sleep(DELAY)
        if head.startswith(b"POST /chunked "):
            parts = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:3], body[3:]))
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + parts + b"0\r\n\r\n")
        elif head.startswith(b"POST /fails "):
            writer.write(b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


@pytest.mark.parametrize("path", ["plain", "chunked"])
def test_answers_are_read_in_the_order_of_the_images(loop: ClosedLoop, address: str, path: str) -> None:
    assert np.array_equal(loop.ask(Target(address, path, "http"), IMAGES), LOGITS)


@pytest.mark.timed
def test_the_closed_loop_keeps_so_many_requests_pending(loop: ClosedLoop, address: str) -> None:
    sent = loop.send(Target(address, "plain", "http"), IMAGES, LOGITS, 4, 0.5)
    assert not sent.errors
    assert 0.6 < sent.rate / (4 / DELAY) <= 1
    assert len(sent.settled) == len(sent.latencies) - 4
    assert min(sent.latencies) >= DELAY


def test_wrong_and_failed_answers_are_no_throughput(loop: ClosedLoop, address: str) -> None:
    wrong = loop.send(Target(address, "plain", "http"), IMAGES, LOGITS[::-1].copy(), 2, 0.1)
    assert wrong.rate == 0
    assert set(wrong.errors) == {"wrong logits"}
    failed = loop.send(Target(address, "fails", "http"), IMAGES, LOGITS, 2, 0.1)
    assert failed.rate == 0
    assert set(failed.errors) == {"ValueError: status 503: busy"}


FAMILY = """
import json, os, subprocess, sys, time
child = "import subprocess, sys, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True)" + sys.argv[1]
child = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE, text=True)
print(json.dumps([os.getpid(), child.pid, int(child.stdout.readline())]), flush=True)
time.sleep(60)
"""


def family(tmp_path: Path, rest: str) -> tuple[list[int], processes.ServerProcess]:
    log = tmp_path / "log"
    with started([sys.executable, "-c", FAMILY, rest], {}, log) as server:
        while not (text := log.read_text()).endswith("\n"):
            server.check()
            time.sleep(0.05)
        return json.loads(text), server


def test_a_server_ends_with_its_children(tmp_path: Path) -> None:
    members, server = family(tmp_path, "; time.sleep(60)")
    assert server.process.pid == members[0]
    assert not any(map(is_running, members))


def test_paused_servers_do_not_run(tmp_path: Path) -> None:
    with started(["sleep", "60"], {}, tmp_path / "log") as server:
        server.pause()
        os.waitid(os.P_PID, server.process.pid, os.WSTOPPED)
        server.go_on()
        os.waitid(os.P_PID, server.process.pid, os.WCONTINUED)
    assert server.process.returncode == -signal.SIGTERM


TERMINATED = """
import sys, time
from pathlib import Path
from bench.peers.processes import exit_when_terminated, started
exit_when_terminated()
with started(["sleep", "60"], {}, Path(sys.argv[1])) as server:
    server.pause()
    print(server.process.pid, flush=True)
    time.sleep(60)
"""


def test_paused_servers_end_with_a_terminated_benchmark(tmp_path: Path) -> None:
    words = [sys.executable, "-c", TERMINATED, str(tmp_path / "log")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as program:
        assert program.stdout is not None
        server = int(program.stdout.readline())
        program.terminate()
        assert program.wait(30) == 128 + signal.SIGTERM
    assert not is_running(server)


def test_a_server_that_ends_reports_what_it_printed_last(tmp_path: Path) -> None:
    with started(["sh", "-c", "echo no such option; exit 3"], {}, tmp_path / "log") as server:
        server.process.wait()
        with pytest.raises(ServerError, match="exit code 3; printed last: no such option"):
            server.check()


def test_listening_finds_the_addresses_of_a_process() -> None:
    with socket.create_server(("127.0.0.1", 0)), socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound, but it does not listen
        assert listening([os.getpid()]) == {"127.0.0.1"}
    assert free_port() > 0


def test_addresses_of_the_kernel_are_decoded() -> None:
    assert decode("0100007F", socket.AF_INET) == "127.0.0.1"
    assert decode("00000000000000000000000000000000", socket.AF_INET6) == "::"
    assert decode("0000000000000000FFFF00000100007F", socket.AF_INET6) == "::ffff:127.0.0.1"


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1"])
def test_a_server_that_can_be_reached_from_outside_is_refused(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with started(["sleep", "60"], {}, tmp_path / "log") as server:
        monkeypatch.setattr(processes, "listening", lambda pids: {"127.0.0.1", "::1", "::ffff:127.0.0.1"})
        server.check_addresses()
        monkeypatch.setattr(processes, "listening", lambda pids: {"127.0.0.1", address})
        with pytest.raises(ServerError, match=f"listens on {address}"):
            server.check_addresses()


def test_a_server_that_cannot_be_installed_has_a_reason(tmp_path: Path) -> None:
    peer = tmp_path / "peer"
    peer.mkdir()
    (peer / "requirements.txt").write_text("./missing-1.0-py3-none-any.whl\n", encoding="utf-8")
    with pytest.raises(NotInstalledError, match="missing-1"):
        environment(peer, Settings(tmp_path, 1, True))


def test_goals_compare_ours_with_the_best_peer_of_each_concurrency(tmp_path: Path) -> None:
    results = Results("net", (1, 4))
    with started(["sleep", "60"], {}, tmp_path / "log") as process:
        for name, rates, peer in (("ours", (8, 20), None), ("slow", (4, 12), process), ("fast", (5, 10), process)):
            target = Target("", name, "http")
            results.contenders.append(Contender(name, "fp32", "HTTP", target, LOGITS, 0.0, peer))
            for concurrency, rate in zip(results.concurrency, rates, strict=True):
                sent = Sent(seconds=1.0, latencies=[0.1] * rate)
                results.sent[len(results.contenders) - 1, concurrency] = [sent]
    assert goals([results]).rows == [
        ("net, 1 pending: ours fp32 to fast", 8 / 5, None, None),
        ("net, 4 pending: ours fp32 to slow", 20 / 12, "at least 1.5", "yes"),
    ]
