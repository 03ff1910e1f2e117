"""`camserve publish` and `camserve repository list`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from support.command_line import call
from support.toy import write_toy_bundle

from camserve.bundle import REPORT_NAME, Bundle
from camserve.manifest import write_manifest
from camserve.serving.config.message import read_config, read_options
from camserve.serving.config.named_options import DEFAULTS

pytestmark = pytest.mark.slow


def test_versions_count_up_and_are_listed(toy_bundle: Bundle, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    for version in (1, 2):
        result = call("publish", toy_bundle.path, "--repository", repository, "--json")
        assert result.returncode == 0, result.stderr
        path = str(repository / "toy" / str(version))
        expected: dict[str, Any] = {
            "name": "toy",
            "version": version,
            "path": path,
            "url": None,
            "served": True,
            "again": None,
            "widened": [],
            "provider": None,
            "backend": "onnxruntime",
            "file_model": None,
            "warnings": [],
        }
        assert json.loads(result.stdout) == expected
    listed = call("repository", "list", "--repository", repository, "--json")
    (model,) = json.loads(listed.stdout)
    assert model["name"] == "toy"
    assert [(each["version"], each["served"]) for each in model["versions"]] == [(1, False), (2, True)]
    table = call("repository", "list", "--repository", repository).stdout
    assert table.count("toy") == 2


def test_publish_prints_how_to_serve(toy_bundle: Bundle, tmp_path: Path) -> None:
    result = call("publish", toy_bundle.path, "--repository", tmp_path / "repository", "--name", "other")
    assert "other, version 1" in result.stdout
    assert f"camserve serve --repository {tmp_path / 'repository'}" in result.stdout


def test_publish_prints_that_a_running_server_must_be_restarted(toy_bundle: Bundle, tmp_path: Path) -> None:
    repository = tmp_path / "my models"
    first, second = (call("publish", toy_bundle.path, "--repository", repository) for _ in range(2))
    assert shlex.split(first.stdout.splitlines()[1])[1:] == ["camserve", "serve", "--repository", str(repository)]
    assert "restarted" not in first.stdout
    assert "A running server loads it when it is restarted" in second.stdout
    assert "--url HOST:PORT" in second.stdout


def test_publish_prints_that_a_version_is_not_served(toy_bundle: Bundle, tmp_path: Path) -> None:
    call("publish", toy_bundle.path, "--repository", tmp_path)
    result = call("publish", toy_bundle.path, "--repository", tmp_path, "--set", "versions=1")
    assert "version policy does not serve it. To serve the newest version," in result.stdout
    assert "publish with --latest-versions 1." in result.stdout
    assert "restarted" not in result.stdout
    served = call("publish", toy_bundle.path, "--repository", tmp_path, "--latest-versions", "1")
    assert "version 3" in served.stdout
    assert "A running server loads it when it is restarted" in served.stdout


def test_publish_changes_only_explicit_options(toy_bundle: Bundle, tmp_path: Path) -> None:
    for options in (["--max-batch", "4", "--threads", "2"], ["--no-warm-up"], []):
        assert call("publish", toy_bundle.path, "--repository", tmp_path, *options).returncode == 0
    path = tmp_path / "toy" / "config.pbtxt"
    assert read_options(read_config(path)) == {**DEFAULTS, "max_batch_size": 4, "threads": 2, "warmup": False}
    call("publish", toy_bundle.path, "--repository", tmp_path, "--threads", "0")
    assert read_options(read_config(path))["threads"] is None


def test_an_empty_repository_lists_no_models(tmp_path: Path) -> None:
    result = call("repository", "list", "--repository", tmp_path)
    assert (result.returncode, result.stdout) == (0, f"no models in {tmp_path}\n")
    assert call("repository", "list", "--repository", tmp_path, "--json").stdout == "[]\n"


def test_an_altered_bundle_is_not_published(toy_bundle: Bundle, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    for file in toy_bundle.path.iterdir():
        (bundle / file.name).write_bytes(file.read_bytes())
    (bundle / "labels.txt").write_text("a\nb\nc\nd\n")
    result = call("publish", bundle, "--repository", tmp_path / "repository")
    assert result.returncode == 1
    assert "labels.txt was changed" in result.stderr
    assert not (tmp_path / "repository").exists()


def test_the_preset_tensorrt_suits_an_int8_export(tmp_path: Path) -> None:
    bundle = write_toy_bundle(tmp_path / "bundle")
    report = json.loads((bundle.path / REPORT_NAME).read_text())
    (bundle.path / REPORT_NAME).write_text(json.dumps({**report, "precision": "int8 (tensorrt)"}))
    write_manifest(bundle.path)
    result = call("publish", bundle.path, "--repository", tmp_path / "repository", "--preset", "tensorrt")
    assert result.returncode == 0, result.stderr
    assert read_options(read_config(tmp_path / "repository" / "toy" / "config.pbtxt"))["tensorrt_precision"] == "int8"
