"""Sessions for fixed batch sizes, compared with one session for batches of any size, in ONNX Runtime on the CPU."""

import gc
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from google.protobuf.json_format import MessageToDict
from onnx import TensorProto, helper, numpy_helper
from support.model_folder import toy_config
from support.toy import toy_pixels, with_pixels, write_toy_bundle

from camserve.bundle import ONNX_NAME, Bundle
from camserve.pixels import normalize
from camserve.serving.backends.camserve_backend import bound_session
from camserve.serving.backends.camserve_backend.cuda_graphs import Attempt
from camserve.serving.backends.camserve_backend.fixed_sizes import FixedSizes
from camserve.serving.backends.camserve_backend.free_sizes import FreeSizes
from camserve.serving.backends.camserve_backend.onnx_providers import CPU, CUDA, Provider
from camserve.serving.backends.camserve_backend.onnx_sessions import SessionFactory
from camserve.serving.backends.camserve_backend.onnx_settings import session_settings
from camserve.serving.backends.camserve_backend.parameters import ModelRefusedError

Array = npt.NDArray[Any]
PROVIDERS: tuple[Provider, ...] = ((CPU, {}),)
SIZES = (1, 8, 32, 40)
TOLERANCE = 1e-6


class Pair:
    """A model with free and with fixed batch sizes.

    Args:
        path: Its ONNX file.
        config: Its configuration, as Triton passes it.
        sizes: The fixed sizes.
    """

    def __init__(self, path: Path, config: Mapping[str, Any], sizes: Sequence[int] = SIZES) -> None:
        factory = SessionFactory(path, session_settings(config))
        self.messages: list[str] = []
        self.names = [tensor["name"] for tensor in config["output"]]
        self.free = FreeSizes(factory, PROVIDERS)
        attempts, log = [Attempt(PROVIDERS)], self.messages.append
        self.fixed = FixedSizes(factory, config, sizes, attempts, log=log)
        self.fixed.make_ready()

    def assert_equal(self, *parts: Mapping[str, Array], names: Sequence[str] | None = None) -> bool:
        """Check that the answers to requests are equal within rounding, and return whether they are identical."""
        names = self.names if names is None else names
        free, fixed = self.free.run(names, parts), self.fixed.run(names, parts)
        for expected, given in zip(free, fixed, strict=True):
            assert (given.shape, given.dtype) == (expected.shape, expected.dtype)
            np.testing.assert_allclose(given, expected, rtol=TOLERANCE, atol=TOLERANCE)
        return all(map(np.array_equal, free, fixed))


def _config(bundle: Bundle) -> dict[str, Any]:
    config = toy_config(bundle, options={"max_batch_size": max(SIZES), "threads": 1})
    return dict(MessageToDict(config, preserving_proto_field_name=True))


def _images(bundle: Bundle, count: int) -> dict[str, Array]:
    pixels = toy_pixels(bundle.contract, count, seed=count)
    preprocessing = bundle.contract.preprocessing
    return {"image": pixels if preprocessing.in_graph else normalize(pixels, preprocessing)}


