"""A running Triton server that loads and unloads models on request."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import tritonclient.grpc as triton
from google.protobuf import json_format
from tritonclient.utils import InferenceServerException

from camserve.contract import ModelContract, TensorSpec
from camserve.errors import ServerError
from camserve.serving.live.backend_messages import REPORT_REQUEST, Execution, read_execution, split_hint
from camserve.serving.live.connection import ADMIN_HEADER, CPU_SERVER, GRPC_HEADER_PREFIX, connect
from camserve.serving.live.live_errors import one_line, server_error
from camserve.serving.live.reply_checks import InvalidReplyError, check_output, read_version
from camserve.tensors import DATA_TYPES
from camserve.tls import ClientTls

__all__ = ["LiveServer", "LiveVersion", "open_live_server"]

_UNKNOWN_MODEL = "camserve.no.model.has.this.name"
_POLL_SECONDS = 0.05
_UNLOAD_SECONDS = 10.0
_UNIMPLEMENTED = "UNIMPLEMENTED"


@dataclass(frozen=True)
class LiveVersion:
    """A version in the index of a server.

    Attributes:
        model: Name of the model.
        version: The version number; 0 for a model without loaded versions.
        state: Triton's word for its state, such as `READY`.
        reason: Why it could not be loaded, or empty.
    """

    model: str
    version: int
    state: str
    reason: str


class LiveServer:
    """A client for the administration of a running Triton, usable as a context manager.

    Args:
        url: gRPC address, `host:port`.
        admin_key: Admin key, for a server that restricts loading and unloading.
        tls: TLS files (default: no encryption).
        timeout: Timeout of a request in seconds.
        load_timeout: Timeout of loading a model in seconds; TensorRT builds engines for minutes.
    """

    def __init__(
        self,
        url: str,
        *,
        admin_key: str | None = None,
        tls: ClientTls | None = None,
        timeout: float = 10.0,
        load_timeout: float = 600.0,
    ) -> None:
        self.url = url
        self._headers = {} if admin_key is None else {f"{GRPC_HEADER_PREFIX}{ADMIN_HEADER}": admin_key}
        self._timeout = timeout
        self._load_timeout = load_timeout
        self._client = connect(url, tls)

    def __enter__(self) -> LiveServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def index(self) -> tuple[LiveVersion, ...]:
        """Return every model and version that the server knows.

        Raises:
            ServerError: If the server does not answer, or requires an admin key.
        """
        with self._errors("list its models"):
            index = self._client.get_model_repository_index(headers=self._headers, client_timeout=self._timeout)
            return tuple(LiveVersion(m.name, read_version(m.version), m.state, m.reason) for m in index.models)

    def served(self) -> dict[str, tuple[int, ...]]:
        """Return the versions that are ready, lowest first, by model.

        Raises:
            ServerError: As for `index`.
        """
        ready: dict[str, list[int]] = {}
        for each in self.index():
            if each.state == "READY":
                ready.setdefault(each.model, []).append(each.version)
        return {name: tuple(sorted(ready[name])) for name in sorted(ready)}

    def check_control(self) -> None:
        """Check that the server loads models on request, without loading one.

        Raises:
            ServerError: If it does not answer, is not in explicit mode, or requires an admin key.
        """
        with self._errors("load models"):
            # In explicit mode, Triton accepts a request to unload a model that was never loaded.
            self._client.unload_model(_UNKNOWN_MODEL, headers=self._headers, client_timeout=self._timeout)

    def load(self, model: str, *, config: Any = None) -> None:
        """Load a model from the repository, or reload it if it is loaded.

        Args:
            model: Name of the model.
            config: A `ModelConfig` message that takes precedence over its `config.pbtxt` until the next load.

        Raises:
            ServerError: If it cannot be loaded; the message contains the reason of the server.
        """
        text = None if config is None else json_format.MessageToJson(config, preserving_proto_field_name=True)
        with self._errors(f"load {model}"):
            self._client.load_model(model, headers=self._headers, config=text, client_timeout=self._load_timeout)

    def unload(self, model: str) -> None:
        """Unload a model, and wait as `wait_unloaded` does.

        Raises:
            ServerError: If the server refuses.
        """
        with self._errors(f"unload {model}"):
            self._client.unload_model(model, headers=self._headers, client_timeout=self._load_timeout)
        self.wait_unloaded(model)

    def wait_unloaded(self, model: str) -> None:
        """Wait until no version of a model is being unloaded, for at most 10 seconds and as long as the server answers.

        Triton 24.10 corrupts its memory, and soon crashes, if a version is loaded while the same version is being
        unloaded. It ends the requests in flight before it unloads a version.
        """
        deadline = time.monotonic() + _UNLOAD_SECONDS
        with suppress(ServerError):
            while time.monotonic() < deadline and any(
                (each.model, each.state) == (model, "UNLOADING") for each in self.index()
            ):
                time.sleep(_POLL_SECONDS)

    def is_cpu_server(self) -> bool:
        """Check whether the server was started with `camserve serve --cpu`.

        Raises:
            ServerError: If it does not answer.
        """
        with self._errors("return its metadata"):
            try:
                metadata = self._client.get_server_metadata(headers=self._headers, client_timeout=self._timeout)
            except InferenceServerException as error:
                if str(error.status()).endswith(_UNIMPLEMENTED):
                    return False
                raise
            return bool(metadata.name == CPU_SERVER)

    def config(self, model: str) -> Any:
        """Return the `ModelConfig` message of a loaded model.

        Raises:
            ServerError: If the model is not loaded.
        """
        with self._errors(f"return the configuration of {model}"):
            return self._client.get_model_config(model, headers=self._headers, client_timeout=self._timeout).config

    def wait_ready(self, model: str, version: int) -> None:
        """Wait until a version is ready.

        Raises:
            ServerError: If it failed to load or is not ready in time; the message contains the reason of the server.
        """
        deadline = time.monotonic() + self._load_timeout
        while not self._is_ready(model, version):
            known = next((each for each in self.index() if (each.model, each.version) == (model, version)), None)
            if known is None:
                raise ServerError(
                    f"the server {self.url} does not know version {version} of {model}",
                    hint="Check that it serves this repository and sees its current files",
                )
            if known.reason or time.monotonic() >= deadline:
                state = one_line(known.state.lower()) or "no state"
                reason, hint = split_hint(one_line(known.reason) or f"{state} after {self._load_timeout:g} s")
                raise ServerError(f"version {version} of {model} is not ready on {self.url}: {reason}", hint=hint)
            time.sleep(_POLL_SECONDS)

    def infer(
        self, model: str, version: int, contract: ModelContract, batch: npt.NDArray[Any]
    ) -> dict[str, npt.NDArray[Any]]:
        """Run a version on images, one request per image, which works for every maximum batch size.

        Args:
            model: Name of the model.
            version: The version number.
            contract: Its tensors.
            batch: The input tensor, batch first.

        Returns:
            The outputs by name, batch first.

        Raises:
            ServerError: If a request fails, or an output does not match the contract.
        """
        with self._errors(f"run {model}"):
            rows = [self._infer(model, version, contract, batch[row : row + 1]) for row in range(len(batch))]
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    def infer_file(self, model: str, file: bytes, output: TensorSpec) -> npt.NDArray[Any]:
        """Run a model that takes image files on one file.

        Args:
            model: Name of the model.
            file: The bytes of the file.
            output: The requested output.

        Returns:
            The output, batch first.

        Raises:
            ServerError: If the request fails, or the output is another one.
        """
        tensor = triton.InferInput("image_file", [1, 1], "BYTES")
        tensor.set_data_from_numpy(np.array([[file]], np.object_))
        with self._errors(f"run {model}"):
            result = self._client.infer(
                model,
                [tensor],
                outputs=[triton.InferRequestedOutput(output.name)],
                client_timeout=self._load_timeout,
                headers=self._headers,
            )
            return _read_output(result, output)

    def execution(self, model: str, version: int, contract: ModelContract) -> Execution:
        """Return what a version runs on; unknown if the server does not report it or refuses such a request.

        Args:
            model: Name of the model.
            version: The version number.
            contract: Its tensors.
        """
        # Noise, which no client sends: the response cache of a server with another backend may store the response.
        noise = np.random.default_rng().integers(0, 256, (1, *contract.input.shape))
        image, output = noise.astype(DATA_TYPES[contract.input.dtype].numpy), contract.outputs[0]
        try:
            response = self._send(model, version, contract, image, [output], parameters=dict(REPORT_REQUEST))
        except InferenceServerException:
            return Execution()
        return read_execution(response, output.name)

    def _infer(
        self, model: str, version: int, contract: ModelContract, image: npt.NDArray[Any]
    ) -> dict[str, npt.NDArray[Any]]:
        result = self._send(model, version, contract, image, contract.outputs)
        return {spec.name: _read_output(result, spec) for spec in contract.outputs}

    def _send(
        self,
        model: str,
        version: int,
        contract: ModelContract,
        image: npt.NDArray[Any],
        outputs: Iterable[TensorSpec],
        *,
        parameters: dict[str, Any] | None = None,
    ) -> Any:
        tensor = triton.InferInput(contract.input.name, list(image.shape), contract.input.dtype)
        tensor.set_data_from_numpy(np.ascontiguousarray(image))
        return self._client.infer(
            model,
            [tensor],
            str(version),
            outputs=[triton.InferRequestedOutput(spec.name) for spec in outputs],
            client_timeout=self._load_timeout,
            headers=self._headers,
            parameters=parameters,
        )

    def _is_ready(self, model: str, version: int) -> bool:
        with self._errors(f"report whether {model} is ready"):
            return bool(
                self._client.is_model_ready(model, str(version), headers=self._headers, client_timeout=self._timeout)
            )

    @contextmanager
    def _errors(self, action: str) -> Iterator[None]:
        try:
            yield
        except InferenceServerException as error:
            raise server_error(self.url, action, error) from None
        except InvalidReplyError as error:
            raise ServerError(
                f"the server {self.url} cannot {action}: it sent an invalid reply: {error}",
                hint="Check that this is the gRPC port of the Triton that serves this repository",
            ) from None


def _read_output(result: Any, spec: TensorSpec) -> npt.NDArray[Any]:
    output = result.get_output(spec.name)
    if output is None:
        raise InvalidReplyError(f"output {spec.name!r} is missing")
    check_output(spec, output.datatype, output.shape)
    try:
        array: npt.NDArray[Any] = result.as_numpy(spec.name)
    except (ValueError, IndexError):
        raise InvalidReplyError(f"the bytes of output {spec.name!r} do not match its shape") from None
    return array


def open_live_server(
    url: str | None, *, admin_key: str | None, tls: ClientTls | None
) -> AbstractContextManager[LiveServer | None]:
    """Connect to a server and check that it loads models on request; without a `url`, return an empty context.

    Raises:
        ServerError: If the server does not answer or does not load models.
    """
    if url is None:
        return nullcontext()
    server = LiveServer(url, admin_key=admin_key, tls=tls)
    try:
        server.check_control()
    except BaseException:
        server.close()
        raise
    return server
