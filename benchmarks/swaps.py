"""Versions swapped under clients that ask without pause: in explicit mode, and in the poll mode that camserve lacks.

Usage: python benchmarks/swaps.py [--swaps 20] [--clients 16]

A toy network, whose versions answer differently, is published again and again while clients ask the embedded Triton for
it. Each answer is held to the version that it says it is of. In explicit mode `publish` tells the server to load the
new version. In poll mode the server looks into the repository once a second, as it does where operators turn that on;
camserve offers no such mode, so its command line is changed here. The last row copies each version into the repository
half a file at a time, as a copy over a network arrives, in place of publishing it. Seconds are medians, from the start
of the publication to the first answer of the new version.
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

from support.swapping import Askers, bundles_that_differ

from camserve.bundle import ONNX_NAME, Bundle
from camserve.serving import TritonServer, publish
from camserve.serving.server import launch

COPYING = 3.0  # seconds
PATIENCE = 15.0  # seconds until a version counts as never served


def main() -> None:
    """Prints a row for each mode."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--clients", type=int, default=16)
    arguments = parser.parse_args()
    print("| mode | versions | right answers | failed requests | answers of no version | never served | seconds |")
    print("|---|---|---|---|---|---|---|")
    for mode in MODES:
        with tempfile.TemporaryDirectory() as folder:
            bundles = bundles_that_differ(Path(folder), arguments.swaps + 1)
            print(swap(mode, bundles, Path(folder), arguments.clients))


def swap(mode: str, bundles: list[Bundle], folder: Path, clients: int) -> str:
    """Brings one version after the other under load, and tells what the clients saw."""
    repository, seconds = folder / "repository", []
    publish(bundles[0], repository)
    with (
        server_in(mode, repository) as server,
        Askers(server.grpc_url, dict(enumerate(bundles, start=1)), clients) as askers,
    ):
        askers.wait_for(1)
        for version, bundle in enumerate(bundles[1:], start=2):
            began = time.monotonic()
            MODES[mode](bundle, version, folder, server)
            try:
                askers.wait_for(version, answers=1, seconds=PATIENCE)
            except TimeoutError:
                continue
            seconds.append(time.monotonic() - began)
            askers.wait_for(version, answers=200)
    for failure, count in askers.failures.most_common(3):
        print(f"{mode}: {count} times {failure}", file=sys.stderr)
    never = len(bundles) - 1 - len(seconds)
    figures = (len(bundles) - 1, askers.answers.total(), askers.failures.total(), askers.strangers, never)
    return f"| {mode} | {' | '.join(map(str, figures))} | {f'{median(seconds):.2f}' if seconds else '–'} |"


def publish_and_load(bundle: Bundle, _version: int, folder: Path, server: TritonServer) -> None:
    """As camserve does it."""
    publish(bundle, folder / "repository", url=server.grpc_url)


def publish_alone(bundle: Bundle, _version: int, folder: Path, _server: TritonServer) -> None:
    """Whole, by one rename, and the server finds it."""
    publish(bundle, folder / "repository")


def copy_slowly(bundle: Bundle, version: int, folder: Path, _server: TritonServer) -> None:
    """Half a file at a time, and the server finds what is there."""
    target = folder / "repository" / "toy" / str(version)
    target.mkdir()
    content = (bundle.path / ONNX_NAME).read_bytes()
    with (target / ONNX_NAME).open("wb") as stream:
        for half in (content[: len(content) // 2], content[len(content) // 2 :]):
            stream.write(half)
            stream.flush()
            time.sleep(COPYING / 2)


MODES = {"explicit": publish_and_load, "poll": publish_alone, "poll, copied": copy_slowly}


@contextmanager
def server_in(mode: str, repository: Path) -> Iterator[TritonServer]:
    """The embedded server, in a mode that it may not offer."""
    offered = vars(launch)["server_command"]

    def command(*parts: Any, **options: Any) -> list[str]:
        line = offered(*parts, **options)
        polled = ["--model-control-mode=poll", "--repository-poll-secs=1"]
        return [word for word in line if not word.startswith("--model-control-mode")] + polled

    try:
        if mode != "explicit":
            vars(launch)["server_command"] = command
        with TritonServer(repository, model_control="explicit" if mode == "explicit" else "none") as server:
            yield server
    finally:
        vars(launch)["server_command"] = offered


if __name__ == "__main__":
    main()
