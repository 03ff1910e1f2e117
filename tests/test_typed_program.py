"""Programs that use the library pass `mypy --strict`, and misuse is an error."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parent.parent / "examples"

CORRECT = """
from camserve.clients import Classifier

with Classifier("localhost:8001", "resnet50", timeout=2.0) as classifier:
    best = classifier.classify("cat.jpg", top=3, cam=True)
    label: str = best.top[0].label
    box = best.cams[0].bbox()
    width: int = 0 if box is None else box[2] - box[0]
    x, y = best.cams[0].peak
    for each in classifier.classify_many(["a.jpg", b"bytes"]):
        probability: float = each.top[0].probability
"""

MISUSE = {
    'classifier.classify("cat.jpg", top="3")': "arg-type",
    'classifier.classify("cat.jpg", 3)': "call-arg",
    "classifier.classify(3.5)": "arg-type",
    'classifier.classify("cat.jpg").top[0].labl': "attr-defined",
    'number: int = classifier.classify("cat.jpg").top[0].label': "assignment",
    'classifier.classify("cat.jpg").cams[0].bbox()[0]': "index",
    'classifier.classify("cat.jpg", cam=True).cams[0].upsample(order=2)': "arg-type",
    'classifier.classify("cat.jpg").model = "other"': "misc",
    'Classifier("localhost:8001", "resnet50", compression="zip")': "arg-type",
}
"""Statements, and the code of the error that mypy must report for each."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def check(cache: Path, *files: Path) -> tuple[int, str]:
    """Run mypy on files, without configuration, and return its exit code and output."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={cache}", "--no-pretty"]
    result = subprocess.run(
        [*command, *(file.name for file in files)], cwd=files[0].parent, capture_output=True, text=True, check=False
    )
    return result.returncode, result.stdout + result.stderr


def test_the_examples_pass_a_strict_check(cache: Path, tmp_path: Path) -> None:
    files = [Path(shutil.copy(file, tmp_path)) for file in sorted(EXAMPLES.glob("*.py"))]
    assert len(files) >= 5
    code, output = check(cache, *files)
    assert code == 0, output


def test_a_program_that_uses_results_and_maps_passes(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(CORRECT)
    code, output = check(cache, tmp_path / "program.py")
    assert code == 0, output


def test_every_misuse_is_an_error(cache: Path, tmp_path: Path) -> None:
    start = 'from camserve.clients import Classifier\n\nclassifier = Classifier("localhost:8001", "resnet50")\n'
    (tmp_path / "misuse.py").write_text(start + "\n".join(MISUSE) + "\n")
    code, output = check(cache, tmp_path / "misuse.py")
    assert code == 1
    first = start.count("\n") + 1
    for number, (statement, error_code) in enumerate(MISUSE.items(), first):
        lines = [line for line in output.splitlines() if line.startswith(f"misuse.py:{number}: error:")]
        assert any(line.endswith(f"[{error_code}]") for line in lines), f"{statement}: {lines}"
