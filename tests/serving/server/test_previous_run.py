"""What a server has again after a restart: its models with their versions and configurations."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from camserve.bundle import Bundle
from camserve.contract import LABELS_PARAMETER
from camserve.serving import ServerOptions, publish
from camserve.serving.config.message import read_config
from camserve.serving.server.previous_run import PreviousRun
from camserve.serving.server.recorded_configs import read_recorded_configs, serving_only

_PORTS = {"gRPC": 9001, "HTTP": 9000, "metrics": 9002}
_OPTIONS = ServerOptions(model_control="explicit")


@pytest.fixture
def repository(toy_bundle: Bundle, tmp_path: Path) -> Path:
    """A repository with three versions of a model, of which the last two are served."""
    for _ in range(3):
        publish(toy_bundle, tmp_path / "repository", options={"latest_versions": 2})
    return tmp_path / "repository"


def _record(folder: Path, config: Any, version: int, *, time: int, **changes: Any) -> None:
    """Write a record as the backend does, from the JSON that Triton passes to it."""
    document = {**json_format.MessageToDict(config, preserving_proto_field_name=True), **changes}
    path = folder / config.name / f"{version}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
    os.utime(path, (time, time))


def test_the_record_of_a_load_that_failed_is_not_used(repository: Path, tmp_path: Path) -> None:
    config = read_config(repository / "toy" / "config.pbtxt")
    _record(tmp_path, config, 2, time=1, max_batch_size=4)
    _record(tmp_path, config, 3, time=2, max_batch_size=5, version_policy={"specific": {"versions": ["3", "4"]}})
    assert read_recorded_configs(tmp_path, {"toy": (2, 3)})["toy"].max_batch_size == 4
    assert read_recorded_configs(tmp_path, {"toy": (3,)})["toy"].max_batch_size == 5
    assert read_recorded_configs(tmp_path, {"toy": (1, 2, 3), "other": (1,)}) == {}


def test_an_unreadable_record_is_like_none(repository: Path, tmp_path: Path) -> None:
    config = read_config(repository / "toy" / "config.pbtxt")
    _record(tmp_path, config, 3, time=1)
    (tmp_path / "toy" / "3.json").write_text('{"name": ', encoding="utf-8")
    assert read_recorded_configs(tmp_path, {"toy": (2, 3)}) == {}


def test_a_recorded_configuration_equals_the_published_one(repository: Path, tmp_path: Path) -> None:
    config = read_config(repository / "toy" / "config.pbtxt")
    _record(tmp_path, config, 3, time=1, runtime="model.py", field_of_a_later_triton=1)
    recorded = read_recorded_configs(tmp_path, {"toy": (2, 3)})["toy"]
    assert serving_only(recorded, (2, 3)) == config
    assert config.parameters[LABELS_PARAMETER].string_value.startswith("class 0\n")
    (only,) = serving_only(recorded, (2,)).version_policy.specific.versions
    assert (only, serving_only(recorded, (2,)).output[0].label_filename) == (2, "2/labels.txt")


def test_a_model_that_may_fall_back_to_the_cpu_still_may(repository: Path, tmp_path: Path) -> None:
    config = read_config(repository / "toy" / "config.pbtxt")
    gpu = [{"name": "toy_0", "kind": "KIND_GPU", "gpus": [0], "count": 2}]
    for name, fallback in (("toy", {"cpu_fallback": {"string_value": "1"}}), ("fixed", {})):
        config.name = name
        _record(tmp_path, config, 3, time=1, instance_group=gpu, parameters=fallback)
    groups = {
        name: serving_only(recorded, (3,)).instance_group[0]
        for name, recorded in read_recorded_configs(tmp_path, {"toy": (3,), "fixed": (3,)}).items()
    }
    assert json_format.MessageToDict(groups["toy"]) == {"name": "toy_0", "count": 2}
    assert json_format.MessageToDict(groups["fixed"])["gpus"] == [0]


def test_versions_that_were_removed_are_reported(repository: Path, toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, repository, name="other")
    config = read_config(repository / "toy" / "config.pbtxt")
    previous = PreviousRun(_PORTS, {"toy": (2, 3), "other": (1,), "gone": (7,)}, {"toy": config})
    (repository / "toy" / "2").rename(tmp_path / "2")
    resumption = previous.resume(_OPTIONS, repository)
    assert resumption.missing == (
        "model gone: the repository no longer contains it",
        "model toy version 2: the repository no longer contains it",
    )
    assert resumption.options == ServerOptions(
        model_control="explicit", models=("toy", "other"), grpc_port=9001, http_port=9000, metrics_port=9002
    )
    assert {name: list(each.version_policy.specific.versions) for name, each in resumption.configs.items()} == {
        "toy": [3]
    }
    assert previous.replaced({"toy": (3,), "other": (1,)}, repository, "localhost:8001") == ()


def test_other_versions_are_reported_with_the_command_that_undoes_it(repository: Path, tmp_path: Path) -> None:
    previous = PreviousRun(_PORTS, {"toy": (2,)})
    resumption = previous.resume(_OPTIONS, repository)
    assert (resumption.options.models, resumption.configs, resumption.missing) == (("toy",), {}, ())
    (sentence,) = previous.replaced({"toy": (3,)}, repository, "localhost:8001")
    assert sentence == (
        "model toy now has version 3 instead of version 2, since its config.pbtxt was changed without loading it; undo "
        f"that with: camserve repository rollback toy --to 2 --repository {repository} --url localhost:8001"
    )
    (repository / "toy" / "2").rename(tmp_path / "2")
    assert previous.resume(_OPTIONS, repository).missing == (
        "model toy version 2: the repository no longer contains it",
    )
    (sentence,) = previous.replaced({"toy": (3,)}, repository, "localhost:8001")
    assert sentence.endswith("since its config.pbtxt was changed without loading it")
