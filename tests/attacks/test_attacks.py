"""Malicious models against the real loader and the real command line, each with a canary, in separate processes."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attacks.forge import ATTACKS
from attacks.material import Attack, is_touched, network, new_canary

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="memory is measured in /proc"),
    pytest.mark.filterwarnings("ignore:Duplicate name"),
]

MOST_GROWTH = 150 << 20
HARM_TO_MEMORY = 400 << 20
SECONDS = 300
VICTIM = Path(__file__).with_name("victim.py")

_ALL = ("loader", "command", "keras")
_NO_RETRIES = {"TF_ENABLE_ONEDNN_OPTS": "0"}
"""With oneDNN, TensorFlow waits 10 s for free memory before it refuses a huge layer."""

Outcome = dict[str, Any]
Outcomes = Callable[[str], dict[str, Outcome]]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Write each attack's file and its canary."""
    forged = {}
    for number, (name, attack) in enumerate(ATTACKS.items()):
        folder = tmp_path_factory.mktemp("attack") / str(number)
        canary = folder.parent / attack.canary
        folder.mkdir()
        new_canary(canary)
        forged[name] = (attack.build(folder, canary), canary)
    return forged


@pytest.fixture(scope="module")
def outcomes(files: dict[str, tuple[Path, Path]], tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """Return the outcome of every attack on one loader, by name of the attack."""
    target = tmp_path_factory.mktemp("target") / "network.keras"
    network().save(target)
    done: dict[str, dict[str, Outcome]] = {}

    def run_attacks(loader: str) -> dict[str, Outcome]:
        if loader not in done:
            selected = {
                name: file for name, file in files.items() if loader in _ALL or ATTACKS[name].vulnerable == loader
            }
            done[loader] = _attack(loader, selected, target)
        return done[loader]

    return run_attacks


def _attack(loader: str, files: dict[str, tuple[Path, Path]], target: Path) -> dict[str, Outcome]:
    requests = ""
    for name, (path, canary) in files.items():
        new_canary(canary)
        source, weights = (target, str(path)) if ATTACKS[name].weights else (path, None)
        requests += json.dumps([name, str(source), weights, ATTACKS[name].custom]) + "\n"
    with _listening() as (address, received):
        environment = {**os.environ, **_NO_RETRIES, "https_proxy": address, "KERAS_HOME": str(target.parent)}
        victim = subprocess.run(
            [sys.executable, VICTIM, loader],
            input=requests,
            capture_output=True,
            text=True,
            env=environment,
            cwd=target.parent,
            timeout=SECONDS,
            check=False,
        )
    lines = [json.loads(line) for line in victim.stdout.splitlines() if line.startswith("{")]
    assert len(lines) == len(files), f"stopped at attack {len(lines)}: {victim.stderr[-2000:]}"
    found = {line["name"]: line for line in lines}
    for name, (_, canary) in files.items():
        found[name]["harmed"] = is_touched(canary)
    if "a download" in found:
        found["a download"]["harmed"] = bool(received)
    return found


@contextlib.contextmanager
def _listening() -> Iterator[tuple[str, list[bytes]]]:
    """Run a proxy that records what it receives; yield its address and the records."""
    received: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        with contextlib.suppress(OSError):  # the listener is closed
            while True:
                connection, _ = listener.accept()
                with connection:
                    received.append(connection.recv(4096))

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", received
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.mark.parametrize("name", ATTACKS)
def test_loader_refuses_the_attack(name: str, outcomes: Outcomes) -> None:
    outcome, attack = outcomes("loader")[name], ATTACKS[name]
    assert not outcome["harmed"]
    assert outcome["grown"] < MOST_GROWTH
    if attack.message is None:
        assert outcome["refused"] is None
    else:
        assert attack.message in outcome["refused"]
        assert outcome["hint"]
        assert outcome["code"] == 1


@pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if attack.message is not None])
def test_command_line_reports_the_attack_and_writes_no_bundle(name: str, outcomes: Outcomes) -> None:
    outcome = outcomes("command")[name]
    assert not outcome["harmed"]
    assert outcome["grown"] < MOST_GROWTH
    assert outcome["code"] == 1
    assert "hint: " in outcome["stderr"]
    assert "Traceback" not in outcome["stderr"]
    assert not outcome["bundle"]


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_harms_an_unguarded_loader(name: str, outcomes: Outcomes) -> None:
    """Negative control: each attack works, so that it is the checks that stop it, camserve's or Keras's."""
    attack = ATTACKS[name]
    assert _has_harm(outcomes("keras")[name], attack) == (attack.vulnerable == "keras")
    if attack.vulnerable is not None:
        assert _has_harm(outcomes(attack.vulnerable)[name], attack)


def _has_harm(outcome: Outcome, attack: Attack) -> bool:
    return bool(outcome["grown"] > HARM_TO_MEMORY if attack.memory else outcome["harmed"])
