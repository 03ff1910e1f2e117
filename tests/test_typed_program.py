"""The types of the library as a program meets them that has it installed: mypy strict, without our own settings."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"

RIGHT = """
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

WRONG = {
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
"""A statement each, and the code of the error that mypy must find in it."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def check(cache: Path, *files: Path) -> tuple[int, str]:
    """Runs mypy in the files' folder, where no settings are found, and returns its exit code and what it said."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={cache}", "--no-pretty"]
    result = subprocess.run(
        [*command, *(file.name for file in files)], cwd=files[0].parent, capture_output=True, text=True, check=False
    )
    return result.returncode, result.stdout + result.stderr


def test_the_examples_pass_a_strict_check(cache: Path, tmp_path: Path) -> None:
    files = [Path(shutil.copy(file, tmp_path)) for file in sorted(EXAMPLES.glob("*.py"))]
    assert len(files) >= 5
    code, said = check(cache, *files)
    assert code == 0, said


def test_a_program_that_uses_answers_and_maps_passes(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "right.py").write_text(RIGHT)
    code, said = check(cache, tmp_path / "right.py")
    assert code == 0, said


def test_every_wrong_use_is_an_error(cache: Path, tmp_path: Path) -> None:
    start = 'from camserve.clients import Classifier\n\nclassifier = Classifier("localhost:8001", "resnet50")\n'
    (tmp_path / "wrong.py").write_text(start + "\n".join(WRONG) + "\n")
    code, said = check(cache, tmp_path / "wrong.py")
    assert code == 1
    first = start.count("\n") + 1
    for number, (statement, kind) in enumerate(WRONG.items(), first):
        lines = [line for line in said.splitlines() if line.startswith(f"wrong.py:{number}: error:")]
        assert any(line.endswith(f"[{kind}]") for line in lines), f"{statement}: {lines}"
