"""Another program than Triton, or a hostile one, at the address of `--url`: one short error, nothing is published."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from support.command_line import call
from support.hostile_server import HostileServer, Reply, correct_replies
from tritonclient.grpc import service_pb2

from camserve.bundle import Bundle
from camserve.errors import ServerError
from camserve.serving import list_models, publish
from camserve.serving.live.server import LiveServer

INVALID_REPLY = r"it sent an invalid reply: "


@pytest.fixture(scope="module")
def server() -> Iterator[HostileServer]:
    with HostileServer() as started:
        yield started


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "repository"


def _index(*models: tuple[str, str, str, str]) -> bytes:
    response = service_pb2.RepositoryIndexResponse()
    for name, version, state, why in models:
        response.models.add(name=name, version=version, state=state, reason=why)
    serialized: bytes = response.SerializeToString()
    return serialized


def _reset(server: HostileServer, repository: Path, **changed: Reply) -> None:
    """Reply as a Triton in explicit mode that reads this repository, except for the given methods."""

    def config(*_: object) -> bytes:
        response = service_pb2.ModelConfigResponse()
        text_format.Parse((repository / "toy" / "config.pbtxt").read_text(), response.config)
        serialized: bytes = response.SerializeToString()
        return serialized

    correct: dict[str, Reply] = {"RepositoryModelLoad": b"", "RepositoryModelUnload": b"", "ModelConfig": config}
    correct["RepositoryIndex"] = _index(("toy", "1", "READY", ""))
    server.reset(**{**correct, **changed})


def _answer(change: Callable[[Any], object]) -> bytes:
    reply = correct_replies()["ModelInfer"]
    change(reply)
    serialized: bytes = reply.SerializeToString()
    return serialized


def _logits(shape: list[int], raw: bytes = bytes(16), datatype: str = "FP32") -> bytes:
    def change(reply: Any) -> None:
        reply.outputs[0].shape[:] = shape
        reply.outputs[0].datatype = datatype
        reply.raw_output_contents[0] = raw

    return _answer(change)


ANSWERS: dict[str, tuple[bytes, str]] = {
    "33 dimensions": (_logits([1] * 33), r"output 'logits' is FP32 \[1, 1,"),
    "two negative dimensions": (_logits([-1, -1, 4]), r"FP32 \[-1, -1, 4\], expected FP32 \[1, 4\]"),
    "a dimension of 2^62": (_logits([2**62, 4, 0], b""), r"\[4611686018427387904, 4, 0\], expected"),
    "two rows": (_logits([2, 4], bytes(32)), r"FP32 \[2, 4\], expected FP32 \[1, 4\]"),
    "a number": (_logits([], bytes(4)), r"FP32 \[\], expected"),
    "strings": (_logits([1, 4], b"\xff" * 4, "BYTES"), r"BYTES \[1, 4\], expected"),
    "an unknown data type": (_logits([1, 4], datatype="\x1bQ" * 9_000), r"'logits' is \\x1bQ.*characters\), expected"),
    "too few bytes": (_logits([1, 4], bytes(15)), "the bytes of output 'logits' do not match its shape"),
    "no bytes": (_answer(lambda reply: reply.ClearField("raw_output_contents")), "do not match its shape"),
    "no outputs": (_answer(lambda reply: reply.ClearField("outputs")), "output 'probabilities' is missing"),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_publication_is_undone_after_an_invalid_answer(
    server: HostileServer, toy_bundle: Bundle, repository: Path, what: str
) -> None:
    answer, problem = ANSWERS[what]
    _reset(server, repository, ModelInfer=answer)
    with pytest.raises(ServerError, match=rf"rolled back: .*{INVALID_REPLY}.*{problem}") as raised:
        publish(toy_bundle, repository, url=server.url)
    assert len(raised.value.message) < 1_000
    assert raised.value.message.isprintable()
    assert not list_models(repository)


def test_publication_is_undone_after_an_invalid_list_of_versions(
    server: HostileServer, toy_bundle: Bundle, repository: Path
) -> None:
    response = service_pb2.ModelConfigResponse()
    response.config.parameters["camserve.versions"].string_value = "\x1b[2J"
    _reset(server, repository, ModelConfig=response.SerializeToString())
    with pytest.raises(ServerError, match=r"rolled back: .* loaded another toy than the published one"):
        publish(toy_bundle, repository, url=server.url)
    assert not list_models(repository)


def test_reason_of_a_server_is_one_line_of_limited_length(server: HostileServer, repository: Path) -> None:
    index = _index(("toy", "1", "UNAVAILABLE", "\x1b[2J\u202e\n" + "x" * 1_000_000))
    not_ready = service_pb2.ModelReadyResponse(ready=False).SerializeToString()
    _reset(server, repository, ModelReady=not_ready, RepositoryIndex=index)
    with LiveServer(server.url) as live, pytest.raises(ServerError, match=r"not ready on .*: \\x1b\[2J") as raised:
        live.wait_ready("toy", 1)
    assert len(raised.value.message) < 3_000
    assert raised.value.message.isprintable()


@pytest.mark.parametrize("version", ["x", "9" * 5_000, "²", "-3", "1_0", "01", "\x1b[2J"])
def test_invalid_version_in_the_index_is_an_error(
    server: HostileServer, toy_bundle: Bundle, repository: Path, version: str
) -> None:
    publish(toy_bundle, repository)
    _reset(server, repository, RepositoryIndex=_index(("toy", version, "READY", "")))
    for arguments in (["list"], ["prune", "--keep", "1"]):
        result = call("repository", *arguments, "--repository", repository, "--url", server.url)
        assert result.returncode == 1
        assert f"{INVALID_REPLY}a version is '" in result.stderr
        assert "unexpected" not in result.stderr
        assert len(result.stderr) < 1_000


def test_list_names_only_some_of_many_unknown_models(
    server: HostileServer, toy_bundle: Bundle, repository: Path
) -> None:
    publish(toy_bundle, repository)
    others = [(f"m{number:05}" + "x" * 500, "1", "READY", "") for number in range(2_000)]
    _reset(server, repository, RepositoryIndex=_index(*others))
    result = call("repository", "list", "--repository", repository, "--url", server.url)
    assert result.returncode == 0
    assert "The server also serves 1,990 more that are not in this repository" in result.stderr
    assert len(result.stderr) < 5_000
