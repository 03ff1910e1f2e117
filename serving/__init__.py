"""Publish bundles to a Triton model repository and serve them.

`publish` adds a bundle as the next version of a model, `rollback` returns to an older version, `list_models`,
`verify_repository`, `lint_repository` and `prune` maintain the repository, `TritonServer` runs a Triton server on it,
`LiveServer` controls a running one, and `write_backend` writes a backend of camserve for NVIDIA's container.

Each name is loaded on first use.
"""

from typing import TYPE_CHECKING

from camserve.lazy import lazy_exports

if TYPE_CHECKING:
    from camserve.parity_report import WidenedTolerance
    from camserve.serving.config.accelerator_options import Accelerator, Auto, Cpu, Cuda, OpenVINO, TensorRT
    from camserve.serving.config.option_file import OptionFile, read_option_file, write_option_file
    from camserve.serving.config.presets import PRESETS
    from camserve.serving.config.resources import Resource
    from camserve.serving.config.serving_options import ServingOptions
    from camserve.serving.live.server import LiveServer
    from camserve.serving.publishing.publish import Publication, publish
    from camserve.serving.publishing.rollback import rollback
    from camserve.serving.repository.accept import accept_config
    from camserve.serving.repository.description import ModelDescription, ParityMetric, describe_model
    from camserve.serving.repository.export_facts import Parity
    from camserve.serving.repository.lint.engine import lint_repository
    from camserve.serving.repository.lint.findings import Finding
    from camserve.serving.repository.listing import ModelEntry, VersionEntry, list_models
    from camserve.serving.repository.prune import Pruned, prune
    from camserve.serving.repository.verify import Fault, Verification, verify_repository
    from camserve.serving.server.container import ContainerBackend, write_backend
    from camserve.serving.server.server_options import ServerOptions
    from camserve.serving.server.server_tls import Tls
    from camserve.serving.server.supervisor import Restart, RestartLimit, supervise
    from camserve.serving.server.triton import TritonServer
    from camserve.tls import ClientTls
else:
    __getattr__, __dir__ = lazy_exports(__name__)

__all__ = [
    "PRESETS",
    "Accelerator",
    "Auto",
    "ClientTls",
    "ContainerBackend",
    "Cpu",
    "Cuda",
    "Fault",
    "Finding",
    "LiveServer",
    "ModelDescription",
    "ModelEntry",
    "OpenVINO",
    "OptionFile",
    "Parity",
    "ParityMetric",
    "Pruned",
    "Publication",
    "Resource",
    "Restart",
    "RestartLimit",
    "ServerOptions",
    "ServingOptions",
    "TensorRT",
    "Tls",
    "TritonServer",
    "Verification",
    "VersionEntry",
    "WidenedTolerance",
    "accept_config",
    "describe_model",
    "lint_repository",
    "list_models",
    "prune",
    "publish",
    "read_option_file",
    "rollback",
    "supervise",
    "verify_repository",
    "write_backend",
    "write_option_file",
]
