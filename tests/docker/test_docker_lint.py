"""`docker/lint` accepts the files of `docker/` and finds each kind of mistake."""

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
    "an instruction that hadolint warns about": (
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
    "a secret in the image": ("images", "client.Dockerfile", "ENV PATH", "ENV API_TOKEN=abc\nENV PATH", "a secret"),
    "a server without a health check": ("images", "server.Dockerfile", "HEALTHCHECK", "LABEL", "HEALTHCHECK"),
    "a server with camserve's backend without a health check": (
        "images",
        "camserve-backend.Dockerfile",
        "HEALTHCHECK",
        "LABEL",
        "HEALTHCHECK",
    ),
    "a script with a syntax error": ("images", "start-server.sh", "\nfi\n", "\n", "syntax error"),
    "an unknown compose key": ("compose", "compose.yaml", "restart:", "restarts:", "restarts"),
    "a repeated key": ("compose", "compose.yaml", 'user: "472:0"', 'user: "472:0"\n    user: "0"', "repeated"),
    "a port open to other hosts": ("compose", "compose.yaml", "127.0.0.1:3000:3000", "3000:3000", "3000:3000"),
    "a service with a writable root": ("compose", "compose.yaml", "read_only: true\n  cap", "cap", "read_only"),
    "a service with capabilities": ("compose", "compose.yaml", "cap_drop: [ALL]", "cap_drop: [CHOWN]", "cap_drop"),
    "a service without limits": ("compose", "compose.yaml", ", pids: 64", "", "limits"),
    "an image without a version": ("compose", "compose.yaml", "prometheus:v3.13.1", "prometheus:latest", "no version"),
    "a mount of a missing folder": (
        "compose",
        "compose.yaml",
        "./prometheus:/etc",
        "./promethea:/etc",
        "does not exist",
    ),
    "a writable repository": ("compose", "compose.yaml", "      read_only: true\n", "", "read-only"),
    "a GPU in the profile cpu": (
        "compose",
        "compose.yaml",
        "profiles: [gpu]",
        "profiles: [cpu]",
        "reserve a GPU",
    ),
    "an unknown profile": (
        "compose",
        "compose.yaml",
        "profiles: [gpu-fixed-sizes]",
        "profiles: [tpu]",
        "profiles must be",
    ),
    "an unknown Kubernetes field": (
        "kubernetes",
        "kubernetes/base/deployment.yaml",
        "failureThreshold: 6\n",
        "failureThreshhold: 6\n",
        "failureThreshhold",
    ),
    "a value of the wrong type": (
        "kubernetes",
        "kubernetes/base/service.yaml",
        "port: 8001",
        "port: http",
        "8001|integer",
    ),
    "a removed API version": (
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
    "models mounted writable": (
        "kubernetes",
        "kubernetes/base/deployment.yaml",
        "mountPath: /models\n              readOnly: true",
        "mountPath: /models",
        "read-only",
    ),
    "an invalid patch": (
        "kubernetes",
        "kubernetes/overlays/gpu/deployment.yaml",
        "operator: Exists",
        "operators: Exists",
        "operators",
    ),
    "a patch without a target": (
        "kubernetes",
        "kubernetes/overlays/cpu/deployment.yaml",
        "name: camserve",
        "name: camserved",
        "camserved",
    ),
    "a missing resource": (
        "kubernetes",
        "kubernetes/base/kustomization.yaml",
        "service.yaml",
        "services.yaml",
        "services.yaml",
    ),
    "an unknown KServe field": (
        "kubernetes",
        "kubernetes/kserve/inference-service.yaml",
        "storageUri",
        "storageURL",
        "storageURL",
    ),
    "a runtime with an invalid pod": (
        "kubernetes",
        "kubernetes/kserve/serving-runtime.yaml",
        "containerPort: 9000",
        "port: 9000",
        "containerPort|port",
    ),
    "invalid PromQL in the autoscaler's metric": (
        "kubernetes",
        "kubernetes/monitoring/prometheus-adapter.yaml",
        "[2m]))\n",
        "))\n",
        "matrix",
    ),
    "an unknown Prometheus setting": (
        "prometheus",
        "prometheus/prometheus.yml",
        "rule_files",
        "rules_files",
        "rules_files",
    ),
    "invalid PromQL in a rule": ("prometheus", "prometheus/rules.yml", "up{job=", "up{job~", "TritonDown"),
    "a rule without a severity": ("prometheus", "prometheus/rules.yml", "{severity: critical}", "{}", "severity"),
    "a rule for a job that is not scraped": (
        "prometheus",
        "prometheus/rules.yml",
        'job="triton"',
        'job="tritons"',
        "tritons",
    ),
    "an alert missing in the README": (
        "prometheus",
        "prometheus/rules.yml",
        "alert: TritonDown",
        "alert: TritonLost",
        "README",
    ),
    "a target without a service": ("prometheus", "prometheus/prometheus.yml", "server:8002", "serve:8002", "serve"),
    "invalid PromQL in a query": (
        "dashboards",
        "grafana/dashboards/camserve.json",
        "sum(rate(nv_inference_count",
        "sum(rate((nv_inference_count",
        "Images/s",
    ),
    "a datasource that is not provisioned": (
        "dashboards",
        "grafana/provisioning/datasources/prometheus.yaml",
        "uid: prometheus",
        "uid: prom",
        "not provisioned",
    ),
    "a panel without a query": ("dashboards", "grafana/dashboards/camserve.json", '"expr":', '"query":', "expr"),
    "overlapping panels": ("dashboards", "grafana/dashboards/camserve.json", '"x": 12', '"x": 11', "overlap"),
}


def test_the_files_of_docker_have_no_faults() -> None:
    result = subprocess.run([sys.executable, ROOT / "docker" / "lint"], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(mistake: str, tmp_path: Path) -> None:
    check, name, text, replacement, expected = MISTAKES[mistake]
    root = tmp_path / "docker"
    shutil.copytree(ROOT / "docker", root, ignore=shutil.ignore_patterns("lint"))
    (tmp_path / "model_repository").mkdir()
    path = root / name
    content = path.read_text()
    assert text in content
    path.write_text(content.replace(text, replacement))
    faults = run.CHECKS[check](root)
    assert [fault for fault in faults if any(word in fault for word in expected.split("|"))], faults


def test_faults_give_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "docker"
    shutil.copytree(ROOT / "docker", root, ignore=shutil.ignore_patterns("lint"))
    (tmp_path / "model_repository").mkdir()
    assert run.main(root) == 0
    (root / "start-server.sh").chmod(0o644)
    assert run.main(root) == 1
    assert "start-server.sh is not executable" in capsys.readouterr().err


def test_merge_changes_only_what_the_patch_names() -> None:
    resource = {"a": 1, "containers": [{"name": "x", "image": "i"}, {"name": "y"}], "args": [1, 2]}
    change = {"containers": [{"name": "x", "cpu": 2}, {"name": "z"}], "args": [3]}
    assert merge(resource, change) == {
        "a": 1,
        "containers": [{"name": "z"}, {"name": "x", "image": "i", "cpu": 2}, {"name": "y"}],
        "args": [3],
    }
