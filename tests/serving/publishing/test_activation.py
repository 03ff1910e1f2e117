"""Loading a version on a running server, and rolling it back on failure."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from support.disposable_server import DisposableServer
from support.folders import content
from support.toy import add_golden_images, expected_outputs, toy_images, write_toy_bundle

from camserve.bundle import Bundle
from camserve.errors import RepositoryError, ServerError
from camserve.golden import Golden, write_golden
from camserve.manifest import write_manifest
from camserve.pixels import normalize
from camserve.serving import TritonServer, publish
from camserve.serving.live.server import LiveServer
from camserve.serving.publishing.rollback import rollback
from camserve.serving.repository.verify import verify_repository

pytestmark = pytest.mark.slow

NO_SUCH_GPU = {"accelerator": "cuda", "gpus": (63,)}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The toy with other weights."""
    return write_toy_bundle(tmp_path_factory.mktemp("other") / "bundle", seed=5)


@pytest.fixture(scope="module")
def root(toy_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("live") / "repository"
    publish(toy_bundle, repository)
    return repository


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[TritonServer]:
    with DisposableServer(root, model_control="explicit") as running:
        yield running


@pytest.fixture
def files_before(root: Path) -> dict[str, bytes]:
    """The files of the repository before the test."""
    return _content(root)


def _content(root: Path) -> dict[str, bytes]:
    return {name: data for name, data in content(root).items() if ".camserve" not in name}


def _answers_as(server: TritonServer, bundle: Bundle, model: str = "toy") -> bool:
    images = toy_images(bundle, 2)
    with LiveServer(server.grpc_url) as live:
        (version,) = live.served()[model]
        answers = live.infer(model, version, bundle.contract, images)
    return bool(np.allclose(answers["logits"], expected_outputs(bundle, images)["logits"], atol=1e-4))


def test_a_version_is_loaded_and_verified(server: TritonServer, root: Path, other: Bundle) -> None:
    phases: list[str] = []
    publication = publish(other, root, url=server.grpc_url, progress=phases.append)
    assert publication.url == server.grpc_url
    assert server.served() == {"toy": (publication.version,)}
    assert _answers_as(server, other)
    assert any("compare answers" in phase for phase in phases)


def test_a_rollback_is_loaded_and_verified(server: TritonServer, root: Path, toy_bundle: Bundle) -> None:
    (before,) = server.served()["toy"]
    publication = rollback(root, "toy", to=1, url=server.grpc_url)
    assert publication.version > before
    assert server.served() == {"toy": (publication.version,)}
    assert _answers_as(server, toy_bundle)
    assert _content(root)[f"toy/{publication.version}/manifest.json"] == _content(root)["toy/1/manifest.json"]


def test_a_server_that_was_behind_its_repository_is_reported(
    server: TritonServer, root: Path, other: Bundle, toy_bundle: Bundle
) -> None:
    (behind,) = server.served()["toy"]
    ahead = publish(toy_bundle, root).version
    moved = rf"rolled back: .*it now serves version {ahead} of toy, as in the repository, instead of version {behind}"
    with pytest.raises(ServerError, match=moved):
        publish(other, root, url=server.grpc_url, options=NO_SUCH_GPU)
    assert server.served() == {"toy": (ahead,)}


def test_an_interrupted_publication_is_rolled_back(
    server: TritonServer, root: Path, other: Bundle, files_before: dict[str, bytes]
) -> None:
    before = server.served()

    def interrupt(phase: str) -> None:
        if phase.startswith("load on"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(other, root, url=server.grpc_url, progress=interrupt)
    assert _content(root) == files_before
    assert server.served() == before
    assert verify_repository(root).notes == ()


def test_a_model_that_the_server_does_not_see_is_reported(server: TritonServer, other: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=r"cannot load elsewhere: .*Check that it serves this repository"):
        publish(other, tmp_path / "repository", name="elsewhere", url=server.grpc_url)
    assert "elsewhere" not in server.served()


def test_a_version_that_triton_cannot_load_is_rolled_back(
    server: TritonServer, root: Path, other: Bundle, files_before: dict[str, bytes], toy_bundle: Bundle
) -> None:
    before = server.served()
    with pytest.raises(ServerError, match=r"version \d+ of toy was rolled back: the server .* cannot load toy: .*"):
        publish(other, root, url=server.grpc_url, options=NO_SUCH_GPU)
    assert _content(root) == files_before
    assert server.served() == before
    assert _answers_as(server, toy_bundle)
    assert verify_repository(root).faults == ()


def test_a_version_with_other_answers_is_rolled_back(
    server: TritonServer, root: Path, other: Bundle, toy_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    states, load = [], LiveServer.load

    def recorded(live: LiveServer, model: str, **options: Any) -> None:
        states.append({each.state for each in live.index() if each.model == model})
        load(live, model, **options)

    monkeypatch.setattr(LiveServer, "load", recorded)
    # An edit by hand makes the server load another file than the version's own.
    path = root / "toy" / "config.pbtxt"
    original = path.read_text()
    shutil.copy(write_toy_bundle(root.parent / "third", seed=9).path / "model.onnx", root / "toy" / "stale.onnx")
    path.write_text(original.replace('"model.onnx"', '"../stale.onnx"'))
    before, files_before = server.served(), _content(root)
    with pytest.raises(
        ServerError, match=r"rolled back: .* does not reproduce the golden answers of the export: .*logits of"
    ):
        publish(other, root, url=server.grpc_url)
    assert len(states) == 2
    assert "UNLOADING" not in states[1]  # or Triton crashes while it restores the version
    assert _content(root) == files_before
    path.write_text(original)
    (root / "toy" / "stale.onnx").unlink()
    with LiveServer(server.grpc_url) as live:
        live.load("toy")
    assert server.served() == before
    assert _answers_as(server, toy_bundle)


def test_golden_images_are_classified_on_the_server(server: TritonServer, root: Path, tmp_path: Path) -> None:
    bundle = add_golden_images(write_toy_bundle(tmp_path / "bundle"))
    black = np.zeros((1, *bundle.contract.input.shape), np.uint8)  # of which only the biases matter
    answers = expected_outputs(bundle, normalize(black, bundle.contract.preprocessing))
    write_golden(bundle.path / "golden.npz", Golden(black, answers))
    write_manifest(bundle.path)
    publish(bundle.path, root, name="photos", url=server.grpc_url)
    path, files_before = root / "photos" / "config.pbtxt", _content(root)
    original = path.read_text()
    stale = onnx.load(bundle.path / "model.onnx")
    kernel = next(tensor for tensor in stale.graph.initializer if tensor.name == "kernel")
    kernel.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(kernel) * np.float32(3), "kernel"))
    onnx.save(stale, root / "photos" / "stale.onnx")
    path.write_text(original.replace('"model.onnx"', '"../stale.onnx"'))
    with pytest.raises(ServerError, match=r"rolled back: .* does not give the expected answers to the golden images"):
        publish(bundle.path, root, name="photos", url=server.grpc_url)
    (root / "photos" / "stale.onnx").unlink()
    path.write_text(original)
    assert _content(root) == files_before


def test_a_new_model_that_does_not_load_is_removed(
    server: TritonServer, root: Path, other: Bundle, files_before: dict[str, bytes]
) -> None:
    before = server.served()
    with pytest.raises(ServerError, match="version 1 of fresh was rolled back"):
        publish(other, root, name="fresh", url=server.grpc_url, options=NO_SUCH_GPU)
    assert not (root / "fresh").exists()
    assert server.served() == before
    # The server has seen its number, so it is not used again.
    assert publish(other, root, name="fresh", url=server.grpc_url).version == 2
    assert server.served()["fresh"] == (2,)
    with LiveServer(server.grpc_url) as live:
        live.unload("fresh")
    shutil.rmtree(root / "fresh")


def test_a_version_that_is_not_served_cannot_be_tested(
    server: TritonServer, root: Path, other: Bundle, files_before: dict[str, bytes]
) -> None:
    with pytest.raises(RepositoryError, match=r"cannot be tested on .*the version policy does not serve it"):
        publish(other, root, url=server.grpc_url, options={"versions": (1,)})
    assert _content(root) == files_before


def test_a_server_of_another_repository_is_detected(server: TritonServer, other: Bundle, tmp_path: Path) -> None:
    (served,) = server.served()["toy"]
    for _ in range(served - 1):
        publish(other, tmp_path / "repository")
    before = _content(tmp_path / "repository")
    # The same number is served there, so the number alone does not reveal it.
    with pytest.raises(
        ServerError, match=rf"version {served} of toy was rolled back: .* loaded another toy.*repository"
    ):
        publish(other, tmp_path / "repository", url=server.grpc_url)
    assert _content(tmp_path / "repository") == before
    assert server.served()["toy"] == (served,)


def test_nothing_is_published_to_a_server_without_explicit_mode(
    toy_server: TritonServer, toy_bundle: Bundle, tmp_path: Path
) -> None:
    with pytest.raises(ServerError, match=r"does not load models on request.*--model-control explicit"):
        publish(toy_bundle, tmp_path / "repository", url=toy_server.grpc_url)
    assert not (tmp_path / "repository").exists()


def test_nothing_is_published_without_the_server(toy_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=r"no answer from the server 127\.0\.0\.1:1: .*Check that it is running"):
        publish(toy_bundle, tmp_path / "repository", url="127.0.0.1:1")
    assert not (tmp_path / "repository").exists()
