"""What `benchmarks/scoring.py` measures with: the server that answers at once, and the use of a program."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from support.process_usage import is_running
from support.scoring.image_files import link_files, write_drawings
from support.scoring.measured_program import measure
from support.scoring.opponent_process import Speed, opened
from support.scoring.running_score import running_score
from support.scoring.servers import Served, instant
from support.toy import with_pixels, write_toy_bundle

from camserve.clients import Classifier

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "scoring_benchmark", Path(__file__).parent.parent / "benchmarks" / "scoring.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # for its dataclasses
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "toy"
    return with_pixels(write_toy_bundle(folder, size=(64, 64), preset="raw-rgb")).path


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[Served]:
    with instant(bundle) as served:
        yield served


@pytest.mark.parametrize("shared_memory", [False, True])
@pytest.mark.parametrize("images", [1, 3, 64])
def test_instant_server_answers_every_image(server: Served, shared_memory: bool, images: int) -> None:
    batch = np.zeros((images, 64, 64, 3), np.uint8)
    with Classifier(server.url, server.model, shared_memory=shared_memory) as classifier:
        answer = classifier.infer(batch, ["probabilities"])["probabilities"]
    assert answer.shape == (images, 4)
    assert (answer.argmax(axis=1) == 1).all()


def test_time_and_memory_of_child_processes_count() -> None:
    child = "import time; data = bytearray(90_000_000)\nwhile time.process_time() < 0.5: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True); print('done')"
    measured = measure([sys.executable, "-c", parent], memory=True)
    assert measured.output == "done\n"
    assert measured.processes == 2
    assert measured.peak > 90 * MEGABYTE
    assert measured.cpu >= 0.5
    assert measured.seconds >= 0.5


def test_failure_of_the_program_is_an_error() -> None:
    with pytest.raises(RuntimeError, match=r"exited with 1: no such thing"):
        measure([sys.executable, "-c", "import sys; sys.exit('no such thing')"])


def test_opponent_processes_share_the_images(bundle: Path, tmp_path: Path) -> None:
    listed = tmp_path / "files.txt"
    listed.write_text("\n".join(map(str, write_drawings(tmp_path / "drawings", 4))))
    with opened("decode", bundle, listed, processes=2) as decoding:
        speed = decoding.run(20)
    assert speed.rate > 0
    assert 0 < speed.cpu < 1


def test_a_run_is_suspended_between_its_turns(bundle: Path, server: Served, tmp_path: Path) -> None:
    images = link_files(write_drawings(tmp_path / "drawings", 4), tmp_path / "many", 20_000)
    with running_score(images, "--workers", "1", first=50, server=server) as running:
        used = running.processor_seconds()
        time.sleep(0.2)
        assert running.processor_seconds() == used
        speed = running.run(0.3)
        assert speed.rate > 0
        assert speed.cpu > 0
        assert speed.start is not None
        assert speed.start > 0
    assert not any(map(is_running, running.pids))


def test_linked_files_have_distinct_names(tmp_path: Path) -> None:
    folder = link_files(write_drawings(tmp_path / "drawings", 3), tmp_path / "many", 1_005)
    assert len(list(folder.rglob("*.jpg"))) == 1_005


def test_ratios_are_medians_of_rounds(program: ModuleType) -> None:
    rounds = [{"a": Speed(rate, 0.001), "b": Speed(10.0, 0.001)} for rate in (5.0, 20.0, 90.0)]
    assert program.ratio(rounds, "a", "b") == 2.0
    assert program.rows_of(rounds)[0] == {
        "what": "a",
        "rate": 20.0,
        "cpu_ms": 1.0,
        "server_cpu_ms": None,
        "start_s": None,
    }


def test_unknown_part_is_named(program: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.parse(["served", "memry"])
    assert "unknown part 'memry'; choose from served, instant, memory, gpu" in capsys.readouterr().err
