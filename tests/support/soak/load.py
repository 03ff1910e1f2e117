"""The load of a soak: programs of clients, tables, publications and rollbacks, each in a process of its own."""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import cycle, product
from pathlib import Path
from types import TracebackType
from typing import Any

from support.command_line import run
from support.process_usage import Usage, usage
from support.soak.counts import Counts, Gate
from support.soak.site import CLASSES, REPLACED, Site

from camserve.bundle import Bundle

__all__ = ["SoakLoad"]

_TESTS = Path(__file__).parents[2]
_SCORE = "camserve score"
_NO_SERVER = ("no Triton server at", "no answer from the server")
"""What commands report that find no server, or whose server ends."""

_KILLED = "clients that are killed"
_END_SECONDS = 120.0


class ClientsProgram:
    """A running `support.soak.clients`.

    Args:
        arguments: Its arguments.
    """

    def __init__(self, *arguments: str) -> None:
        path = os.pathsep.join([str(_TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.soak.clients", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        self._lock = threading.Lock()
        self.pid = self._process.pid

    def send(self, command: str) -> dict[str, Any] | None:
        """Send a command and return its reply, or None if the program has ended."""
        with self._lock, suppress(OSError):
            if self._process.stdin is None or self._process.stdout is None:
                return None
            self._process.stdin.write(f"{command}\n")
            self._process.stdin.flush()
            if line := self._process.stdout.readline():
                reply: dict[str, Any] = json.loads(line)
                return reply
        return None

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()

    def end(self) -> int:
        """End it and return its exit code."""
        with suppress(OSError, ValueError):
            self._process.communicate(timeout=_END_SECONDS)
        self.kill()
        return self._process.returncode


class SoakLoad:
    """Uses a server until the end of its context.

    Args:
        site_file: Description of the site, for the programs of clients.
        site: The same.
        bundles: The bundles of each model.
        every: Seconds between two publications.
        pause: Seconds between two rounds of a client.
    """

    def __init__(
        self, site_file: Path, site: Site, bundles: Mapping[str, Sequence[Bundle]], *, every: float, pause: float
    ) -> None:
        self._site_file, self._site, self._bundles = site_file, site, bundles
        self._pause = pause
        self._repository = site_file.with_name("repository")
        self._counts, self._gate = Counts(), Gate()
        self._killed: Counter[str] = Counter()
        self._refusals: list[list[float]] = []
        self._clients = ClientsProgram(str(site_file), "1", str(pause))
        work = ((every, self._publications()), (every, self._score), (2.0, self._kill_clients))
        self._threads = [threading.Thread(target=self._repeat, args=each, daemon=True) for each in work]

    def __enter__(self) -> SoakLoad:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gate.ended.set()
        self._clients.kill()
        for thread in self._threads:
            thread.join(_END_SECONDS)

    def close_gate(self) -> None:
        """Pause all clients and publications, and wait until nothing is under way."""
        self._gate.close()
        self._clients.send("close")

    def open_gate(self) -> None:
        """Continue."""
        self._clients.send("open")
        self._gate.open()

    def usage(self) -> dict[str, Usage]:
        """Return what the long-lived program of clients uses."""
        with suppress(OSError):
            return {"clients": usage(self._clients.pid)}
        return {}

    def end(self) -> dict[str, Any]:
        """End the load and return the counts."""
        inside = self._gate.end()
        counted = self._clients.send("end") or {"uses": {}, "slowest": {}, "refusals": [], "examples": []}
        code = self._clients.end()
        own = self._counts.document()
        return {
            "uses": {**counted["uses"], **own["uses"]},
            "slowest": {**counted["slowest"], **own["slowest"]},
            "refusals": [*counted["refusals"], *own["refusals"], *self._refusals],
            "examples": counted["examples"] + own["examples"],
            "unfinished": inside + counted.get("inside", 0),
            "clients_exit_code": code,
            "killed": dict(self._killed),
        }

    def _repeat(self, pause: float, action: Callable[[], None]) -> None:
        for _ in self._gate.rounds(pause):
            action()

    def _publications(self) -> Callable[[], None]:
        """Return an action that publishes the second bundle of each model in turn, then rolls each back, and so on."""
        steps = cycle(product(("publish", "rollback"), REPLACED))

        def act() -> None:
            action, model = next(steps)
            words: list[str | Path] = ["publish", self._bundles[model][1].path]
            if action == "rollback":
                words = ["repository", "rollback", model]
            if self._succeeds(
                f"camserve {action}", 1, *words, "--repository", self._repository, "--url", self._site.url
            ):
                self._counts.add(f"camserve {action}", "correct")

        return act

    def _score(self) -> None:
        """Write a table and compare its rows."""
        images, table = self._site.known.images, self._site_file.with_name("table.csv")
        model = random.choice(self._site.known.models)
        options: list[str | Path] = [
            "--model",
            model,
            "--url",
            self._site.url,
            "--top",
            str(CLASSES),
            "--output",
            table,
            "--no-resume",
        ]
        if not self._succeeds(_SCORE, len(images), "score", images[0].parent, *options):
            return
        with table.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        table.unlink()
        if len(rows) != len(images):
            self._counts.note(_SCORE, f"{len(rows)} rows for {len(images)} images")
        for image, (path, row) in enumerate(zip(images, rows, strict=False)):
            problem = self._site.known.row_problem(model, image, row)
            self._counts.answered(_SCORE, problem if row["path"] == str(path) else f"row of {row['path']}")

    def _succeeds(self, use: str, calls: int, *words: str | Path) -> bool:
        """Run a command, count its calls, and return whether it succeeded; without a server, they are refused."""
        began = time.monotonic()
        self._counts.add(use, "calls", calls)
        with self._counts.timed(use):
            done = run(*words, "--quiet")
        if done.returncode != 0:
            if any(message in done.stderr for message in _NO_SERVER):
                self._counts.refused(use, began, calls)
            self._counts.note(use, f"exit code {done.returncode}: {done.stderr}")
        return done.returncode == 0

    def _kill_clients(self) -> None:
        """Start a program of clients and kill it in the midst of its work."""
        program = ClientsProgram(str(self._site_file), str(random.random()), str(self._pause), "shared")
        try:
            self._gate.ended.wait(random.uniform(15.0, 30.0))
            reply = program.send("report")
        finally:
            program.kill()
        self._killed["programs"] += 1
        if reply is None:
            self._counts.note(_KILLED, "ended by itself")
            self._killed["errors"] += 1
            return
        for outcomes in reply["uses"].values():
            self._killed.update(outcomes)
        self._refusals += reply["refusals"]
        self._killed["errors"] += len(reply["examples"])
        for example in reply["examples"]:
            self._counts.note(_KILLED, example)
