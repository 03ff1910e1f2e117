"""A running Triton server that loads and unloads models on request."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from camserve.contract import ModelContract
from camserve.errors import ServerError
from camserve.serving.live.channel import connect
from camserve.serving.live.refusals import explained, plain
from camserve.tls import ClientTls

__all__ = ["LiveServer", "LiveVersion"]

_ADMIN_HEADER = "triton-grpc-protocol-camserve-admin-key"
_NO_MODEL = "camserve.no.model.has.this.name"
_INTERVAL = 0.05


@dataclass(frozen=True)
class LiveVersion:
    """What a server says of a version: its state, and the reason where it could not be loaded."""

    model: str
    version: int
    state: str
    reason: str


class LiveServer:
    """A Triton in explicit mode, as a context manager.

    Args:
        url: `host:port` of gRPC.
        admin_key: What the server wants to hear before it loads or unloads, where it restricts that.
        tls: Encrypt the connection.
        timeout: Seconds that an ordinary answer may take.
        load_timeout: Seconds that loading a model may take; TensorRT builds engines for minutes.
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
        self._headers = {} if admin_key is None else {_ADMIN_HEADER: admin_key}
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
        """Closes the connection."""
        self._client.close()

    def index(self) -> tuple[LiveVersion, ...]:
        """Every model and version that the server knows of.

        Raises:
            ServerError: If it does not answer, or not without a key.
        """
        with self._told("does not say what it serves"):
            answer = self._client.get_model_repository_index(headers=self._headers, client_timeout=self._timeout)
        return tuple(LiveVersion(m.name, int(m.version or 0), m.state, m.reason) for m in answer.models)

    def served(self) -> dict[str, tuple[int, ...]]:
        """The versions that are ready, lowest first, by model.

        Raises:
            ServerError: As for `index`.
        """
        found: dict[str, list[int]] = {}
        for each in self.index():
            if each.state == "READY":
                found.setdefault(each.model, []).append(each.version)
        return {name: tuple(sorted(found[name])) for name in sorted(found)}

    def check_control(self) -> None:
        """Makes sure that the server lets models be loaded, without loading any.

        Raises:
            ServerError: If it does not answer, is not in explicit mode, or wants a key.
        """
        with self._told("does not let models be loaded"):
            # In explicit mode Triton takes it that a model is unloaded which was never loaded.
            self._client.unload_model(_NO_MODEL, headers=self._headers, client_timeout=self._timeout)

    def load(self, model: str) -> None:
        """Loads what the repository now holds under that name, in place of what was loaded.

        Raises:
            ServerError: If it cannot be loaded; the message has the server's reason.
        """
        with self._told(f"cannot load {model}"):
            self._client.load_model(model, headers=self._headers, client_timeout=self._load_timeout)

    def unload(self, model: str) -> None:
        """Takes a model out of service.

        Raises:
            ServerError: If the server refuses.
        """
        with self._told(f"cannot unload {model}"):
            self._client.unload_model(model, headers=self._headers, client_timeout=self._load_timeout)

    def config(self, model: str) -> Any:
        """The `ModelConfig` message by which the server runs a model.

        Raises:
            ServerError: If it does not run it.
        """
        with self._told(f"does not say how it runs {model}"):
            return self._client.get_model_config(model, headers=self._headers, client_timeout=self._timeout).config

    def wait_ready(self, model: str, version: int) -> None:
        """Waits until a version answers.

        Raises:
            ServerError: If it does not, in time or at all; the message has the server's reason.
        """
        deadline = time.monotonic() + self._load_timeout
        while not self._is_ready(model, version):
            known = next((each for each in self.index() if (each.model, each.version) == (model, version)), None)
            if known is None:
                raise ServerError(
                    f"the server {self.url} knows no version {version} of {model}",
                    hint="Does it serve this repository, and see its files?",
                )
            if known.reason or time.monotonic() >= deadline:
                why = plain(known.reason) or f"{known.state.lower() or 'no answer'} after {self._load_timeout:g} s"
                raise ServerError(f"version {version} of {model} is not ready on {self.url}: {why}")
            time.sleep(_INTERVAL)

    def ask(
        self, model: str, version: int, contract: ModelContract, image: npt.NDArray[Any]
    ) -> dict[str, npt.NDArray[Any]]:
        """What a version answers, by output; each image is asked by itself, so that any batch size will do.

        Args:
            model: Its name.
            version: Its number.
            contract: The tensors.
            image: The input tensor, batch first.

        Raises:
            ServerError: If it does not answer.
        """
        with self._told(f"does not answer for {model}"):
            rows = [self._ask(model, version, contract, image[row : row + 1]) for row in range(len(image))]
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    def _ask(
        self, model: str, version: int, contract: ModelContract, image: npt.NDArray[Any]
    ) -> dict[str, npt.NDArray[Any]]:
        tensor = triton.InferInput(contract.input.name, list(image.shape), contract.input.dtype)
        tensor.set_data_from_numpy(np.ascontiguousarray(image))
        wanted = [triton.InferRequestedOutput(spec.name) for spec in contract.outputs]
        answer = self._client.infer(
            model, [tensor], str(version), outputs=wanted, client_timeout=self._load_timeout, headers=self._headers
        )
        arrays = {spec.name: answer.as_numpy(spec.name) for spec in contract.outputs}
        return {name: array for name, array in arrays.items() if array is not None}

    def _is_ready(self, model: str, version: int) -> bool:
        with self._told(f"does not say whether {model} is ready"):
            return bool(
                self._client.is_model_ready(model, str(version), headers=self._headers, client_timeout=self._timeout)
            )

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except InferenceServerException as error:
            raise explained(self.url, what, error) from error
