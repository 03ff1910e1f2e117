"""Bundles are written completely or not at all, also on full and read-only disks."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from support.command_line import PROGRAM, UNIT
from support.networks import small_network
from support.toy import write_toy_bundle

from camserve.errors import ConversionError, ExportError
from camserve.export.staging import staged_bundle

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="limits and mounts are those of Linux")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "small.keras"
    small_network().save(path)
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def command(network: Path, out: Path, formats: str) -> list[str]:
    return [PROGRAM, "export", str(network), *UNIT, "--formats", formats, "--out", str(out)]


def export(network: Path, out: Path, formats: str, limit: Callable[[], None]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(network, out, formats), capture_output=True, text=True, timeout=120, check=False, preexec_fn=limit
    )


def check_refusal(stderr: str, out: Path, why: str) -> None:
    assert f"cannot write the bundle {out}: {why}" in stderr.replace("\n  ", " ")
    assert "hint: " in stderr
    assert "Traceback" not in stderr


@pytest.mark.slow
@linux_only
@pytest.mark.parametrize("formats", ["onnx", "savedmodel"])
def test_file_size_limit_keeps_the_previous_bundle(formats: str, network: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    write_toy_bundle(out)
    before = content(tmp_path)
    result = export(network, out, formats, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)))
    assert result.returncode == 1
    check_refusal(result.stderr, out, "File too large")
    assert content(tmp_path) == before


@pytest.mark.slow
@linux_only
@pytest.mark.parametrize(
    ("formats", "options", "why"),
    [
        ("savedmodel", "size=8k", "No space left on device"),
        ("onnx", "ro", "Read-only file system"),
    ],
)
def test_full_or_read_only_disk_stays_empty(
    formats: str, options: str, why: str, network: Path, tmp_path: Path
) -> None:
    disk, out = tmp_path / "disk", tmp_path / "disk" / "bundle"
    disk.mkdir()
    mount = f'mount -t tmpfs -o {options} none "$0"'
    if subprocess.run(["unshare", "-m", "sh", "-c", mount, disk], capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system")
    script = mount + ' && { "$@"; code=$?; ls -A "$0"; exit $code; }'
    result = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, disk, *command(network, out, formats)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 1
    check_refusal(result.stderr, out, why)
    assert result.stdout == ""


def test_error_unrelated_to_the_disk_is_not_changed(tmp_path: Path) -> None:
    elsewhere = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating a tensor")
    with pytest.raises(ConversionError), staged_bundle(tmp_path / "bundle"):
        raise ConversionError("the network is too large") from elsewhere
    assert list(tmp_path.iterdir()) == []


def test_tensorflow_error_about_the_folder_is_a_disk_error(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        fault = tf.errors.ResourceExhaustedError(None, None, f"{folder}/saved_model.pb.tmp1; No space left on device")
        raise ConversionError("TensorFlow cannot save the network") from fault

    with (
        pytest.raises(ExportError, match=r"bundle: No space left on device\."),
        staged_bundle(tmp_path / "bundle") as folder,
    ):
        fail(folder)
    assert list(tmp_path.iterdir()) == []
