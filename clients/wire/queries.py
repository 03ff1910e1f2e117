"""What one server is asked, message by message."""

from __future__ import annotations

from typing import Any

from tritonclient.grpc import service_pb2

from camserve.clients.wire.calls import Server, Steps, parsed
from camserve.clients.wire.failures import CallFailed, is_not_loaded
from camserve.clients.wire.messages import ServedModel, Statistics, newest, read_model, read_statistics

__all__ = ["described", "is_ready", "statistics"]

_SWAPS_FOLLOWED = 3


def described(server: Server, model: str, version: str) -> Steps[ServedModel]:
    """Tensors and parameters of one and the same version, also while the newest one changes."""
    for _ in range(_SWAPS_FOLLOWED):
        metadata = yield from _metadata(server, model, version)
        found = version or newest(metadata)
        try:
            if found != version:
                metadata = yield from _metadata(server, model, found)
            question = service_pb2.ModelConfigRequest(name=model, version=found)
            answer = yield from _said(server, "ModelConfig", question, service_pb2.ModelConfigResponse)
        except CallFailed as failed:
            if found == version or not is_not_loaded(failed):
                raise
            swapped_away = failed
        else:
            return read_model(model, found, metadata, answer.config)
    raise swapped_away


def is_ready(server: Server, model: str, version: str) -> Steps[bool]:
    """Whether the server serves the model."""
    question = service_pb2.ModelReadyRequest(name=model, version=version)
    try:
        answer = yield from _said(server, "ModelReady", question, service_pb2.ModelReadyResponse)
    except CallFailed as failed:
        if is_not_loaded(failed):
            return False
        raise
    return bool(answer.ready)


def statistics(server: Server, model: str, version: str) -> Steps[Statistics]:
    """What the server has spent on the model."""
    question = service_pb2.ModelStatisticsRequest(name=model, version=version)
    answer = yield from _said(server, "ModelStatistics", question, service_pb2.ModelStatisticsResponse)
    return read_statistics(answer, version)


def _metadata(server: Server, model: str, version: str) -> Steps[Any]:
    question = service_pb2.ModelMetadataRequest(name=model, version=version)
    return (yield from _said(server, "ModelMetadata", question, service_pb2.ModelMetadataResponse))


def _said(server: Server, method: str, question: Any, kind: Any) -> Steps[Any]:
    return parsed(kind.FromString, (yield from server.call(method, question.SerializeToString())))
