"""An hour under load: streams left early, deadlines that pass, publications, rollbacks, and kills of tritonserver.

    python benchmarks/soak.py [--minutes 60] [--warm-up 2] [--kills 3] [--every 20] [--json] [--out FILE]

`camserve serve --model-control explicit` serves three toy networks. Threads and tasks classify one image after the
other and in streams, leave streams early, end them by errors, let deadlines pass, cancel tasks and close classifiers
with calls under way; `camserve score` writes one table after the other; a second program of clients, which passes its
tensors in shared memory, is killed (SIGKILL) every half minute. Meanwhile `camserve publish` and `camserve repository
rollback` replace versions, and tritonserver is killed: SIGKILL, SIGSEGV, SIGKILL and so on. Every answer is compared
with the correct one, computed before, of the version that it names. What each process uses is measured once a minute,
and at the start (after the warm-up) and at the end while all clients pause.

It exits with 1 if an answer is wrong or lost, tritonserver ended by itself, a publication failed, a process grew by 100
MB or more or has more descriptors than at the start, or the server leaves anything behind. It keeps about half a core
busy.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.soak.load import SoakLoad
from support.soak.report import faults, render
from support.soak.server import SoakServer
from support.soak.site import DELAYED, load_site, save_site, write_bundles, write_images

from camserve.serving import publish

DELAY_US = 20_000
IMAGES = 24
SAMPLE_SECONDS = 60.0
SETTLE_SECONDS = 5.0  # after the clients have paused
SIGNALS = (signal.SIGKILL, signal.SIGSEGV)


def main() -> None:
    """Run the soak, print the result and exit with 1 if there is a fault."""
    arguments = parse()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(f"ended by a signal after {time.monotonic() - began:.0f} s"))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="camserve-soak-") as folder:
        document = soak(Path(folder), arguments)
    document["cpu"] = sum(os.times()[:4]) / (time.monotonic() - began)
    document["faults"] = faults(document)
    if arguments.out:
        arguments.out.write_text(json.dumps(document, indent=2))
    print(json.dumps(document, indent=2) if arguments.json else render(document))
    sys.exit(1 if document["faults"] else 0)


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=60.0, help="minutes from the first to the last measurement")
    parser.add_argument("--warm-up", type=float, default=2.0, metavar="MINUTES", help="minutes of load before")
    parser.add_argument("--kills", type=int, default=3, help="how often tritonserver is killed")
    parser.add_argument("--every", type=float, default=20.0, metavar="SECONDS", help="time between two publications")
    parser.add_argument(
        "--pause", type=float, default=1.5, metavar="SECONDS", help="pause of each client between rounds"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the result, with all measurements, as JSON")
    return parser.parse_args()


def soak(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the server and its load, and return all that was counted and measured."""
    repository, site = folder / "repository", folder / "site.json"
    bundles = write_bundles(folder / "bundles")
    write_images(folder / "images", IMAGES)
    for model, several in bundles.items():
        publish(
            several[0], repository, options={"max_queue_delay_us": DELAY_US if model == DELAYED else 100, "threads": 1}
        )
    samples: list[dict[str, Any]] = []
    with SoakServer(repository, folder / "errors.log") as server:
        save_site(site, url=server.url, repository=repository, bundles=bundles, images=folder / "images")
        with SoakLoad(site, load_site(site), bundles, every=arguments.every, pause=arguments.pause) as load:
            wait(server, arguments.warm_up * 60, [], load, [])
            samples.append(at_rest(server, load))
            seconds = arguments.minutes * 60
            moments = [seconds * (place + 1) / (arguments.kills + 1) for place in range(arguments.kills)]
            wait(server, seconds, moments, load, samples)
            samples.append(at_rest(server, load))
            counted = load.end()
        server_errors = server.errors.read_text(errors="replace")
        left_behind = server.end()
    return {
        "minutes": (samples[-1]["at"] - samples[0]["at"]) / 60,
        "samples": samples,
        "counted": counted,
        "restarts": [vars(each) for each in server.restarts],
        "kills": arguments.kills,
        "exit_code": server.exit_code,
        "left_behind": left_behind,
        "server_errors": server_errors,
    }


def wait(server: SoakServer, seconds: float, kills: list[float], load: SoakLoad, samples: list[dict[str, Any]]) -> None:
    """Let the load run for so many seconds, or until the server ends; measure once a minute, and kill tritonserver."""
    began, signals = time.monotonic(), list(SIGNALS * len(kills))
    due, pending = began + SAMPLE_SECONDS, [began + moment for moment in kills]
    while (now := time.monotonic()) < began + seconds and server.observe():
        if pending and now >= pending[0]:
            pending.pop(0)
            server.kill(signals.pop(0))
        if now >= due:
            due += SAMPLE_SECONDS
            samples.append(sample(server, load))
        time.sleep(0.2)


def at_rest(server: SoakServer, load: SoakLoad) -> dict[str, Any]:
    """Measure while all clients pause."""
    load.close_gate()
    time.sleep(SETTLE_SECONDS)
    measured = sample(server, load)
    load.open_gate()
    return measured


def sample(server: SoakServer, load: SoakLoad) -> dict[str, Any]:
    """Measure what each process uses."""
    used = {**server.usage(), **load.usage()}
    return {
        "at": time.monotonic(),
        "triton_started": server.started,
        "processes": {name: vars(each) for name, each in sorted(used.items())},
        **server.files(),
    }


if __name__ == "__main__":
    main()
