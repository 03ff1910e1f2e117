"""The programs for Ray and Spark in docs/scoring.md give the rows of the local engine.

Requires `pip install 'camserve[ray]' 'pyspark[sql]'` and Java; what is not installed is skipped.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from camserve.clients import Classifier, ScoredRow, score
from camserve.serving import TritonServer

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "scoring.md"
SECONDS = 180


def program(heading: str) -> str:
    """Return the program in a chapter of the guide."""
    chapter = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2]
    return chapter.partition("```python\n")[2].partition("```")[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "photos").mkdir()
    for seed, name in enumerate(("cat.jpg", "dog.jpg")):
        pixels = np.random.default_rng(seed).integers(0, 256, (9, 11, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / name)
    (folder / "photos" / "text.jpg").write_text("no image")
    return folder


def run(heading: str, folder: Path, server: TritonServer) -> tuple[list[dict[str, Any]], str]:
    """Run a program in a folder, and return the rows that it wrote, and what it printed."""
    code = program(heading).replace("localhost:8001", server.grpc_url).replace('"pets"', '"toy"')
    settings = {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1", "RAY_USAGE_STATS_ENABLED": "0"}
    shutil.rmtree(folder / "answers", ignore_errors=True)
    result = subprocess.run(
        [sys.executable, "-c", code.replace('"photos/', f'"{folder}/photos/')],
        cwd=folder,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    rows = [
        row for file in (folder / "answers").glob("*.parquet") for row in pyarrow.parquet.read_table(file).to_pylist()
    ]
    return sorted(rows, key=lambda row: str(row["path"])), result.stdout


def local(folder: Path, server: TritonServer) -> list[ScoredRow]:
    with Classifier(server.grpc_url, "toy") as classifier:
        return list(score(classifier, sorted((folder / "photos").iterdir()), top=1))


@pytest.mark.parametrize(
    ("heading", "module", "ids"),
    [("Ray", "ray", None), ("Spark", "pyspark", ["7", "8"])],
)
def test_the_documented_program_gives_the_rows_of_the_local_engine(
    heading: str, module: str, ids: list[str] | None, folder: Path, toy_server: TritonServer
) -> None:
    if find_spec(module) is None or find_spec("pandas") is None:
        pytest.skip(f"{module} and pandas are not installed")
    rows, printed = run(heading, folder, toy_server)
    cat, dog, text = local(folder, toy_server)
    assert [(row["path"], row["class_1"], row["label_1"], row["error"]) for row in rows] == [
        (each.path, each.top[0].index, each.top[0].label, None) for each in (cat, dog)
    ]
    assert [row["probability_1"] for row in rows] == [np.float32(each.top[0].probability) for each in (cat, dog)]
    assert [row["sha256"] for row in rows] == [cat.sha256, dog.sha256]
    assert [row["id"] for row in rows] == (ids or [cat.path, dog.path])
    assert sorted(re.findall(r"[0-9a-f]{64}", printed)) == sorted(str(row.sha256) for row in (cat, dog, text))
    assert "text.jpg is not an image of a supported format" in printed


@pytest.mark.parametrize("heading", ["Ray", "Spark"])
def test_the_guide_has_a_program_for_each_engine(heading: str) -> None:
    code = program(heading)
    compile(code, heading, "exec")
    assert "BatchScorer(" in code
