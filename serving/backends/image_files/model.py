"""The model `NAME_file` in Triton: it takes encoded image files, and answers with classes and maps of the model `NAME`.

Triton's Python backend runs this file. Which code decodes and preprocesses, and by which contract, the newest served
version of `NAME` determines: its folder, beside the one of this model, contains both. This model is therefore the same
for all versions, and one that a server loads before `NAME` is served works as soon as it is.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

_MODEL = "camserve.image_files_of"
_INPUT = "image_file"
_CODE = "image_files.zip"
_HINT = "; hint: "
_SERVED = re.compile(r"version_policy\s*{\s*specific\s*{([^}]*)}")
_VERSION = re.compile(r"versions:\s*(\d+)")


class TritonPythonModel:
    """An instance of the model."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Read the configuration; the code is loaded with the first request, since `NAME` may not be there yet."""
        config = json.loads(args["model_config"])
        self._name = config["parameters"][_MODEL]["string_value"]
        self._outputs = [output["name"] for output in config["output"]]
        self._folder = Path(args["model_repository"]).parent / self._name
        self._memory = pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0)
        self._code: Any = None
        self._model: Any = None

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer the requests of one batch; each has its own error."""
        try:
            self._load()
        except (OSError, ImportError, ValueError) as error:
            return [_failed(f"model {self._name} is not served with image files: {error}") for _ in requests]
        parsed = [self._read(request) for request in requests]
        answers = iter(self._model.answer([each for each in parsed if not isinstance(each, Exception)]))
        return [_response(each if isinstance(each, Exception) else next(answers)) for each in parsed]

    def _load(self) -> None:
        """Load the code and the contract of the newest served version, once."""
        if self._model is not None:
            return
        version = self._folder / str(_newest_served((self._folder / "config.pbtxt").read_text(encoding="utf-8")))
        if not (version / _CODE).is_file():
            raise ValueError(f"version {version.name} was published without image files")
        sys.path.insert(0, str(version / _CODE))
        try:
            self._code = import_module("camserve.clients.image_file_model")
            self._error = import_module("camserve.errors").RequestError
            text = (version / "contract.json").read_bytes()
            contract = import_module("camserve.contract").ModelContract.from_json(text)
            labels = (version / "labels.txt").read_text(encoding="utf-8")
            self._input = contract.input.name
            self._model = self._code.ImageFileModel(contract, labels, self._infer)
        finally:
            sys.path.pop(0)

    def _read(self, request: Any) -> Any:
        try:
            parameters = json.loads(request.parameters() or "{}")
            wanted = self._code.read_request(request.requested_output_names(), self._outputs, parameters)
        except Exception as error:  # noqa: BLE001  an error of one request must not concern the others
            return error
        files = pb_utils.get_input_tensor_by_name(request, _INPUT).as_numpy().reshape(-1)
        return list(files), wanted

    def _infer(self, batch: Any, names: Sequence[str]) -> dict[str, Any]:
        """Run the model `NAME` inside this server."""
        inputs = [pb_utils.Tensor(self._input, batch)]
        request = pb_utils.InferenceRequest(
            model_name=self._name,
            requested_output_names=list(names),
            inputs=inputs,
            preferred_memory=self._memory,
        )
        response = request.exec()
        if response.has_error():
            raise self._error(f"model {self._name} did not answer: {response.error().message()}")
        return {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}


def _newest_served(config: str) -> int:
    """Return the highest version that the text of a configuration, which camserve wrote, names as served."""
    served = _SERVED.search(config)
    versions = _VERSION.findall(served[1]) if served else []
    if not versions:
        raise ValueError("its configuration names no served version")
    return max(map(int, versions))


def _response(answer: Any) -> Any:
    if isinstance(answer, Exception):
        message, hint = getattr(answer, "message", str(answer)), getattr(answer, "hint", None)
        return _failed(f"{message}{_HINT}{hint}" if hint else message)
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in answer.items()])


def _failed(message: str) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG))
