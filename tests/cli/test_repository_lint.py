"""`camserve repository lint` and the serving options of `camserve publish`, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.command_line import call
from support.model_folder import toy_config, write_model_folder

from camserve.bundle import Bundle
from camserve.serving.config.message import read_config, read_options
from camserve.serving.config.named_options import DEFAULTS, OPTIONS, format_value
from camserve.serving.config.presets import PRESETS
from camserve.serving.repository.lint.targets import RELEASES

pytestmark = pytest.mark.slow


def _options_of(model: Path) -> dict[str, object]:
    return {
        name: value
        for name, value in read_options(read_config(model / "config.pbtxt")).items()
        if value != DEFAULTS[name] and name != "versions"
    }


def test_a_clean_repository_has_no_findings(toy_repository: Path) -> None:
    result = call("repository", "lint", "--repository", toy_repository)
    assert (result.returncode, result.stdout) == (0, "no findings for Triton 26.07\n"), result.stderr
    assert call("repository", "lint", "--repository", toy_repository, "--json").stdout == "[]\n"


def test_the_exit_code_is_1_only_for_errors(toy_bundle: Bundle, tmp_path: Path) -> None:
    config = toy_config(toy_bundle)
    config.ClearField("instance_group")
    folder = write_model_folder(tmp_path, toy_bundle, config)
    result = call("repository", "lint", "--repository", tmp_path, "--cores", "2")
    assert result.returncode == 0, result.stderr
    assert "missing-instance-group" in result.stdout
    assert "→ Set it: camserve publish BUNDLE_DIR --repository DIR --instances 1" in " ".join(result.stdout.split())
    assert result.stdout.endswith("0 errors and 1 warning for Triton 26.07\n")
    (folder / "labels.txt").unlink()
    result = call("repository", "lint", "--repository", tmp_path, "--json")
    assert result.returncode == 1
    found = [(finding["model"], finding["rule"], finding["severity"]) for finding in json.loads(result.stdout)]
    assert found == [("toy", "missing-labels", "error"), ("toy", "missing-instance-group", "warning")]


def test_findings_depend_on_the_target(toy_bundle: Bundle, tmp_path: Path) -> None:
    config = toy_config(toy_bundle)
    config.backend, config.platform = "", "tensorflow_savedmodel"
    write_model_folder(tmp_path, toy_bundle, config)
    codes = [
        call("repository", "lint", "--repository", tmp_path, "--target-triton", release).returncode
        for release in ("25.02", "25.03")
    ]
    assert codes == [0, 1]


def test_an_unknown_target_lists_the_known_ones(tmp_path: Path) -> None:
    result = call("repository", "lint", "--repository", tmp_path, "--target-triton", "19.01")
    assert result.returncode == 2
    assert all(release in result.stderr for release in RELEASES)


def test_explicit_options_take_precedence_over_the_preset(toy_bundle: Bundle, tmp_path: Path) -> None:
    arguments = ("--preset", "cpu-throughput", "--cores", "16", "--max-batch", "4", "--set", "max_queue_size=9")
    result = call("publish", toy_bundle.path, "--repository", tmp_path, *arguments)
    assert result.returncode == 0, result.stderr
    assert "Preset cpu-throughput for 16 cores: accelerator=none instances=4 threads=4 max_batch" in result.stderr
    assert _options_of(tmp_path / "toy") == {
        "accelerator": "none",
        "instances": 4,
        "threads": 4,
        "max_batch_size": 4,
        "max_queue_delay_us": 1000,
        "max_queue_size": 9,
    }


def test_settings_set_options_without_a_flag_and_are_kept(toy_bundle: Bundle, tmp_path: Path) -> None:
    for options in (["--set", "priority_levels=3", "--set", "default_priority=2"], ["--set", "default_priority=1"]):
        result = call("publish", toy_bundle.path, "--repository", tmp_path, *options)
        assert result.returncode == 0, result.stderr
    assert _options_of(tmp_path / "toy") == {"priority_levels": 3, "default_priority": 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "turbo"], "cpu-latency"),
        (["--cores", "4"], "--preset"),
        (["--set", "max_queue_sise=4"], "Did you mean 'max_queue_size'?"),
        (["--set", "max_queue_size"], "max_queue_size=64"),
        (["--gpus", "0", "--accelerator", "none"], "gpus"),
        (["--gpus", "first"], "--gpus must be whole numbers separated by commas, got 'first'"),
        (["--max-batch", "0"], "--max-batch must be from 1 to 4096, got 0"),
        (["--accelerator", "quantum"], "unknown --accelerator 'quantum'"),
        (["--accelerator", "tensorrt", "--tensorrt-precision", "int8"], "--precision int8"),
    ],
)
def test_invalid_serving_options_are_usage_errors(
    arguments: list[str], message: str, toy_bundle: Bundle, tmp_path: Path
) -> None:
    result = call("publish", toy_bundle.path, "--repository", tmp_path / "repository", *arguments)
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert not (tmp_path / "repository").exists()


def test_help_lists_every_preset_and_every_option() -> None:
    text = call("publish", "--help").stdout
    assert [name for name in PRESETS if f"  {name} " not in text] == []
    for name, option in OPTIONS.items():
        if option.flag is None:
            assert f"  {name}={format_value(DEFAULTS[name])}" in text
        else:
            assert f"  {option.flag.replace('/', ' / ')}" in text
