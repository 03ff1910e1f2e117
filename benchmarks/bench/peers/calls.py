"""Requests in the form that each server takes, and what sends one and returns its logits."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

__all__ = ["Call", "Form", "Target", "connect"]

Form = Literal["tensor", "bytes", "http"]
"""gRPC of the Open Inference Protocol with a numeric tensor or with one element of bytes; or a POST of raw bytes."""


@dataclass(frozen=True)
class Target:
    """A served model.

    Attributes:
        address: HOST:PORT.
        model: Its name, or the path of a URL.
        form: How it takes an image.
    """

    address: str
    model: str
    form: Form


class Call(Protocol):
    """Sends a request, and returns the logits; one request at a time."""

    def encode(self, image: Any) -> bytes:
        """Return the request for an image `[1, H, W, C]`."""

    async def send(self, request: bytes) -> Any:
        """Send a request, and return the logits, float32 `[classes]`.

        Raises:
            Exception: If the request failed.
        """

    async def close(self) -> None:
        """Close the connection."""


def connect(target: Target, count: int) -> Sequence[Call]:
    """Return what sends so many requests at a time.

    gRPC sends them over one connection, as its clients do; HTTP/1.1 requires a connection for each.
    """
    if target.form != "http":
        return [GrpcCall(target)] * count
    return [HttpCall(target) for _ in range(count)]


class GrpcCall:
    """A request of the Open Inference Protocol with raw contents."""

    def __init__(self, target: Target) -> None:
        import grpc.aio
        from tritonclient.grpc import service_pb2

        self._target = target
        self._messages: Any = service_pb2
        options = [(f"grpc.max_{way}_message_length", -1) for way in ("send", "receive")]
        self._channel = grpc.aio.insecure_channel(target.address, options)
        self._call: Any = self._channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")

    def encode(self, image: Any) -> bytes:
        request = self._messages.ModelInferRequest(model_name=self._target.model)
        tensor = request.inputs.add(name="image")
        request.outputs.add(name="logits")
        content = image.tobytes()
        if self._target.form == "bytes":
            tensor.datatype, tensor.shape[:] = "BYTES", [1, 1]
            content = len(content).to_bytes(4, "little") + content
        else:
            tensor.datatype, tensor.shape[:] = "UINT8" if image.dtype == np.uint8 else "FP32", image.shape
        request.raw_input_contents.append(content)
        return bytes(request.SerializeToString())

    async def send(self, request: bytes) -> Any:
        answer = self._messages.ModelInferResponse.FromString(await self._call(request))
        return np.frombuffer(answer.raw_output_contents[0], "<f4")

    async def close(self) -> None:
        await self._channel.close()


class HttpCall:
    """A POST with the pixels as its body and the logits as that of the answer.

    The connection stays open until a request fails.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def encode(self, image: Any) -> bytes:
        content = image.tobytes()
        lines = (
            f"POST /{self._target.model} HTTP/1.1",
            f"Host: {self._target.address}",
            "Content-Type: application/octet-stream",
            f"Content-Length: {len(content)}",
        )
        return "\r\n".join([*lines, "", ""]).encode() + bytes(content)

    async def send(self, request: bytes) -> Any:
        if self._streams is None:
            host, _, port = self._target.address.rpartition(":")
            self._streams = await asyncio.open_connection(host, int(port), limit=1 << 20)
        reader, writer = self._streams
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            body = await _read_body(reader, head)
        except BaseException:
            await self.close()
            raise
        if (status := head.split(b" ", 2)[1]) != b"200":
            await self.close()  # as the server may do
            raise ValueError(f"status {status.decode()}: {body[:200].decode(errors='replace')}")
        return np.frombuffer(body, "<f4")

    async def close(self) -> None:
        if self._streams is None:
            return
        _, writer = self._streams
        self._streams = None
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _read_body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    """Read the body of an answer, whose length its head states, or which comes in chunks."""
    if found := re.search(rb"(?i)^content-length: *(\d+)", head, re.MULTILINE):
        return await reader.readexactly(int(found[1]))
    if not re.search(rb"(?i)^transfer-encoding: *chunked", head, re.MULTILINE):
        raise ValueError("an answer without its length")
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return body