@pytest.fixture(scope="module", params=["float32", "uint8"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    written = write_toy_bundle(tmp_path_factory.mktemp("fixed") / "bundle", all_maps=True)
    return with_pixels(written) if request.param == "uint8" else written


@pytest.fixture(scope="module")
def pair(bundle: Bundle) -> Pair:
    return Pair(bundle.path / ONNX_NAME, _config(bundle))


def test_every_number_of_rows_has_the_same_answer(pair: Pair, bundle: Bundle) -> None:
    assert len(pair.names) == 5
    for rows in [*range(1, 41), *range(40, 0, -1)]:
        pair.assert_equal(_images(bundle, rows))


def test_joined_requests_for_changing_outputs_have_the_same_answers(pair: Pair, bundle: Bundle) -> None:
    random = np.random.default_rng(0)
    for _ in range(60):
        parts = [_images(bundle, int(random.integers(1, 8))) for _ in range(random.integers(1, 6))]
        names = random.permutation(pair.names)[: random.integers(1, 6)].tolist()
        pair.assert_equal(*parts, names=names)


def test_memory_of_another_device_is_written_before_each_run(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    on_device = bound_session._on_device
    monkeypatch.setattr(bound_session, "_on_device", lambda array, *device: on_device(array.copy(), *device))
    pair = Pair(bundle.path / ONNX_NAME, _config(bundle))
    assert not any(bound._shared for session in pair.fixed._sessions.values() for bound in session._inputs.values())
    for rows in [40, 3, 8, 7, 1, 2, 32, 33]:
        pair.assert_equal(_images(bundle, rows))
        pair.assert_equal(*[_images(bundle, 1)] * rows)


def test_an_input_that_is_copied_when_it_is_bound_has_the_rows_of_its_run(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime copies a bound input at once if an operator on another device reads it."""
    bind, copies = onnxruntime.IOBinding.bind_ortvalue_input, []

    def copy_and_bind(binding: Any, name: str, value: Any) -> None:
        copies.append(onnxruntime.OrtValue.ortvalue_from_numpy(value.numpy().copy()))
        bind(binding, name, copies[-1])

    monkeypatch.setattr(onnxruntime.IOBinding, "bind_ortvalue_input", copy_and_bind)
    pair = Pair(bundle.path / ONNX_NAME, _config(bundle))
    for rows in [40, 3, 8, 1]:
        pair.assert_equal(_images(bundle, rows))
    assert len(copies) == len(SIZES) + 4


def test_the_padding_is_zero(pair: Pair, bundle: Bundle) -> None:
    (size,) = (bound for bound in pair.fixed._sessions.items() if bound[0] == 8)
    array = size[1]._inputs["image"]._array
    for counts in [[8], [3], [2, 4], [1, 1], [8], [7], [5, 3], [2]]:
        parts = [_images(bundle, count) for count in counts]
        size[1].write(parts)
        np.testing.assert_array_equal(array[: sum(counts)], np.concatenate([part["image"] for part in parts]))
        assert not array[sum(counts) :].any()


def test_what_is_not_finite_stays_in_its_row(tmp_path: Path) -> None:
    bundle = write_toy_bundle(tmp_path / "bundle")
    pair = Pair(bundle.path / ONNX_NAME, _config(bundle), (1, 8, 40))
    for value in (np.nan, np.inf):
        bad = _images(bundle, 8)
        bad["image"][2] = value
        pair.fixed.run(["logits"], [bad])
        pair.assert_equal(_images(bundle, 3))
        mixed = _images(bundle, 5)
        mixed["image"][1] = value
        logits = pair.fixed.run(["logits"], [mixed])[0]
        assert [bool(np.isfinite(row).all()) for row in logits] == [True, False, True, True, True]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda images: images.astype(np.float64),
        lambda images: images[:, :7],
        lambda images: images[:, :1],
        lambda images: np.repeat(images, 6, axis=0),
    ],
    ids=["dtype", "shape", "shape that broadcasts", "too many rows"],
)
@pytest.mark.parametrize("rows", [7, 8])
def test_an_invalid_request_does_not_affect_the_next_one(pair: Pair, bundle: Bundle, wrong: Any, rows: int) -> None:
    with pytest.raises(RuntimeError, match="onnxruntime: "):
        pair.fixed.run(pair.names, [{"image": wrong(_images(bundle, rows)["image"])}])
    pair.assert_equal(_images(bundle, rows - 1))


def test_no_rows_have_no_answers(pair: Pair, bundle: Bundle) -> None:
    assert pair.fixed.run(["logits"], [{"image": _images(bundle, 1)["image"][:0]}])[0].shape == (0, 4)


def test_each_size_is_logged(pair: Pair) -> None:
    assert sorted(pair.messages) == sorted(message for message in pair.messages if " is ready after 0." in message)
    assert {int(message.split()[2]) for message in pair.messages} == set(SIZES)


def test_the_model_declares_what_its_file_declares(pair: Pair) -> None:
    assert list(pair.fixed.inputs) == list(pair.free.inputs)
    assert list(pair.fixed.outputs) == list(pair.free.outputs)


def _add_model(path: Path, names: tuple[str, str]) -> dict[str, Any]:
    """Write a model that adds a row of weights to `left + 2 right`, whose inputs name their first dimension."""
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 3])
        for name, batch in zip(("left", "right"), names, strict=True)
    ]
    nodes = [
        helper.make_node("Mul", ["right", "two"], ["twice"]),
        helper.make_node("Add", ["left", "twice"], ["sum"]),
    ]
    constants = [numpy_helper.from_array(np.array(2, np.float32), "two")]
    output = helper.make_tensor_value_info("sum", TensorProto.FLOAT, [names[0], 3])
    graph = helper.make_graph(nodes, "add", values, [output], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    tensors = [{"name": name, "data_type": "TYPE_FP32", "dims": ["3"]} for name in ("left", "right", "sum")]
    return {"name": "add", "max_batch_size": 8, "input": tensors[:2], "output": tensors[2:]}


@pytest.mark.parametrize("names", [("batch", "batch"), ("N", "M"), ("", "")])
def test_models_with_several_inputs_have_fixed_sizes(tmp_path: Path, names: tuple[str, str]) -> None:
    config = _add_model(tmp_path / "model.onnx", names)
    pair = Pair(tmp_path / "model.onnx", config, (2, 8))
    for rows in range(1, 9):
        values = np.random.default_rng(rows).random((2, rows, 3), np.float32)
        parts = [{"left": values[0, :1], "right": values[1, :1]}, {"left": values[0, 1:], "right": values[1, 1:]}]
        assert pair.assert_equal(*parts[: 1 + (rows > 1)])


def test_a_size_that_does_not_run_is_refused_with_its_reason(tmp_path: Path) -> None:
    config = _add_model(tmp_path / "model.onnx", ("batch", "batch"))
    config["output"][0]["dims"] = ["4"]
    with pytest.raises(ModelRefusedError, match=r"(?s)onnxruntime cannot run batch size [28]: .*Got: 4 Expected: 3"):
        Pair(tmp_path / "model.onnx", config, (2, 8))


class _Recorded(Attempt):
    """An attempt with CUDA graphs on the CPU provider, which ignores the options of its runs."""

    graphs = True


def test_graphs_are_recorded_after_every_size_ran(pair: Pair, bundle: Bundle) -> None:
    config = _config(bundle)
    factory = SessionFactory(bundle.path / ONNX_NAME, session_settings(config))
    messages: list[str] = []
    fixed = FixedSizes(factory, config, SIZES, [_Recorded(PROVIDERS)], log=messages.append)
    fixed.make_ready()
    assert len(messages) == len(SIZES) + 1
    assert messages[-1].startswith("the CUDA graphs of all batch sizes are recorded after 0.")
    (logits,), (expected,) = (model.run(["logits"], [_images(bundle, 5)]) for model in (fixed, pair.free))
    np.testing.assert_allclose(logits, expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_a_file_that_is_not_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("no model")
    factory = SessionFactory(tmp_path / "model.onnx", session_settings({}))
    with pytest.raises(ModelRefusedError, match=r"onnxruntime cannot load model\.onnx"):
        FixedSizes(factory, {}, (1,), [Attempt(PROVIDERS)], log=print)


@pytest.mark.filterwarnings("ignore:Specified provider 'CUDAExecutionProvider'")
def test_a_failed_attempt_is_followed_by_the_next_with_a_warning(bundle: Bundle) -> None:
    config = _config(bundle)
    factory = SessionFactory(bundle.path / ONNX_NAME, session_settings(config))
    refused = Attempt(((CUDA, {"enable_cuda_graph": "1"}), (CPU, {})), "enable_cuda_graph=1")
    fixed = FixedSizes(factory, config, SIZES, [refused, Attempt(PROVIDERS)], ["runs slowly"], log=print)
    fixed.make_ready()
    slow, warning = fixed.warnings
    assert slow == "runs slowly"
    assert warning.startswith("does not run with enable_cuda_graph=1: onnxruntime cannot load model.onnx: ")
    assert len(fixed.run(["logits"], [_images(bundle, 3)])[0]) == 3
    with pytest.raises(ModelRefusedError):
        FixedSizes(factory, config, SIZES, [refused], log=print).make_ready()


class _Watched(SessionFactory):
    """A factory that knows which of its sessions still exist."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.created: list[weakref.ref[Any]] = []

    def create(self, *args: Any, **options: Any) -> Any:
        session = super().create(*args, **options)
        self.created.append(weakref.ref(session))
        return session


class _Unbound(Attempt):
    """An attempt whose sessions are created, but have no device for their inputs."""

    device = "nowhere"


def test_an_attempt_that_fails_after_its_sessions_were_created_releases_them(bundle: Bundle) -> None:
    config = _config(bundle)
    factory = _Watched(bundle.path / ONNX_NAME, session_settings(config))
    attempts = [_Unbound(PROVIDERS, "prefer_nhwc=1"), Attempt(PROVIDERS)]
    fixed = FixedSizes(factory, config, SIZES, attempts, log=print)
    gc.disable()
    try:
        fixed.make_ready()
        alive = sum(each() is not None for each in factory.created)
    finally:
        gc.enable()
    assert len(SIZES) == alive < len(factory.created)
    assert fixed.warnings[0].startswith("does not run with prefer_nhwc=1: onnxruntime cannot run batch size ")
