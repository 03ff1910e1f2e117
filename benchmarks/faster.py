"""Compare the time of camserve's own code with that of another version: start, request, and start of Triton.

    python benchmarks/faster.py --other FOLDER [--rounds 9]

FOLDER is `src` of the other version, such as that of a `git worktree`. Both versions run in turn, in processes of their
own; the table shows medians, and the medians of the ratios within a round. It takes about two minutes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from PIL import Image
from support.toy import write_toy_bundle

from camserve.serving import TritonServer, publish

SOURCE = Path(__file__).parent.parent / "src"

COMMAND = """
import resource, sys
from camserve.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    used = resource.getrusage(resource.RUSAGE_SELF)
    print((used.ru_utime + used.ru_stime) * 1e3)
"""
REQUEST = """
import sys, time
import numpy
from camserve.clients import Classifier
with Classifier(sys.argv[1], "toy") as classifier:
    batch = numpy.zeros((1, *classifier.contract.input.shape), numpy.float32)
    transport, replies = classifier._transport, []
    receive = transport._call
    transport._call = lambda call: replies.append(receive(call)) or replies[-1]
    classifier.infer(batch, ["probabilities"])
    transport._call = lambda call: replies[-1]
    times = []
    for _ in range(30):
        began = time.process_time()
        for _ in range(200):
            classifier.infer(batch, ["probabilities"])
        times.append((time.process_time() - began) / 200)
    print(min(times) * 1e3)
"""
PROGRAM = """
import tempfile, time
from pathlib import Path
from camserve.serving.server.cancellation_fix import with_cancellation_fix
from camserve.serving.server.environment import find_triton
times = []
for _ in range(5):
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with_cancellation_fix(find_triton(), Path(folder))
        times.append(time.perf_counter() - began)
print(sorted(times)[2] * 1e3)
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--other", metavar="FOLDER", required=True, help="src of the other version")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    print("| | other version, ms | this version, ms | ratio |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        publish(write_toy_bundle(root / "bundle"), root / "repository", name="toy")
        Image.new("RGB", (8, 8), "red").save(root / "image.png")
        with TritonServer(root / "repository") as server:
            url = server.grpc_url
            classify = ["classify", str(root / "image.png"), "--url", url, "--model", "toy"]
            compare("classify --help, processor time", COMMAND, ["classify", "--help"], arguments)
            compare("classify, processor time until the answer", COMMAND, classify, arguments)
            compare("one request without its call, processor time", REQUEST, [url], arguments)
    compare("copying Triton's program", PROGRAM, [], arguments)


def compare(name: str, code: str, words: list[str], arguments: argparse.Namespace) -> None:
    """Print the row of one program."""
    milliseconds(code, words, arguments.other), milliseconds(code, words, SOURCE)  # keeps the bytecode
    rounds = [
        (milliseconds(code, words, arguments.other), milliseconds(code, words, SOURCE)) for _ in range(arguments.rounds)
    ]
    other, own = (median(column) for column in zip(*rounds, strict=True))
    print(f"| {name} | {other:.3g} | {own:.3g} | {median(b / a for a, b in rounds):.2f} |", flush=True)


def milliseconds(code: str, words: list[str], source: str | Path) -> float:
    """Run a program with the given version of camserve and return the number in its last line."""
    environment = {**os.environ, "PYTHONPATH": str(source)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", code, *words], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return float(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
