"""Calls to one server: queries about a model, one message each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from tritonclient.grpc import service_pb2

from camserve.clients.steps import Call, Metadata, Steps
from camserve.clients.wire.connection_options import Deadline
from camserve.clients.wire.failures import CallFailed, is_not_loaded
from camserve.clients.wire.messages import newest_version, numbered_versions, read_model, read_statistics
from camserve.clients.wire.reply_checks import reading
from camserve.clients.wire.values import ServedModel, Statistics

__all__ = ["Server", "parse"]

T = TypeVar("T")

_DESCRIBE_ATTEMPTS = 3


class Server(NamedTuple):
    """One server during one attempt of a request.

    Attributes:
        url: The server.
        metadata: Headers of every call.
        deadline: Deadline of the attempt.
        attempt: Number of the attempt, from 1.
    """

    url: str
    metadata: Metadata
    deadline: Deadline
    attempt: int

    def call(self, method: str, message: bytes) -> Call:
        """Return the step that calls a method of the server."""
        return Call(self.url, method, message, self.metadata, self.deadline.remaining())

    def describe(self, model: str, version: str) -> Steps[ServedModel]:
        """Query tensors and parameters of a model, all of one version, even while the newest version changes."""
        for _ in range(_DESCRIBE_ATTEMPTS):
            metadata = yield from self._metadata_of(model, version)
            with reading():
                found = version or newest_version(metadata)
            try:
                if found != version:
                    metadata = yield from self._metadata_of(model, found)
                request = service_pb2.ModelConfigRequest(name=model, version=found)
                response = yield from self._query("ModelConfig", request, service_pb2.ModelConfigResponse)
            except CallFailed as failed:
                if found == version or not is_not_loaded(failed):
                    raise
                replaced = failed
            else:
                with reading():
                    return read_model(model, found, metadata, response.config)
        raise replaced

    def versions(self, model: str) -> Steps[list[str]]:
        """Query the versions of a model that the server serves."""
        metadata = yield from self._metadata_of(model, "")
        with reading():
            return numbered_versions(metadata)

    def is_ready(self, model: str, version: str) -> Steps[bool]:
        """Query whether the server serves a model."""
        request = service_pb2.ModelReadyRequest(name=model, version=version)
        try:
            response = yield from self._query("ModelReady", request, service_pb2.ModelReadyResponse)
        except CallFailed as failed:
            if is_not_loaded(failed):
                return False
            raise
        return bool(response.ready)

    def statistics(self, model: str, version: str) -> Steps[Statistics]:
        """Query the time that the server has spent on a model."""
        request = service_pb2.ModelStatisticsRequest(name=model, version=version)
        response = yield from self._query("ModelStatistics", request, service_pb2.ModelStatisticsResponse)
        return read_statistics(response, version)

    def ready_models(self) -> Steps[dict[str, list[str]]]:
        """Query the versions that the server serves, by model."""
        request = service_pb2.RepositoryIndexRequest(ready=True)
        response = yield from self._query("RepositoryIndex", request, service_pb2.RepositoryIndexResponse)
        models: dict[str, list[str]] = {}
        for each in response.models:
            models.setdefault(str(each.name), []).append(str(each.version))
        return models

    def _metadata_of(self, model: str, version: str) -> Steps[Any]:
        request = service_pb2.ModelMetadataRequest(name=model, version=version)
        return (yield from self._query("ModelMetadata", request, service_pb2.ModelMetadataResponse))

    def _query(self, method: str, request: Any, response_type: Any) -> Steps[Any]:
        reply = yield from self.call(method, request.SerializeToString())
        return parse(response_type.FromString, reply)


def parse(read: Callable[[bytes], T], reply: bytes) -> T:
    """Parse a reply.

    Raises:
        CallFailed: If it is not a message of Triton's protocol, or cannot be read.
    """
    with reading():
        return read(reply)
