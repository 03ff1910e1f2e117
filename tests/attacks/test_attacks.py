"""Malicious models against the real loader and the real command line, each with a canary, in processes of their own."""

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

Outcome = dict[str, Any]
Outcomes = Callable[[str], dict[str, Outcome]]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Each attack's file and its canary."""
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
    """What came of every attack on one way of loading, by name of the attack."""
    target = tmp_path_factory.mktemp("target") / "network.keras"
    network().save(target)
    done: dict[str, dict[str, Outcome]] = {}

    def come_of(way: str) -> dict[str, Outcome]:
        if way not in done:
            meant = {name: file for name, file in files.items() if way in _ALL or ATTACKS[name].alone == way}
            done[way] = _attack(way, meant, target)
        return done[way]

    return come_of


def _attack(way: str, files: dict[str, tuple[Path, Path]], target: Path) -> dict[str, Outcome]:
    requests = ""
    for name, (path, canary) in files.items():
        new_canary(canary)
        source, weights = (target, str(path)) if ATTACKS[name].weights else (path, None)
        requests += json.dumps([name, str(source), weights, ATTACKS[name].custom]) + "\n"
    with _listening() as (address, asked):
        environment = {**os.environ, "https_proxy": address, "KERAS_HOME": str(target.parent)}
        victim = subprocess.run(
            [sys.executable, VICTIM, way],
            input=requests,
            capture_output=True,
            text=True,
            env=environment,
            cwd=target.parent,
            timeout=SECONDS,
            check=False,
        )
    lines = [json.loads(line) for line in victim.stdout.splitlines() if line.startswith("{")]
    assert len(lines) == len(files), f"ended at attack {len(lines)}: {victim.stderr[-2000:]}"
    found = {line["name"]: line for line in lines}
    for name, (_, canary) in files.items():
        found[name]["harmed"] = is_touched(canary)
    if "a download" in found:
        found["a download"]["harmed"] = bool(asked)
    return found


@contextlib.contextmanager
def _listening() -> Iterator[tuple[str, list[bytes]]]:
    """Stands between the victim and every server: gives its address, and what was asked of it."""
    asked: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        with contextlib.suppress(OSError):  # the listener is closed
            while True:
                connection, _ = listener.accept()
                with connection:
                    asked.append(connection.recv(4096))

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.mark.parametrize("name", ATTACKS)
def test_the_loader_refuses_it_unharmed(name: str, outcomes: Outcomes) -> None:
    outcome, attack = outcomes("loader")[name], ATTACKS[name]
    assert not outcome["harmed"]
    assert outcome["grown"] < MOST_GROWTH
    if attack.says is None:
        assert outcome["refused"] is None
    else:
        assert attack.says in outcome["refused"]
        assert outcome["hint"]
        assert outcome["code"] == 1


@pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if attack.says is not None])
def test_the_command_line_ends_with_a_sentence_and_no_bundle(name: str, outcomes: Outcomes) -> None:
    outcome = outcomes("command")[name]
    assert not outcome["harmed"]
    assert outcome["grown"] < MOST_GROWTH
    assert outcome["code"] == 1
    assert "hint: " in outcome["stderr"]
    assert "Traceback" not in outcome["stderr"]
    assert not outcome["bundle"]


@pytest.mark.parametrize("name", ATTACKS)
def test_what_stands_behind_our_guard(name: str, outcomes: Outcomes) -> None:
    """The negative control: each attack is live, so that it is the guards that stop it, ours or Keras's."""
    attack = ATTACKS[name]
    assert _has_harm(outcomes("keras")[name], attack) == (attack.alone == "keras")
    if attack.alone is not None:
        assert _has_harm(outcomes(attack.alone)[name], attack)


def _has_harm(outcome: Outcome, attack: Attack) -> bool:
    return bool(outcome["grown"] > HARM_TO_MEMORY if attack.memory else outcome["harmed"])
