"""The model `NAME_file` in Triton: it takes encoded image files, and answers with classes and maps of the model `NAME`.

Triton's Python backend runs this file. The folder of each version of `NAME`, beside the one of this model, contains its
contract and the code that decodes and preprocesses by it. An instance uses those of the newest served version, and
queries exactly that version, so that pixels never reach another one. When that version is not ready any more, it looks
again. This model is therefore the same for all versions, and works as soon as one is served.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

_MODEL = "camserve.image_files_of"
_INPUT = "image_file"
_CODE = "image_files.zip"
_HINT = "; hint: "
_SERVED = re.compile(r"version_policy\s*{\s*specific\s*{([^}]*)}")
_NUMBER = re.compile(r"versions:\s*(\d+)")
_NOT_READY = re.compile(r"not ready|not found|unknown model|not at ready state|unavailable", re.IGNORECASE)


class NotServedError(Exception):
    """A version of the model `NAME` cannot be used."""


class TritonPythonModel:
    """An instance of the model."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Read the configuration; the code is loaded with the first request, since `NAME` may not be there yet."""
        config = json.loads(args["model_config"])
        self._name = config["parameters"][_MODEL]["string_value"]
        self._outputs = [output["name"] for output in config["output"]]
        self._folder = Path(args["model_repository"]).parent / self._name
        self._version: _Version | None = None

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer the requests of one batch; each has its own error."""
        reasons: dict[int, str] = {}
        # Found anew after each failure, during which the next version may have become ready.
        while (number := next((each for each in self._candidates() if each not in reasons), None)) is not None:
            try:
                if self._version is None or self._version.number != number:
                    self._version = _Version(self._folder, number, self._outputs)
                return self._version.answer(requests)
            except (NotServedError, OSError, ImportError, ValueError) as error:
                reasons[number] = str(error)
        why = "; ".join(f"version {number}: {reason}" for number, reason in reasons.items())
        message = f"model {self._name} is not served with image files: {why or 'it has no version with them'}"
        return [_failed(message, pb_utils.TritonError.NOT_FOUND) for _ in requests]

    def _candidates(self) -> Iterator[int]:
        """Yield the versions to try: the one in use, then those that are served by the repository, then all others."""
        if self._version is not None:
            yield self._version.number
        yield from sorted(self._served(), reverse=True)
        yield from sorted(self._on_disk(), reverse=True)

    def _served(self) -> list[int]:
        """Return the versions that the configuration of `NAME`, which camserve wrote, names as served."""
        try:
            served = _SERVED.search((self._folder / "config.pbtxt").read_text(encoding="utf-8"))
        except OSError:
            return []
        return [int(number) for number in _NUMBER.findall(served[1])] if served else []

    def _on_disk(self) -> list[int]:
        """Return the versions with code: a server may still serve one that the configuration does not name any more."""
        return [int(path.parent.name) for path in self._folder.glob(f"*/{_CODE}") if path.parent.name.isdecimal()]


class _Version:
    """A version of the model `NAME`, with its code.

    Args:
        model: The folder of `NAME`.
        number: The version.
        outputs: Names of all outputs of `NAME_file`.

    Raises:
        NotServedError: If it was published without image files.
    """

    def __init__(self, model: Path, number: int, outputs: Sequence[str]) -> None:
        self.number = number
        self._name, self._outputs = model.name, outputs
        folder = model / str(number)
        if not (folder / _CODE).is_file():
            raise NotServedError("it was published without them")
        for name in [name for name in sys.modules if name.partition(".")[0] == "camserve"]:
            del sys.modules[name]  # of another version
        sys.path.insert(0, str(folder / _CODE))
        try:
            self._code = import_module("camserve.clients.image_file_model")
            contract = self._code.ModelContract.from_json((folder / "contract.json").read_bytes())
        finally:
            sys.path.pop(0)
        self._input = contract.input.name
        self._memory = pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0)
        labels = (folder / "labels.txt").read_text(encoding="utf-8")
        self._model = self._code.ImageFileModel(contract, labels, str(number), self._infer)

    def answer(self, requests: Sequence[Any]) -> list[Any]:
        """Answer requests.

        Raises:
            NotServedError: If the version is not ready.
        """
        parsed = [self._read(request) for request in requests]
        answers = iter(self._model.answer([each for each in parsed if not isinstance(each, Exception)]))
        return [self._response(each if isinstance(each, Exception) else next(answers)) for each in parsed]

    def _read(self, request: Any) -> Any:
        try:
            parameters = json.loads(request.parameters() or "{}")
            wanted = self._code.read_request(request.requested_output_names(), self._outputs, parameters)
        except Exception as error:  # noqa: BLE001  an error of one request must not concern the others
            return error
        files = pb_utils.get_input_tensor_by_name(request, _INPUT).as_numpy().reshape(-1)
        return list(files), wanted

    def _infer(self, batch: Any, names: Sequence[str]) -> dict[str, Any]:
        """Run the version inside this server."""
        request = pb_utils.InferenceRequest(
            model_name=self._name,
            model_version=self.number,
            requested_output_names=list(names),
            inputs=[pb_utils.Tensor(self._input, batch)],
            preferred_memory=self._memory,
        )
        response = request.exec()
        if response.has_error():
            message = response.error().message()
            if _NOT_READY.search(message):
                raise NotServedError(message)
            raise self._code.RequestError(f"model {self._name} did not answer: {message}")
        return {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}

    def _response(self, answer: Any) -> Any:
        if not isinstance(answer, Exception):
            return pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in answer.items()])
        message, hint = getattr(answer, "message", str(answer)), getattr(answer, "hint", None)
        of_model = isinstance(answer, self._code.RequestError)  # not of the file, nor of a parameter
        code = pb_utils.TritonError.INTERNAL if of_model else pb_utils.TritonError.INVALID_ARG
        return _failed(f"{message}{_HINT}{hint}" if hint else message, code)


def _failed(message: str, code: Any) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
