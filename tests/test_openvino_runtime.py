"""OpenVINO as a base module: it sends nothing, computes in the named precision, and what is missing is named."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from camserve import openvino_runtime
from camserve.errors import UsageError
from camserve.openvino_runtime import OpenVinoPrecision, capabilities, open_network, require_bf16

pytestmark = pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")

PURPOSE = "this test"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The product of `image`, `[batch, 64]`, and a matrix, as `logits` and through a softmax as `probabilities`."""
    from onnx import TensorProto, helper, numpy_helper, save_model

    weights = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["image", "weights"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"]),
        ],
        "product",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ("batch", 64))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ("batch", 8)) for name in ("probabilities", "logits")],
        [numpy_helper.from_array(weights, "weights")],
    )
    path = tmp_path_factory.mktemp("network") / "product.onnx"
    save_model(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def difference(network: Path, precision: OpenVinoPrecision) -> float:
    """Return the largest difference of a logit from the product in float64, relative to the largest."""
    from onnx import load, numpy_helper

    (weights,) = (numpy_helper.to_array(each) for each in load(network).graph.initializer)
    images = np.random.default_rng(1).normal(size=(5, 64)).astype(np.float32)
    exact = images.astype(np.float64) @ weights
    logits = open_network(network, precision, purpose=PURPOSE, threads=1).run(images, ["logits"])["logits"]
    return float(np.abs(logits - exact).max() / np.abs(exact).max())


def test_f32_is_exact_also_where_bf16_is_the_default(network: Path) -> None:
    assert difference(network, "f32") < 1e-6


def test_bf16_rounds_to_eight_bits(network: Path) -> None:
    if "BF16" not in capabilities(PURPOSE):
        pytest.skip("this processor has no bf16")
    assert 1e-4 < difference(network, "bf16") < 2e-2


def test_a_network_from_memory_answers_in_several_threads(network: Path) -> None:
    opened = open_network(network.read_bytes(), "f32", purpose=PURPOSE, threads=2, streams=2)
    assert opened.input.name == "image"
    assert opened.input.shape == (-1, 64)
    assert opened.outputs["probabilities"].dtype == np.float32
    batches = [np.full((size, 64), size, np.float32) for size in range(1, 7)]
    expected = [opened.run(batch, ["probabilities"])["probabilities"] for batch in batches]
    wrong: list[int] = []

    def repeat(index: int) -> None:
        for _ in range(20):
            if not np.array_equal(opened.run(batches[index], ["probabilities"])["probabilities"], expected[index]):
                wrong.append(index)

    threads = [threading.Thread(target=repeat, args=(index,)) for index in range(len(batches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_importing_openvino_sends_and_writes_nothing(tmp_path: Path) -> None:
    # Its telemetry generates an identifier in the home directory before it sends the first event.
    program = """
import os, sys, threading
def refuse(event, arguments):
    if event in ("os.fork", "socket.connect", "socket.getaddrinfo"):
        print("did", event, flush=True)
sys.addaudithook(refuse)
from camserve.openvino_runtime import import_openvino
openvino = import_openvino("this test")
assert callable(openvino.convert_model)
assert "openvino_telemetry" not in sys.modules
print([each.name for each in threading.enumerate()])
"""
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "['MainThread']\n"
    assert not list(tmp_path.iterdir())


def test_a_missing_openvino_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UsageError, match="openvino, which this test requires, cannot be imported") as raised:
        capabilities(PURPOSE)
    assert raised.value.hint == "Install it: pip install 'camserve[openvino]'"


def test_bf16_is_refused_where_openvino_is_missing_without_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "openvino", raising=False)
    monkeypatch.setattr(openvino_runtime, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="openvino, which this test requires, cannot be imported"):
        require_bf16(PURPOSE)
    assert "openvino" not in sys.modules


def test_bf16_is_refused_on_a_processor_without_it(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_runtime, "capabilities", lambda purpose: ("FP32", "INT8"))
    with pytest.raises(UsageError, match="this test requires a processor that computes in bf16") as raised:
        open_network(network, "bf16", purpose=PURPOSE)
    assert "--precision int8" in str(raised.value.hint)
    open_network(network, "f32", purpose=PURPOSE)
