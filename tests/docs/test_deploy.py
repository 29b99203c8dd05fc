"""The files of deploy/ are well-formed, agree with each other, and start the gateway with settings that there are."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from dockerfile_parse import DockerfileParser

from distil.config import override_config
from distil.serve.server import GRACE_S

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PROJECT: dict[str, object] = {"prompts": {"path": "p.jsonl"}, "teachers": [{"model": "openai/gpt-5-mini"}]}
REQUIRED = {
    "Secret": ("v1", ["metadata.name", "type", "stringData"]),
    "PersistentVolumeClaim": ("v1", ["metadata.name", "spec.accessModes", "spec.resources.requests.storage"]),
    "Deployment": ("apps/v1", ["metadata.name", "spec.selector.matchLabels", "spec.template.spec.containers"]),
    "Service": ("v1", ["metadata.name", "spec.selector", "spec.ports"]),
}
"""Kind -> its API version and fields that it can't be without, of Kubernetes 1.34's API."""


def starts(arguments: Sequence[str]) -> None:
    """Asserts that `distil serve` takes these arguments; on all addresses and on the port that the files open."""
    assert arguments[0] == "serve"
    settings = [after for word, after in pairwise(arguments) if word == "--set"]
    section = override_config(dict(PROJECT), "deploy", settings).serve
    assert (section.host, section.port, section.log) == ("0.0.0.0", 8000, "json")


def at(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = value[name]
    return value


@pytest.fixture(scope="module")
def cluster() -> dict[str, dict[str, Any]]:
    documents = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")))
    return {document["kind"]: document for document in documents}


@pytest.fixture(scope="module")
def pod(cluster: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return dict(cluster["Deployment"]["spec"]["template"]["spec"])


def test_the_image_is_slim_checked_and_not_of_root() -> None:
    parsed = DockerfileParser(path=str(DEPLOY), cache_content=True)
    values = {step["instruction"]: step["value"] for step in parsed.structure}
    assert len(parsed.parent_images) == 2 and all(image.endswith("-slim") for image in parsed.parent_images)
    assert int(values["USER"].partition(":")[0]) >= 1000
    assert "http://127.0.0.1:8000/healthz" in values["HEALTHCHECK"] and values["EXPOSE"] == "8000"
    assert yaml.safe_load(values["ENTRYPOINT"]) == ["distil"]
    starts(yaml.safe_load(values["CMD"]))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert values["ARG"].partition("=")[2] in extras
    for copied in (w for s in parsed.structure if s["instruction"] == "COPY" for w in s["value"].split()[:-1]):
        assert copied.startswith("--from") or copied == "/opt/distil" or (ROOT / copied).exists(), copied


def test_compose_starts_the_student_and_then_the_gateway() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    gateway, student = services["gateway"], services["student"]
    starts([re.sub(r"\$\{\w+:-(.*?)\}", r"\1", word) for word in gateway["command"]])
    assert (DEPLOY / gateway["build"]["context"] / gateway["build"]["dockerfile"]).exists()
    assert gateway["depends_on"] == {"student": {"condition": "service_healthy"}} and "healthcheck" in student
    assert all(port.startswith("127.0.0.1:") for port in gateway["ports"])
    port = student["command"][student["command"].index("--port") + 1]
    assert f"serve.engine=http://student:{port}/v1#${{STUDENT:-student}}" in gateway["command"]
    assert int(gateway["stop_grace_period"].removesuffix("s")) > GRACE_S


def test_the_manifests_have_what_kubernetes_needs(cluster: dict[str, dict[str, Any]], pod: dict[str, Any]) -> None:
    assert set(cluster) == set(REQUIRED)
    for kind, (version, fields) in REQUIRED.items():
        assert cluster[kind]["apiVersion"] == version
        assert all(at(cluster[kind], field) for field in fields), kind
    (gateway,) = pod["containers"]
    starts(gateway["args"])
    labels = cluster["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert cluster["Deployment"]["spec"]["selector"]["matchLabels"] == cluster["Service"]["spec"]["selector"] == labels
    assert cluster["Service"]["spec"]["ports"][0]["targetPort"] == gateway["ports"][0]["name"]
    assert gateway["ports"][0]["containerPort"] == 8000
    probed = {name: gateway[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert probed == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}


def test_the_pod_is_restricted_and_finds_its_volumes(cluster: dict[str, dict[str, Any]], pod: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"] and pod["terminationGracePeriodSeconds"] > GRACE_S
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for container in [*pod["containers"], *pod["initContainers"]]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert {mount["name"] for mount in container["volumeMounts"]} <= set(volumes)
    claim, secret = cluster["PersistentVolumeClaim"]["metadata"]["name"], cluster["Secret"]
    assert volumes["project"]["persistentVolumeClaim"]["claimName"] == claim
    assert volumes["keys"]["secret"]["secretName"] == secret["metadata"]["name"]
    wanted = [entry["valueFrom"]["secretKeyRef"] for entry in pod["containers"][0]["env"]]
    assert all(ref["name"] == secret["metadata"]["name"] and ref["key"] in secret["stringData"] for ref in wanted)
    assert cluster["Deployment"]["spec"]["replicas"] == 1  # one ledger


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    text = (DEPLOY / "distil-gateway.service").read_text(encoding="utf-8")
    settings = dict(unit_lines(text))
    assert int(settings["TimeoutStopSec"]) > GRACE_S and settings["User"] != "root"
    assert override_config(dict(PROJECT), "unit", re.findall(r"--set (\S+)", settings["ExecStart"])).serve.log == "text"
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "distil-gateway.service"
    unit.write_text(text.replace("/opt/distil/bin/distil", sys.executable), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == "", done.stderr


def unit_lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            yield name, value
