"""Values that occur in several files of `docker/` agree with each other and with camserve."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from deployment import documents, kubernetes, kustomize
from support.command_line import run

from camserve.serving import TensorRT, write_backend

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
KUBERNETES = DOCKER / "kubernetes"
README = (DOCKER / "README.md").read_text(encoding="utf-8")
EXIT_TIMEOUT = 30


def base(kind: str) -> Any:
    return next(found for found in kustomize.resources(KUBERNETES / "base") if found["kind"] == kind)


def pod() -> Any:
    return base("Deployment")["spec"]["template"]["spec"]


def compose() -> Any:
    return documents.parse(documents.interpolate((DOCKER / "compose.yaml").read_text()), "compose.yaml")[0]


def test_all_files_use_the_same_release_of_triton() -> None:
    files = [*DOCKER.rglob("*.yaml"), DOCKER / "README.md", ROOT / "model_repository" / "README.md"]
    texts = [path.read_text() for path in files]
    named = [release for text in texts for release in re.findall(r"(?:tritonserver|camserve-server):([\d.]+)", text)]
    assert set(named) == {"26.07"}
    for name in ("server.Dockerfile", "camserve-backend.Dockerfile"):
        assert "TRITON_TAG=26.07-py3" in (DOCKER / name).read_text()


def test_stop_timeouts_exceed_tritons_exit_timeout() -> None:
    assert f"--exit-timeout-secs={EXIT_TIMEOUT}" in (DOCKER / "start-server.sh").read_text()
    pause = pod()["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod()["terminationGracePeriodSeconds"] > EXIT_TIMEOUT + pause
    for name in ("server-cpu", "server-gpu", "server-gpu-fixed-sizes"):
        assert int(compose()["services"][name]["stop_grace_period"].removesuffix("s")) > EXIT_TIMEOUT


def test_tensorrt_cache_path_is_the_mounted_volume() -> None:
    path = TensorRT().cache_path
    assert f"tensorrt-cache:{path}" in compose()["services"]["server-gpu"]["volumes"]
    assert path in (DOCKER / "server.Dockerfile").read_text()
    assert path in (KUBERNETES / "overlays" / "gpu" / "deployment.yaml").read_text()


def test_the_image_with_camserves_backend_is_assembled_as_the_command_does(tmp_path: Path) -> None:
    written = write_backend(tmp_path / "written")
    dockerfile = (DOCKER / "camserve-backend.Dockerfile").read_text()
    onnxruntime, numpy = written.requirements
    package, version = onnxruntime.split("==")
    assert f"ARG ONNXRUNTIME_GPU={version}\n" in dockerfile
    assert f'"{package}==${{ONNXRUNTIME_GPU}}" {numpy}\n' in dockerfile
    build = compose()["services"]["server-gpu-fixed-sizes"]["build"]
    assert build["args"]["ONNXRUNTIME_GPU"] == version
    assert (DOCKER / build["context"] / build["dockerfile"]).samefile(DOCKER / "camserve-backend.Dockerfile")
    assert (
        f"newTag: {written.triton}-camserve"
        in (KUBERNETES / "overlays" / "gpu-fixed-sizes" / "kustomization.yaml").read_text()
    )
    assert compose()["services"]["server-gpu-fixed-sizes"]["image"] == f"camserve-server:{written.triton}-camserve"
    image = written.image.replace(written.triton, "${TRITON_TAG}").removesuffix("-py3")
    assert f"FROM {image}${{TRITON_DIGEST}}" in dockerfile
    copied = dict(re.findall(r"^COPY (serving/\S+) (\S+)$", dockerfile, re.MULTILINE))
    assert copied == {
        "serving/backends/onnxruntime": f"/opt/tritonserver/backends/{written.name}",
        "serving/backends/camserve_backend": f"/opt/tritonserver/backends/{written.name}/camserve_backend",
    }
    for source, target in copied.items():
        folder = written.path / Path(target).relative_to(f"/opt/tritonserver/backends/{written.name}")
        for path in (ROOT / source).glob("*.py"):
            assert (folder / path.name).read_bytes() == path.read_bytes()


def test_the_autoscaler_uses_a_metric_of_the_adapter() -> None:
    (metric,) = base("HorizontalPodAutoscaler")["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] in kubernetes.adapter_queries(DOCKER)


def test_every_selector_matches_the_pods() -> None:
    labels = base("Deployment")["spec"]["template"]["metadata"]["labels"].items()
    selectors = [
        base("Deployment")["spec"]["selector"]["matchLabels"],
        base("Service")["spec"]["selector"],
        base("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        base("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ]
    assert all(selector and selector.items() <= labels for selector in selectors)
    assert base("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == base("Deployment")["metadata"]["name"]


def test_every_named_port_exists_in_the_pod() -> None:
    ports = {port["name"] for port in pod()["containers"][0]["ports"]}
    service = {port["name"]: port["targetPort"] for port in base("Service")["spec"]["ports"]}
    (monitor,) = documents.read(KUBERNETES / "monitoring" / "service-monitor.yaml")
    allowed = [port["port"] for rule in base("NetworkPolicy")["spec"]["ingress"] for port in rule["ports"]]
    assert set(service.values()) == ports
    assert set(allowed) == ports
    assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= set(service)
    assert monitor["spec"]["selector"]["matchLabels"].items() <= base("Service")["metadata"]["labels"].items()


def test_kserve_uses_its_runtime_and_the_same_image() -> None:
    (runtime,) = documents.read(KUBERNETES / "kserve" / "serving-runtime.yaml")
    (service,) = documents.read(KUBERNETES / "kserve" / "inference-service.yaml")
    model = service["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["modelFormat"]["name"] in {known["name"] for known in runtime["spec"]["supportedModelFormats"]}
    assert runtime["spec"]["containers"][0]["image"] == pod()["containers"][0]["image"]


@pytest.mark.parametrize("overlay", ["cpu", "gpu"])
def test_merge_agrees_with_kustomize(overlay: str) -> None:
    if shutil.which("kustomize") is None:
        pytest.skip("kustomize is not installed")
    command = ["kustomize", "build", str(KUBERNETES / "overlays" / overlay)]
    rendered = documents.parse(subprocess.run(command, capture_output=True, text=True, check=True).stdout, overlay)
    (made,) = kustomize.patched(KUBERNETES / "overlays" / overlay)
    assert next(found for found in rendered if found["kind"] == "Deployment") == made


def test_the_build_context_contains_exactly_what_pip_needs() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    kept = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert lines[0] == "*"
    assert kept == {
        "pyproject.toml",
        "requirements.lock",
        "README.md",
        "LICENSE",
        "src",
        "export",
        "serving",
        "clients",
        "docker/start-server.sh",
    }
    assert [name for name in kept if not (ROOT / name).exists()] == []


def test_the_readme_describes_every_compose_variable() -> None:
    variables = set(re.findall(r"\$\{(\w+):-", (DOCKER / "compose.yaml").read_text()))
    assert [name for name in sorted(variables) if f"`{name}`" not in README] == []


def commands(text: str) -> dict[str, set[str]]:
    """Return the options used in a document by camserve command."""
    found: dict[str, set[str]] = {}
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        for command, rest in re.findall(r"\bcamserve (repository \w+|[a-z]+)((?: [^`#]*)?)", line):
            found.setdefault(command, set()).update(re.findall(r"(?<= )--[a-z-]+", rest))
    return {command: options for command, options in found.items() if options}


@pytest.mark.parametrize("command", commands(README))
def test_the_readme_uses_existing_options(command: str) -> None:
    result = run(*command.split(), "--help")
    assert result.returncode == 0
    assert [option for option in sorted(commands(README)[command]) if f"{option} " not in result.stdout] == []


def test_commands_finds_options_on_continued_lines() -> None:
    assert commands("    camserve publish b \\\n      --repository r --nope\n") == {
        "publish": {"--repository", "--nope"}
    }


def test_the_cam_panel_explains_who_counts_the_requests() -> None:
    board = json.loads((DOCKER / "grafana" / "dashboards" / "camserve.json").read_text())
    (panel,) = [panel for panel in board["panels"] if panel["title"] == "CAM requests"]
    assert "camserve_cam_requests_total" in panel["targets"][0]["expr"]
    assert "camserve serve" in panel["description"]
