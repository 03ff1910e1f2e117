"""A published model stores no weights in other files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.toy import write_toy_bundle

from camserve.bundle import ONNX_NAME, Bundle
from camserve.errors import BundleError
from camserve.external_data import check_self_contained
from camserve.manifest import write_manifest
from camserve.serving import publish

SECRET = np.arange(4, dtype=np.float32)


def outside(location: str, name: str = "weights") -> TensorProto:
    """Create a tensor of four values that are stored in a file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


def identity(*initializers: TensorProto, nodes: Any = (), functions: Any = ()) -> onnx.ModelProto:
    """Create a graph that adds its input to its weights."""
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])
    add = [helper.make_node("Add", ["x", "weights"], ["y"]), *nodes]
    graph = helper.make_graph(add, "g", [value], [result], list(initializers))
    return helper.make_model(graph, functions=functions, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def in_a_constant() -> onnx.ModelProto:
    return identity(nodes=[helper.make_node("Constant", [], ["weights"], value=outside("secret"))])


def in_a_branch() -> onnx.ModelProto:
    branch = helper.make_graph([], "then", [], [], [outside("secret")])
    return identity(nodes=[helper.make_node("If", ["x"], ["weights"], then_branch=branch, else_branch=branch)])


def in_a_function() -> onnx.ModelProto:
    body = [helper.make_node("Constant", [], ["out"], value=outside("secret"))]
    opsets = [helper.make_opsetid("", 17)]
    return identity(functions=[helper.make_function("own", "F", [], ["out"], body, opsets)])


def in_a_sparse_tensor() -> onnx.ModelProto:
    model = identity()
    model.graph.sparse_initializer.add().values.CopyFrom(outside("secret"))
    return model


def in_training() -> onnx.ModelProto:
    model = identity()
    model.training_info.add().initialization.initializer.append(outside("secret"))
    return model


def by_location_alone() -> onnx.ModelProto:
    tensor = outside("secret")
    del tensor.external_data[:]
    return identity(tensor)


def by_path_alone() -> onnx.ModelProto:
    tensor = outside("secret")
    tensor.ClearField("data_location")
    return identity(tensor)


PLACES: list[Callable[[], onnx.ModelProto]] = [
    lambda: identity(outside("secret")),
    in_a_constant,
    in_a_branch,
    in_a_function,
    in_a_sparse_tensor,
    in_training,
    by_location_alone,
    by_path_alone,
]


@pytest.mark.parametrize("place", PLACES)
def test_external_tensors_are_found_everywhere(place: Callable[[], onnx.ModelProto], tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(place().SerializeToString())
    with pytest.raises(BundleError, match="in another file"):
        check_self_contained(path)


def test_a_model_with_internal_weights_is_accepted(toy_bundle: Bundle, tmp_path: Path) -> None:
    assert toy_bundle.onnx_path is not None
    check_self_contained(toy_bundle.onnx_path)
    path = tmp_path / "model.onnx"
    path.write_bytes(identity(numpy_helper.from_array(SECRET, "weights")).SerializeToString())
    check_self_contained(path)


@pytest.mark.parametrize(
    "content", [b"", b"no graph", b"\x3a\xff\xff\xff\xff\x7f", b"\x3a" + b"\xff" * 20, b"\x3a\x05ab"]
)
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(BundleError, match="not an ONNX file"):
        check_self_contained(path)


@pytest.mark.parametrize("way", ["beside", "above", "absolute", "link"])
def test_external_data_is_refused_before_the_file_is_opened(way: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET.tobytes())
    bundle = write_toy_bundle(tmp_path / "bundle")
    location = {"beside": "weights", "above": "../secret", "absolute": str(secret), "link": "link"}[way]
    model = onnx.load(str(bundle.path / ONNX_NAME))
    model.graph.initializer.append(outside(location, "smuggled"))
    (bundle.path / ONNX_NAME).write_bytes(model.SerializeToString())
    if way == "beside":
        (bundle.path / "weights").write_bytes(SECRET.tobytes())
    write_manifest(bundle.path)
    if way == "link":
        (bundle.path / "link").symlink_to(secret)
    os.utime(secret, (1, secret.stat().st_mtime))  # so that the first access changes it
    with pytest.raises(BundleError, match="regular file" if way == "link" else "'smuggled' in another file"):
        publish(bundle, tmp_path / "repository")
    assert secret.stat().st_atime == 1
    assert not (tmp_path / "repository").exists()


def test_onnxruntime_reads_external_data_without_the_check(tmp_path: Path) -> None:
    """Negative control: without the check, the model uses the values of another file."""
    import onnxruntime

    (tmp_path / "secret").write_bytes(SECRET.tobytes())
    path = tmp_path / "model.onnx"
    path.write_bytes(identity(outside("secret")).SerializeToString())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {"x": np.zeros((1, 4), np.float32)})
    np.testing.assert_array_equal(answer[0], SECRET)
