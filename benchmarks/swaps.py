"""Swapping versions under load: in explicit mode, and in the poll mode, which camserve does not offer.

Usage: python benchmarks/swaps.py [--swaps 20] [--clients 16]

Versions of a toy network with different outputs are published one after the other while clients send requests to the
embedded Triton. Each answer is compared with the expected one of its version. In explicit mode, `publish` requests the
server to load the new version. In poll mode, the server checks the repository once per second; camserve has no such
mode, so this program changes the command line. The last row copies each version into the repository in two steps, like
a copy over a network, instead of publishing it. The seconds are medians, from the start of the publication to the first
answer of the new version.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.swapping import ContinuousClients, different_bundles

from camserve.bundle import ONNX_NAME, Bundle
from camserve.serving import TritonServer, publish
from camserve.serving.server import launch

COPY_SECONDS = 3.0
TIMEOUT_SECONDS = 15.0  # until a version counts as never served


def main() -> None:
    """Print a row for each mode."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--clients", type=int, default=16)
    arguments = parser.parse_args()
    print("| mode | versions | correct answers | failed requests | wrong answers | never served | seconds |")
    print("|---|---|---|---|---|---|---|")
    for mode in MODES:
        with tempfile.TemporaryDirectory() as folder:
            bundles = different_bundles(Path(folder), arguments.swaps + 1)
            print(swap(mode, bundles, Path(folder), arguments.clients))


def swap(mode: str, bundles: list[Bundle], folder: Path, clients: int) -> str:
    """Swap all versions under load and return a row with the results of the clients."""
    repository, seconds = folder / "repository", []
    publish(bundles[0], repository)
    with (
        server_in(mode, repository) as server,
        ContinuousClients(server.grpc_url, dict(enumerate(bundles, start=1)), clients) as load,
    ):
        load.wait_for(1)
        for version, bundle in enumerate(bundles[1:], start=2):
            begin = time.monotonic()
            MODES[mode](bundle, version, folder, server)
            try:
                load.wait_for(version, answers=1, seconds=TIMEOUT_SECONDS)
            except TimeoutError:
                continue
            seconds.append(time.monotonic() - begin)
            load.wait_for(version, answers=200)
    for failure, count in load.failures.most_common(3):
        print(f"{mode}: {count} times: {failure}", file=sys.stderr)
    never = len(bundles) - 1 - len(seconds)
    counts = (len(bundles) - 1, load.correct.total(), load.failures.total(), load.mismatches, never)
    return f"| {mode} | {' | '.join(map(str, counts))} | {f'{median(seconds):.2f}' if seconds else '–'} |"


def publish_and_load(bundle: Bundle, _version: int, folder: Path, server: TritonServer) -> None:
    """Publish and load, as camserve does."""
    publish(bundle, folder / "repository", url=server.grpc_url)


def publish_alone(bundle: Bundle, _version: int, folder: Path, _server: TritonServer) -> None:
    """Publish atomically; the server finds the version."""
    publish(bundle, folder / "repository")


def copy_slowly(bundle: Bundle, version: int, folder: Path, _server: TritonServer) -> None:
    """Copy in two steps; the server finds what is there."""
    target = folder / "repository" / "toy" / str(version)
    target.mkdir()
    content = (bundle.path / ONNX_NAME).read_bytes()
    with (target / ONNX_NAME).open("wb") as stream:
        for half in (content[: len(content) // 2], content[len(content) // 2 :]):
            stream.write(half)
            stream.flush()
            time.sleep(COPY_SECONDS / 2)


MODES = {"explicit": publish_and_load, "poll": publish_alone, "poll, copied": copy_slowly}


@contextmanager
def server_in(mode: str, repository: Path) -> Iterator[TritonServer]:
    """Start the embedded server in any mode."""
    original = vars(launch)["server_command"]

    def command(*parts: Any, **options: Any) -> list[str]:
        line = original(*parts, **options)
        polled = ["--model-control-mode=poll", "--repository-poll-secs=1"]
        return [word for word in line if not word.startswith("--model-control-mode")] + polled

    try:
        if mode != "explicit":
            vars(launch)["server_command"] = command
        with TritonServer(repository, model_control="explicit" if mode == "explicit" else "none") as server:
            yield server
    finally:
        vars(launch)["server_command"] = original


if __name__ == "__main__":
    main()
