"""`camserve serve --cpu` on a repository that was published for GPUs, with the real server."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.command_line import run
from support.disposable_server import DisposableServer
from support.serve_process import ServeProcess
from support.toy import expected_outputs, toy_images
from tritonclient.grpc import model_config_pb2

from camserve.bundle import Bundle
from camserve.errors import ServerError
from camserve.serving import LiveServer, publish

pytestmark = pytest.mark.slow

_CUDA = {"accelerator": "cuda", "instances": 2, "threads": 1, "batch_sizes": (1, 8), "latest_versions": 2}
_TENSORRT = {"accelerator": "tensorrt"}
_CPU = model_config_pb2.ModelInstanceGroup.KIND_CPU
_PUBLISHED = "with 1 instance on all cores (published: "


@pytest.fixture
def repository(toy_bundle: Bundle, tmp_path: Path) -> Path:
    for name, options in (("gpu", _CUDA), ("trt", _TENSORRT), ("cpu", {"accelerator": "none"})):
        publish(toy_bundle, tmp_path / "repository", name=name, options=options)
    return tmp_path / "repository"


def _configs(repository: Path) -> dict[str, str]:
    return {path.parent.name: path.read_text() for path in repository.glob("*/config.pbtxt")}


def _check_answers(url: str, model: str, bundle: Bundle, *, version: int) -> Any:
    """Check the answers of a version, and return the served configuration."""
    images = toy_images(bundle, 2)
    with LiveServer(url) as live:
        answers = live.infer(model, version, bundle.contract, images)
        np.testing.assert_allclose(answers["logits"], expected_outputs(bundle, images)["logits"], atol=1e-5)
        return live.config(model)


def test_a_repository_for_gpus_is_served_on_the_cpu(toy_bundle: Bundle, repository: Path) -> None:
    before = _configs(repository)
    with ServeProcess(repository, "--cpu", "--model-control", "explicit") as served:
        url = served.ready["grpc"]
        assert served.ready["models"] == {"cpu": [1], "gpu": [1], "trt": [1]}
        assert served.ready["on_cpu"] == {
            "gpu": f"gpu {_PUBLISHED}cuda, 2 instances, batch_sizes 1,8)",
            "trt": f"trt {_PUBLISHED}tensorrt, 1 instance)",
        }
        assert _configs(repository) == before
        config = _check_answers(url, "gpu", toy_bundle, version=1)
        assert "batch_sizes" not in config.parameters
        assert (config.instance_group[0].count, config.instance_group[0].kind) == (1, _CPU)
        _check_answers(url, "trt", toy_bundle, version=1)

        publication = publish(toy_bundle, repository, name="gpu", url=url)
        assert publication.warnings[-1] == (
            f"{url} was started with --cpu, so it serves gpu {_PUBLISHED}cuda, 2 instances, batch_sizes 1,8)"
        )
        (repository / "cpu" / "1" / "model.onnx").write_bytes(b"no graph")
        publish(toy_bundle, repository, name="trt")

        os.kill(served.triton, signal.SIGKILL)
        served.next_document()
        again = served.next_document()
        assert again["models"] == {"gpu": [1, 2], "trt": [1]}
        config = _check_answers(url, "gpu", toy_bundle, version=2)
        assert list(config.version_policy.specific.versions) == [1, 2]
        with LiveServer(url) as live:
            live.load("gpu")  # nothing else was published
            with pytest.raises(ServerError, match="published for GPUs"):
                live.load("trt")
            assert live.served() == {"gpu": (1, 2), "trt": (1,)}


def test_a_host_without_gpu_is_named_with_the_option(toy_bundle: Bundle, repository: Path) -> None:
    reason = "it was published for GPUs, and Triton finds no GPU that it can use"
    ports: list[Any] = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]
    _, error, hint = run("serve", "--repository", repository, *ports).stderr.splitlines()  # without the log
    assert f"gpu version 1: {reason} " in error
    assert f"camserve serve --repository {repository} --cpu" in hint
    with (
        DisposableServer(repository, model_control="explicit", models=()) as server,
        pytest.raises(ServerError, match=rf"rolled back: .* load trt: .*{reason} .*--model-control explicit --cpu"),
    ):
        publish(toy_bundle, repository, name="trt", url=server.grpc_url)
