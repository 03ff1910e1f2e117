"""The backend that `camserve repository backend` writes for NVIDIA's container, tried with the embedded Triton."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.command_line import call
from support.disposable_server import DisposableServer
from support.toy import expected_outputs, toy_images
from tritonclient.grpc import InferenceServerClient, InferInput

from camserve.bundle import Bundle
from camserve.errors import ServingError, UsageError
from camserve.serving import TritonServer, write_backend
from camserve.serving.repository.lint.targets import RELEASES
from camserve.serving.server import launch
from camserve.serving.server.environment import BACKENDS, TritonInstallation


def _classify(bundle: Bundle, server: TritonServer) -> dict[str, Any]:
    images = toy_images(bundle, 3)
    tensor = InferInput("image", images.shape, "FP32")
    tensor.set_data_from_numpy(images)
    with InferenceServerClient(server.grpc_url) as client:
        answer = client.infer("toy", [tensor])
    return {output.name: answer.as_numpy(output.name) for output in answer.get_response().outputs}


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["python", "onnxruntime"])
def test_the_folder_serves_a_repository_beside_the_files_of_the_python_backend(
    runtime: str, toy_bundle: Bundle, toy_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In NVIDIA's container these files are in the folder `python`; docker/ moves them into `onnxruntime`."""

    def assemble(installation: TritonInstallation, folder: Path) -> Path:
        write_backend(folder)
        (folder / runtime).mkdir(exist_ok=True)
        for path in [*installation.python_backend.iterdir(), installation.stub]:
            if path.is_file():
                shutil.copy(path, folder / runtime)
        (folder / "lib").mkdir()
        (folder / "lib" / installation.libpython.name).symlink_to(installation.libpython)
        return folder

    monkeypatch.setattr(launch, "assemble_backends", assemble)
    with DisposableServer(toy_repository) as server:
        answer = _classify(toy_bundle, server)
    expected = expected_outputs(toy_bundle, toy_images(toy_bundle, 3))
    assert answer.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(answer[name], values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_written_folder_contains_one_self_contained_backend(backend: str, tmp_path: Path) -> None:
    written = write_backend(tmp_path / "new" / "folder", backend=backend)
    assert written.path == tmp_path / "new" / "folder" / backend
    assert {path.name for path in written.path.iterdir()} == {"model.py", "camserve_backend"}
    assert [path.name for path in written.path.parent.iterdir()] == [backend]
    packages = {"onnxruntime": "onnxruntime-gpu[", "tensorflow": "tensorflow[", "openvino": "openvino=="}
    assert written.requirements[0].startswith(packages[backend])
    assert ("--gpus all" in written.start_command[0]) == (written.cuda is not None) == (backend != "openvino")


@pytest.mark.parametrize(
    ("triton", "python", "cuda", "onnxruntime"),
    [
        ("24.04", "3.10", 12, "1.23.2"),
        ("24.10", "3.10", 12, "1.23.2"),
        ("24.11", "3.12", 12, "1.23.2"),
        ("25.07", "3.12", 12, "1.23.2"),
        ("25.08", "3.12", 13, "1.31.1"),
        ("26.09", "3.12", 13, "1.31.1"),
    ],
)
def test_the_packages_suit_the_containers_python_and_cuda(
    triton: str, python: str, cuda: int, onnxruntime: str, tmp_path: Path
) -> None:
    written = write_backend(tmp_path / "folder", triton=triton)
    assert (written.python, written.cuda) == (python, cuda)
    assert written.requirements == (f"onnxruntime-gpu[cuda,cudnn]=={onnxruntime}", "numpy==1.26.4")
    assert written.image == f"nvcr.io/nvidia/tritonserver:{triton}-py3"


def test_the_commands_mount_the_folder_over_that_of_the_compiled_backend(tmp_path: Path) -> None:
    written = write_backend(tmp_path / "my folder")
    start, install = " ".join(written.start_command), " ".join(written.install_command)
    assert f"--volume '{written.path}:/opt/tritonserver/backends/onnxruntime:ro'" in start
    assert f"--volume '{written.path}:/backend'" in install
    assert "'onnxruntime-gpu[cuda,cudnn]==1.31.1' numpy==1.26.4" in install


def test_an_empty_folder_is_used_and_any_other_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    identity = (tmp_path / "empty").stat().st_ino
    assert write_backend(tmp_path / "empty").path.is_dir()
    assert (tmp_path / "empty").stat().st_ino == identity  # it may be the current folder of a shell
    with pytest.raises(UsageError, match=r"cannot write the backend to .*empty: the folder is not empty.*--out DIR"):
        write_backend(tmp_path / "empty")
    (tmp_path / "file").touch()
    with pytest.raises(ServingError, match=r"cannot write the backend to .*file: Not a directory"):
        write_backend(tmp_path / "file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "onnxruntim"}, "unknown backend 'onnxruntim'. Did you mean 'onnxruntime'?"),
        ({"triton": "19.01"}, "unknown Triton release '19.01'"),
    ],
)
def test_an_unknown_backend_or_release_writes_nothing(options: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        write_backend(tmp_path / "folder", **options)
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_command_prints_what_the_function_returns(tmp_path: Path) -> None:
    release = list(RELEASES)[-1]
    options = ("--target-triton", release, "--out")
    document = json.loads(call("repository", "backend", *options, tmp_path / "a", "--json").stdout)
    written = write_backend(tmp_path / "b", triton=release)
    commands = {"install": " ".join(written.install_command), "start": " ".join(written.start_command)}
    assert {name: text.replace("/b/", "/a/") for name, text in commands.items()} == document["commands"]
    assert (document["python"], document["cuda"]) == (written.python, written.cuda)
    result = call("repository", "backend", *options, tmp_path / "c")
    printed = " ".join(result.stdout.replace("\\\n", " ").split())
    assert all(command.replace("/b/", "/c/") in printed for command in commands.values()), result.stdout
    refused = call("repository", "backend", *options, tmp_path / "c")
    assert (refused.returncode, refused.stdout) == (2, "")
