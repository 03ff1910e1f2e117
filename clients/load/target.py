"""The server that is loaded: its model, the requests to send, one checked answer, and its statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
import numpy as np
from PIL import Image
from tritonclient.grpc import service_pb2

from camserve.clients.answers.served_model import Model, Overrides
from camserve.clients.load.options import LoadOptions
from camserve.clients.observing.monitor import Monitor
from camserve.clients.session import Session
from camserve.clients.steps import Metadata
from camserve.clients.wire.channel_settings import SERVICE, dialler
from camserve.clients.wire.connection_options import Deadline
from camserve.clients.wire.failures import CallFailed, is_refusal
from camserve.clients.wire.messages import encode_request, request_header
from camserve.clients.wire.segments import Lease, Ledger
from camserve.clients.wire.shared_memory import not_accepted
from camserve.clients.wire.transport import Transport
from camserve.clients.wire.values import Request, Statistics
from camserve.errors import ClientError, RequestError, UsageError
from camserve.images.loading import load_image
from camserve.images.preprocess import prepare

__all__ = ["Target", "open_target"]

Array = np.ndarray[Any, Any]

_MOST_REQUESTS = 8
_MOST_BYTES = 2**26
"""Bytes of all different requests, which every process keeps."""

_PROBES = 3
_STATISTICS_SECONDS = 5.0


@dataclass(frozen=True)
class Target:
    """A served model and the requests for it.

    Attributes:
        url: The server.
        model: The model.
        requests: Serialized requests with different images.
        answer_bytes: Size of a correct answer.
    """

    url: str
    model: Model
    requests: Sequence[bytes] = field(repr=False)
    answer_bytes: int
    _transport: Transport = field(repr=False)
    _session: Session = field(repr=False)

    def statistics(self) -> Statistics | None:
        """Query what the server has spent on the model; None if it does not report it."""
        try:
            deadline = Deadline(_STATISTICS_SECONDS)
            found = self._transport.run(self._session.statistics, self.model.version, deadline)
        except ClientError:
            return None
        return found.get(self.url)


@contextmanager
def open_target(url: str, model: str, options: LoadOptions) -> Iterator[Target]:
    """Connect to a server, make the requests, and check answers to them.

    Raises:
        UsageError: If the batch is larger than that of the model, or an output is unknown.
        ImageError: If an image cannot be read.
        ClientError: If the server does not answer correctly.
    """
    with ExitStack() as resources:
        transport = Transport([url], options.connection, Monitor())
        resources.callback(transport.close)
        session = Session(model, options.version, [url], Overrides(), options.connection)
        transport.run(session.connect)
        served = session.model
        if 0 < served.max_batch_size < options.batch:
            raise UsageError(
                f"batch must be at most {served.max_batch_size}, the maximum batch size of model {model!r}, "
                f"got {options.batch}",
                hint=f"Pass --batch {served.max_batch_size}, or publish the model with --max-batch {options.batch}",
            )
        outputs = [served.served_name(served.output(name).name) for name in options.outputs]
        requests = [Request(model, options.version, served.input, each, outputs) for each in _batches(served, options)]
        sizes = [_answer_bytes(transport, request, options) for request in requests[:_PROBES]]
        messages = (
            _shared(requests, url, options, resources)
            if options.connection.shared_memory is True
            else [encode_request(request) for request in requests]
        )
        yield Target(url, served, messages, max(sizes), transport, session)


def _answer_bytes(transport: Transport, request: Request, options: LoadOptions) -> int:
    """Send a request, check its answer, and return the size of that."""
    deadline = Deadline(options.connection.timeout)
    reply = transport.run(lambda exchange: exchange.infer(request, deadline=deadline))
    for name, values in reply.tensors.items():
        if not np.isfinite(values).all():
            raise RequestError(
                f"output {name!r} of model {request.model!r} at {reply.url} contains NaN or infinity",
                hint="Check the model with: camserve classify IMAGE --model NAME",
            )
    return reply.size


def _batches(model: Model, options: LoadOptions) -> list[Array]:
    """Return different batches of images."""
    shape = model.contract.input.shape
    images: list[Array] = [prepare(load_image(path), model.contract) for path in options.images]
    if not images:
        images = _random_images(model, options)
    size = int(np.prod(shape)) * images[0].itemsize * options.batch
    count = max(2, min(_MOST_REQUESTS, _MOST_BYTES // size))
    return [
        np.stack([images[(number + each) % len(images)] for each in range(options.batch)]) for number in range(count)
    ]


def _random_images(model: Model, options: LoadOptions) -> list[Array]:
    """Return images of random pixels, which are preprocessed as those of files are."""
    source = np.random.default_rng(options.seed)
    height, width, channels = model.contract.input.shape
    pixels = source.integers(0, 256, (_MOST_REQUESTS, height, width, channels), np.uint8)
    return [_prepared(each, model) for each in pixels]


def _prepared(pixels: Array, model: Model) -> Array:
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels[..., :3])
    return prepare(load_image(picture), model.contract)


def _shared(requests: Sequence[Request], url: str, options: LoadOptions, resources: ExitStack) -> list[bytes]:
    """Register the batches as shared memory, until the resources are closed, and return the requests for it."""
    connection = options.connection
    channel = dialler(connection, grpc.insecure_channel, grpc.secure_channel)(url)
    resources.callback(channel.close)
    call = partial(_call, channel, metadata=connection.metadata, seconds=connection.connect_timeout)
    ledger = Ledger()
    messages = []
    for request in requests:
        lease = Lease(ledger, url, request.batch.nbytes, lambda freed: freed.free())
        lease.hold()
        resources.callback(lease.release)
        lease.write(request.batch)
        with lease.registering() as message:
            try:
                call("SystemSharedMemoryRegister", message)
            except CallFailed as failed:
                if is_refusal(failed):
                    raise not_accepted(url, failed.why) from None
                raise ClientError(f"the server at {url} did not register shared memory: {failed.why}") from None
        resources.callback(_unregister, call, lease.name)
        header = request_header(request)
        lease.describe(header.inputs[0])
        messages.append(header.SerializeToString())
    return messages


def _unregister(call: Callable[[str, Any], bytes], name: str) -> None:
    with suppress(CallFailed):
        call("SystemSharedMemoryUnregister", service_pb2.SystemSharedMemoryUnregisterRequest(name=name))


def _call(channel: Any, method: str, message: Any, *, metadata: Metadata, seconds: float) -> bytes:
    """Call a method of the server; the call itself is not cancelled.

    Raises:
        CallFailed: If there is no reply in time.
    """
    future = channel.unary_unary(f"{SERVICE}{method}").future(message.SerializeToString(), metadata=metadata)
    try:
        reply: bytes = future.result(seconds)
    except grpc.FutureTimeoutError:
        raise CallFailed("DEADLINE_EXCEEDED", f"no answer within {seconds:g} s") from None
    except grpc.RpcError:
        raise CallFailed(future.code().name, future.details() or "", metadata) from None
    return reply
