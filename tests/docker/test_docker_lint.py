"""The checks of `docker/`: its files pass them, and each kind of mistake is found."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from deployment import run
from deployment.kustomize import merge

ROOT = Path(__file__).parents[2]

MISTAKES = {
    "an instruction that hadolint warns of": (
        "images",
        "client.Dockerfile",
        "WORKDIR /tmp\nCMD",
        "WORKDIR /tmp\nRUN cd /tmp && sudo ls\nCMD",
        "DL3004",
    ),
    "a base without a version": (
        "images",
        "server.Dockerfile",
        "TRITON_TAG=26.07-py3",
        "TRITON_TAG=latest",
        "no version",
    ),
    "a server that runs as root": ("images", "server.Dockerfile", "USER 1000:1000", "USER root", "not root"),
    "a secret in the image": ("images", "client.Dockerfile", "ENV PATH", "ENV API_TOKEN=abc\nENV PATH", "baked in"),
    "a server without a health check": ("images", "server.Dockerfile", "HEALTHCHECK", "LABEL", "HEALTHCHECK"),
    "a script that bash cannot read": ("images", "start-server.sh", "\nfi\n", "\n", "syntax error"),
    "a key that compose does not know": ("compose", "compose.yaml", "restart:", "restarts:", "restarts"),
    "a key that stands twice": ("compose", "compose.yaml", 'user: "472:0"', 'user: "472:0"\n    user: "0"', "twice"),
    "a port that is open to the network": ("compose", "compose.yaml", "127.0.0.1:3000:3000", "3000:3000", "3000:3000"),
    "a service whose root can be written": ("compose", "compose.yaml", "read_only: true\n  cap", "cap", "read_only"),
    "a service with capabilities": ("compose", "compose.yaml", "cap_drop: [ALL]", "cap_drop: [CHOWN]", "cap_drop"),
    "a service without limits": ("compose", "compose.yaml", ", pids: 64", "", "limits"),
    "an image without a version": ("compose", "compose.yaml", "prometheus:v3.13.1", "prometheus:latest", "no version"),
    "a mount of what is not there": ("compose", "compose.yaml", "./prometheus:/etc", "./promethea:/etc", "not there"),
    "a repository that can be written": ("compose", "compose.yaml", "      read_only: true\n", "", "may write"),
    "a profile cpu that wants a GPU": (
        "compose",
        "compose.yaml",
        "profiles: [gpu]",
        "profiles: [cpu]",
        "reserves a GPU",
    ),
    "a field that Kubernetes does not know": (
        "kubernetes",
        "kubernetes/base/deployment.yaml",
        "failureThreshold: 6\n",
        "failureThreshhold: 6\n",
        "failureThreshhold",
    ),
    "a value of another type": (
        "kubernetes",
        "kubernetes/base/service.yaml",
        "port: 8001",
        "port: http",
        "8001|integer",
    ),
    "a version of an API that is gone": (
        "kubernetes",
        "kubernetes/base/horizontal-pod-autoscaler.yaml",
        "autoscaling/v2",
        "autoscaling/v2beta2",
        "v2beta2",
    ),
    "a pod that runs as root": (
        "kubernetes",
        "kubernetes/base/deployment.yaml",
        "runAsNonRoot: true",
        "runAsNonRoot: false",
        "root",
    ),
    "models that can be written": (
        "kubernetes",
        "kubernetes/base/deployment.yaml",
        "mountPath: /models\n              readOnly: true",
        "mountPath: /models",
        "mounted to be written",
    ),
    "a patch that Kubernetes refuses": (
        "kubernetes",
        "kubernetes/overlays/gpu/deployment.yaml",
        "operator: Exists",
        "operators: Exists",
        "operators",
    ),
    "a patch of what is not there": (
        "kubernetes",
        "kubernetes/overlays/cpu/deployment.yaml",
        "name: camserve",
        "name: camserved",
        "camserved",
    ),
    "a resource that is not there": (
        "kubernetes",
        "kubernetes/base/kustomization.yaml",
        "service.yaml",
        "services.yaml",
        "services.yaml",
    ),
    "a field that KServe does not know": (
        "kubernetes",
        "kubernetes/kserve/inference-service.yaml",
        "storageUri",
        "storageURL",
        "storageURL",
    ),
    "a runtime whose pod Kubernetes refuses": (
        "kubernetes",
        "kubernetes/kserve/serving-runtime.yaml",
        "containerPort: 9000",
        "port: 9000",
        "containerPort|port",
    ),
    "a metric of the autoscaler that is no PromQL": (
        "kubernetes",
        "kubernetes/monitoring/prometheus-adapter.yaml",
        "[2m]))\n",
        "))\n",
        "matrix",
    ),
    "a setting that Prometheus does not know": (
        "prometheus",
        "prometheus/prometheus.yml",
        "rule_files",
        "rules_files",
        "rules_files",
    ),
    "a rule that is no PromQL": ("prometheus", "prometheus/rules.yml", "up{job=", "up{job~", "TritonDown"),
    "a rule without a severity": ("prometheus", "prometheus/rules.yml", "{severity: critical}", "{}", "severity"),
    "a rule for a job that is not scraped": (
        "prometheus",
        "prometheus/rules.yml",
        'job="triton"',
        'job="tritons"',
        "tritons",
    ),
    "an alert that the README does not tell of": (
        "prometheus",
        "prometheus/rules.yml",
        "alert: TritonDown",
        "alert: TritonLost",
        "README",
    ),
    "a target that is no service": ("prometheus", "prometheus/prometheus.yml", "server:8002", "serve:8002", "serve"),
    "a query that is no PromQL": (
        "dashboards",
        "grafana/dashboards/camserve.json",
        "sum(rate(nv_inference_count",
        "sum(rate((nv_inference_count",
        "Images a second",
    ),
    "a datasource that is not provisioned": (
        "dashboards",
        "grafana/provisioning/datasources/prometheus.yaml",
        "uid: prometheus",
        "uid: prom",
        "not provisioned",
    ),
    "a panel without a query": ("dashboards", "grafana/dashboards/camserve.json", '"expr":', '"query":', "expr"),
    "panels that lie on each other": ("dashboards", "grafana/dashboards/camserve.json", '"x": 12', '"x": 11', "lie on"),
}


def test_every_file_passes() -> None:
    result = subprocess.run([sys.executable, ROOT / "docker" / "lint"], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(mistake: str, tmp_path: Path) -> None:
    check, name, right, wrong, told = MISTAKES[mistake]
    root = tmp_path / "docker"
    shutil.copytree(ROOT / "docker", root, ignore=shutil.ignore_patterns("lint"))
    (tmp_path / "model_repository").mkdir()
    path = root / name
    text = path.read_text()
    assert right in text
    path.write_text(text.replace(right, wrong))
    faults = run.CHECKS[check](root)
    assert [fault for fault in faults if any(word in fault for word in told.split("|"))], faults


def test_a_fault_ends_the_command_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "docker"
    shutil.copytree(ROOT / "docker", root, ignore=shutil.ignore_patterns("lint"))
    (tmp_path / "model_repository").mkdir()
    assert run.main(root) == 0
    (root / "start-server.sh").chmod(0o644)
    assert run.main(root) == 1
    assert "start-server.sh cannot be executed" in capsys.readouterr().err


def test_a_patch_is_put_over_what_it_names_and_leaves_the_rest() -> None:
    resource = {"a": 1, "containers": [{"name": "x", "image": "i"}, {"name": "y"}], "args": [1, 2]}
    change = {"containers": [{"name": "x", "cpu": 2}, {"name": "z"}], "args": [3]}
    assert merge(resource, change) == {
        "a": 1,
        "containers": [{"name": "z"}, {"name": "x", "image": "i", "cpu": 2}, {"name": "y"}],
        "args": [3],
    }
