"""The configuration for the CPU that is derived from one for GPUs."""

from __future__ import annotations

from typing import Any

import pytest
from tritonclient.grpc import model_config_pb2

from camserve.bundle import Bundle
from camserve.serving import Auto, Cpu, Cuda, OpenVINO, ServingOptions, TensorRT
from camserve.serving.config.cpu import cpu_change, cpu_config
from camserve.serving.config.message import build_config
from camserve.serving.config.resources import Resource

_GPU = model_config_pb2.ModelInstanceGroup.KIND_GPU
_AUTO = model_config_pb2.ModelInstanceGroup.KIND_AUTO


def _config(bundle: Bundle, **options: Any) -> Any:
    return build_config(bundle.contract, bundle.labels, ServingOptions(**options))


@pytest.mark.parametrize(
    "accelerator",
    [
        Cuda(gpus=(0, 1), cudnn_conv_algo_search="heuristic", gpu_mem_limit=1 << 30, gpu_math="tf32", cuda_graphs=True),
        TensorRT(precision="fp32", arena_extend_strategy="same-as-requested", do_copy_in_default_stream=False),
    ],
)
def test_a_configuration_for_gpus_becomes_the_default_one_for_the_cpu(toy_bundle: Bundle, accelerator: Any) -> None:
    shared: dict[str, Any] = {
        "max_batch_size": 32,
        "warmup": True,
        "rate_limiter_resources": (Resource(name="GPU", count=1),),
        "rate_limiter_priority": 2,
    }
    config = _config(toy_bundle, accelerator=accelerator, instances=2, threads=1, inter_threads=2, **shared)
    before = config.SerializeToString(deterministic=True)
    assert cpu_config(config) == _config(toy_bundle, accelerator=Cpu(), **shared)
    assert config.SerializeToString(deterministic=True) == before


def test_instances_and_threads_of_auto_are_kept(toy_bundle: Bundle) -> None:
    shared = {"instances": 3, "threads": 2, "inter_threads": 2}
    config = _config(toy_bundle, accelerator=Auto(gpu_mem_limit=1 << 30), batch_sizes=(1, 8), **shared)
    changed = cpu_config(config)
    assert changed == _config(toy_bundle, accelerator=Cpu(), **shared)
    assert cpu_change(config, changed) == (
        "toy with 3 instances of 2 threads (published: auto, 3 instances, batch_sizes 1,8)"
    )


@pytest.mark.parametrize("accelerator", [Cpu(), OpenVINO()])
def test_a_configuration_for_the_cpu_is_not_changed(toy_bundle: Bundle, accelerator: Any) -> None:
    assert cpu_config(_config(toy_bundle, accelerator=accelerator, batch_sizes=(1, 8))) is None


def test_the_change_names_what_was_published(toy_bundle: Bundle) -> None:
    config = _config(toy_bundle, accelerator=Cuda(), instances=2, threads=1, batch_sizes=(1, 8))
    assert cpu_change(config, cpu_config(config)) == (
        "toy with 1 instance on all cores (published: cuda, 2 instances, batch_sizes 1,8)"
    )


def test_groups_for_the_cpu_beside_those_for_gpus_are_kept(toy_bundle: Bundle) -> None:
    config = _config(toy_bundle, accelerator=Cpu(), instances=2, threads=3)
    expected = _config(toy_bundle, accelerator=Cpu(), instances=2, threads=3)
    config.instance_group.add(kind=_GPU, count=4, gpus=[0])
    assert cpu_config(config) == expected


def test_a_configuration_without_groups_gets_one_instance(toy_bundle: Bundle) -> None:
    config = _config(toy_bundle, accelerator=Cpu())
    del config.instance_group[:]
    assert cpu_config(config) == _config(toy_bundle, accelerator=Cpu())


def test_an_ensemble_gets_no_instances() -> None:
    config = model_config_pb2.ModelConfig(name="both", platform="ensemble")
    config.ensemble_scheduling.step.add(model_name="toy", model_version=-1)
    assert cpu_config(config) is None
