"""What camserve's backends tell over gRPC."""

import json
from typing import Any

import pytest
from tritonclient.grpc import InferResult, service_pb2

from camserve.serving.live.backend_messages import Execution, read_execution, split_hint


def _response(content: bytes, *, datatype: str = "UINT8", shape: int | None = None, name: str = "logits") -> Any:
    tensor = service_pb2.ModelInferResponse.InferOutputTensor(
        name=name, datatype=datatype, shape=[len(content) if shape is None else shape]
    )
    return InferResult(service_pb2.ModelInferResponse(outputs=[tensor], raw_output_contents=[content]))


def _report(**values: Any) -> bytes:
    return json.dumps({"provider": "CUDA", "warnings": [], **values}).encode()


def test_a_report_has_provider_and_warnings() -> None:
    assert read_execution(_response(_report(warnings=["is slow"])), "logits") == Execution("CUDA", ("is slow",))


@pytest.mark.parametrize(
    "response",
    [
        _response(bytes(8), datatype="FP32", shape=2),
        _response(_report(), name="other"),
        _response(_report(), shape=1_000_000),
        _response(b"{"),
        _response(b"\xff\xfe"),
        _response(_report(provider=None)),
        _response(_report(provider="")),
        _response(_report(warnings="one")),
    ],
    ids=["an answer", "another output", "shape", "no JSON", "no text", "no provider", "empty provider", "no list"],
)
def test_other_responses_have_no_report(response: Any) -> None:
    assert read_execution(response, "logits") == Execution()


def test_texts_of_a_report_are_limited_and_printable() -> None:
    report = _report(provider="\x1b[31m" + "x" * 10_000, warnings=["\n" * 10_000] * 1_000)
    execution = read_execution(_response(report), "logits")
    assert execution.provider is not None
    for text in (execution.provider, *execution.warnings):
        assert text.isprintable()
        assert len(text) < 3_000
    assert len(execution.warnings) == 20


def test_a_hint_is_split_from_a_refusal() -> None:
    assert split_hint("it lacks CUDA; hint: Install it") == ("it lacks CUDA", "Install it")
    assert split_hint("it lacks CUDA") == ("it lacks CUDA", None)
