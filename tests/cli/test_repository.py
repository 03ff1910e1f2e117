"""`camserve repository list|verify|rollback|prune`, and publishing to a running server."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command_line import call
from support.disposable_server import DisposableServer
from support.toy import write_toy_bundle

from camserve.bundle import Bundle
from camserve.cli.repository_view import version_number
from camserve.errors import UsageError
from camserve.manifest import write_manifest
from camserve.serving import TritonServer, publish

pytestmark = pytest.mark.slow

KEY = "a-key-of-more-than-16-characters"
WIDENED = {"format": "onnx", "figure": "top1_disagreement", "value": 0.13, "tolerance": 0.2, "default": 0.01}


@pytest.fixture
def repository(toy_bundle: Bundle, tmp_path: Path) -> Path:
    """Publish the toy three times, and once another model whose report has parity metrics."""
    other = write_toy_bundle(tmp_path / "reported", name="reported")
    report = json.loads((other.path / "report.json").read_text())
    metrics = [
        {"figure": "logits", "value": 1e-5, "bound": 1e-4, "default": 1e-4},
        {"figure": "cam", "value": 7e-5, "bound": 1e-4},
        {key: value for key, value in WIDENED.items() if key != "tolerance"} | {"bound": WIDENED["tolerance"]},
    ]
    report |= {"source": {"sha256": "ab" * 32}, "parity": metrics}
    (other.path / "report.json").write_text(json.dumps(report))
    write_manifest(other.path)
    for bundle in (toy_bundle, toy_bundle, toy_bundle, other.path):
        publish(bundle, tmp_path / "repository")
    return tmp_path / "repository"


@pytest.fixture
def server(repository: Path) -> Iterator[TritonServer]:
    with DisposableServer(repository, model_control="explicit", admin_key=KEY) as running:
        yield running


def test_list_shows_the_source_and_the_parity_of_versions(repository: Path) -> None:
    version = json.loads(call("repository", "list", "--repository", repository, "--json").stdout)[0]["versions"][0]
    assert version["source"] == "ab" * 32
    assert version["parity"] == {"figure": "cam", "share": pytest.approx(0.7), "widened": [WIDENED]}
    table = call("repository", "list", "--repository", repository).stdout
    assert "abababababab" in table
    assert "cam 70% of tolerance; widened: top1_disagreement" in table


def test_widened_tolerances_are_shown_and_warned_of(repository: Path, tmp_path: Path) -> None:
    shown = call("repository", "show", "reported", "--repository", repository)
    assert re.search(r"Top-1 disagreement +13 % +20 % +1 % \(widened\)", shown.stdout)
    again = call("repository", "rollback", "reported", "--to", "1", "--repository", repository)
    assert again.returncode == 0
    assert "top1_disagreement (onnx) was widened from 0.01 to 0.2; the value is 0.13, which is above 0.01" in " ".join(
        again.stderr.split()
    )
    document = call("repository", "rollback", "reported", "--to", "1", "--repository", repository, "--json")
    assert json.loads(document.stdout)["widened"] == [WIDENED]


def test_verify_names_each_fault_and_ends_with_1(repository: Path) -> None:
    sound = call("repository", "verify", "--repository", repository)
    assert (sound.returncode, sound.stderr) == (0, "")
    assert "no faults in 26 files of 2 models" in sound.stdout
    (repository / "toy" / "2" / "labels.txt").write_text("x")
    damaged = call("repository", "verify", "--repository", repository)
    assert damaged.returncode == 1
    assert damaged.stdout.startswith("toy/2: labels.txt was changed\n1 fault in ")
    document = json.loads(call("repository", "verify", "--repository", repository, "--json").stdout)
    assert document["sound"] is False
    assert document["faults"] == [{"path": "toy/2", "what": "labels.txt was changed"}]
    assert document["bytes"] > 0


def test_an_edited_configuration_is_accepted_on_request(repository: Path) -> None:
    path = repository / "toy" / "config.pbtxt"
    path.write_text(path.read_text().replace("max_batch_size: 8", "max_batch_size: 4"))
    assert call("repository", "verify", "--repository", repository).returncode == 1
    assert call("repository", "verify", "--repository", repository, "--accept", "toy").returncode == 0
    assert call("repository", "verify", "--repository", repository).returncode == 0


def test_rollback_and_prune_print_what_they_did(repository: Path) -> None:
    rolled = call("repository", "rollback", "toy", "--repository", repository)
    assert rolled.stdout.startswith(f"Published: toy, version 4 (version 2 again), in {repository / 'toy' / '4'}\n")
    as_json = call("repository", "rollback", "toy", "--to", "2", "--repository", repository, "--json")
    assert json.loads(as_json.stdout)["version"] == 5
    dry = call("repository", "prune", "--keep", "2", "--repository", repository, "--dry-run")
    assert dry.stdout.rstrip().endswith("would be freed; nothing was removed")
    pruned = call("repository", "prune", "toy", "--keep", "2", "--repository", repository, "--json")
    document = json.loads(pruned.stdout)
    assert [each["version"] for each in document["removed"]] == [1, 2, 3]
    assert document["bytes"] == sum(each["bytes"] for each in document["removed"]) > 0
    assert "nothing to remove" in call("repository", "prune", "--keep", "2", "--repository", repository).stdout


@pytest.mark.parametrize("text", ["0", "01", "-1", "+1", "1.0", "²", "٣", "one", "", " 1", "1_0", "9" * 30])
def test_an_invalid_version_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="invalid version"):
        version_number(text)
    assert version_number("10") == 10


def test_an_invalid_version_changes_nothing(repository: Path) -> None:
    before = sorted(repository.rglob("*"))
    result = call("repository", "rollback", "toy", "--to=01", "--repository", repository)
    assert result.returncode == 2
    assert "invalid version '01'" in result.stderr
    assert sorted(repository.rglob("*")) == before


def test_publish_and_rollback_load_the_version_on_a_running_server(
    repository: Path, server: TritonServer, toy_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    access: list[str | Path] = ["--repository", repository, "--url", server.grpc_url]
    denied = call("publish", toy_bundle.path, *access)
    assert denied.returncode == 1
    assert "--admin-key-file" in denied.stderr
    key = tmp_path / "key"
    key.write_text(KEY + "\n")
    published = call("publish", toy_bundle.path, *access, "--admin-key-file", key)
    assert published.returncode == 0, published.stderr
    assert f"Serving:   {server.grpc_url} loaded it and returns the outputs recorded at export" in published.stdout
    assert "restarted" not in published.stdout
    monkeypatch.setitem(os.environ, "CAMSERVE_ADMIN_KEY", KEY)
    rolled = call("repository", "rollback", "toy", "--to", "1", *access, "--json")
    assert json.loads(rolled.stdout) == {
        "name": "toy",
        "version": 5,
        "path": str(repository / "toy" / "5"),
        "url": server.grpc_url,
        "served": True,
        "again": 1,
        "widened": [],
        "provider": "CPU",
        "backend": "onnxruntime",
        "file_model": None,
        "warnings": [],
    }
    listed = json.loads(call("repository", "list", *access, "--json").stdout)
    assert [version["ready"] for version in listed[1]["versions"]] == [False, False, False, False, True]
    assert "ready" in call("repository", "list", *access).stdout
    pruned = json.loads(call("repository", "prune", "--keep", "1", *access, "--json").stdout)
    assert 5 not in [each["version"] for each in pruned["removed"]]
    assert KEY not in published.stdout + published.stderr + rolled.stderr


def test_a_contract_change_requires_an_option(repository: Path, tmp_path: Path) -> None:
    other = write_toy_bundle(tmp_path / "other", preset="tf")
    refused = call("publish", other.path, "--repository", repository)
    assert refused.returncode == 1
    assert "preprocessing changes" in refused.stderr
    assert "--allow-contract-change" in refused.stderr
    assert call("publish", other.path, "--repository", repository, "--allow-contract-change").returncode == 0


@pytest.mark.parametrize("command", ["rollback", "prune"])
def test_help_shows_an_example(command: str) -> None:
    assert f"Example:  camserve repository {command}" in call("repository", command, "--help").stdout


def test_an_unknown_model_is_answered_with_a_suggestion(repository: Path) -> None:
    result = call("repository", "rollback", "toyy", "--repository", repository, "--json")
    assert result.returncode == 1
    error = json.loads(result.stdout)["error"]
    assert error["type"] == "RepositoryError"
    assert error["message"] == f"unknown model 'toyy'; the repository {repository.resolve()} has: reported, toy"
    assert error["hint"] == "Did you mean 'toy'?"
    assert error["exit_code"] == 1


def test_show_describes_a_model(repository: Path, tmp_path: Path) -> None:
    publish(write_toy_bundle(tmp_path / "other", name="toy"), repository, options={"max_batch_size": 16})
    document = json.loads(call("repository", "show", "toy", "--repository", repository, "--json").stdout)
    assert document["options"]["max_batch_size"] == 16
    assert document["changed_options"] == ["max_batch_size"]
    assert document["preprocessing_preset"] == "unit"
    assert document["labels"] == [f"class {index}" for index in range(4)]
    assert [(version["version"], version["served"]) for version in document["versions"]] == [
        (1, False),
        (2, False),
        (3, False),
        (4, True),
    ]
    text = call("repository", "show", "toy", "--repository", repository).stdout
    assert "1, 2, 3, 4 (served)" in text
    assert [line.split() for line in text.splitlines() if "max_batch_size" in line] == [["max_batch_size", "16", "8"]]


def test_show_prints_the_metrics_of_the_export(repository: Path) -> None:
    parity = json.loads(call("repository", "show", "reported", "--repository", repository, "--json").stdout)["parity"]
    assert [(metric["name"], metric["value"], metric["tolerance"]) for metric in parity] == [
        ("logits", 1e-5, 1e-4),
        ("cam", 7e-5, 1e-4),
        ("top1_disagreement", 0.13, 0.2),
    ]
    text = call("repository", "show", "reported", "--repository", repository).stdout
    assert [line.split()[-2:] for line in text.splitlines() if line.rstrip().endswith("1e-04")][-1] == [
        "7e-05",
        "1e-04",
    ]


def test_show_of_an_unknown_model_lists_the_models(repository: Path) -> None:
    result = call("repository", "show", "toyy", "--repository", repository)
    assert result.returncode == 1
    assert "toy" in result.stderr.partition("hint: ")[2]
