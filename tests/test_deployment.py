"""What `deploy/` and the compose files say holds together, and is read by the programs that are to read it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from policylayer.config import load
from tests.support.require import found

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = ("docker-compose.yml", "docker-compose.replicas.yml")
SET = {"POSTGRES_PASSWORD": "a-password", "POLICYLAYER_KEYS": "00" * 32}
ENVIRONMENT = {
    "POLICYLAYER_DATABASE": "postgresql://policylayer:x@postgres:5432/policylayer",
    "POLICYLAYER_KEYS": "00" * 32,
    "POLICYLAYER_PUBLIC_URL": "https://proxy.example.com",
}
HAPROXY = ROOT / "deploy" / "replicas" / "haproxy.cfg"


def read(name: str) -> dict[str, Any]:
    """A compose file, with its anchors followed."""
    loaded: dict[str, Any] = yaml.load((ROOT / name).read_text(), yaml.SafeLoader)
    return loaded


def compose() -> list[str]:
    """The command that reads compose files; skips where there is none."""
    docker = found("docker")
    if docker and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0:
        return [docker, "compose"]
    if (alone := found("docker-compose")) is not None:
        return [alone]
    pytest.skip("`docker compose` is not installed")


@pytest.mark.shows("audit.4")
@pytest.mark.parametrize("name", COMPOSE)
def test_compose_reads_it_and_has_no_default_for_a_secret(name: str) -> None:
    command = [*compose(), "-f", name, "config"]
    known = {key: value for key, value in os.environ.items() if key not in SET}
    good = subprocess.run(command, cwd=ROOT, env={**known, **SET}, capture_output=True, text=True, check=False)
    assert good.returncode == 0, good.stderr
    assert set(yaml.load(good.stdout, yaml.SafeLoader)["services"]) == set(read(name)["services"])
    for missing in SET:
        env = {**known, **{key: value for key, value in SET.items() if key != missing}}
        bad = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        assert bad.returncode != 0
        assert missing in bad.stderr


@pytest.mark.parametrize("name", COMPOSE)
def test_its_files_are_there_and_its_services_are_what_they_depend_on(name: str) -> None:
    services = read(name)["services"]
    for service, content in services.items():
        mounts = [volume.split(":")[0] for volume in content.get("volumes", ())]
        assert all((ROOT / mount).exists() for mount in mounts if mount.startswith(".")), service
        assert set(content.get("depends_on", ())) <= set(services)
        assert "build" in content or ":" in content["image"], f"{service} runs whatever is newest"
        for port in content.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{service} is reachable from elsewhere"
        published = service in ("proxy", "front")
        assert bool(content.get("ports")) == published


@pytest.mark.shows("audit.4")
def test_replicas_differ_in_nothing() -> None:
    services = read("docker-compose.replicas.yml")["services"]
    proxies = [content for name, content in services.items() if name.startswith("proxy-")]
    assert len(proxies) == 3
    assert all(each == proxies[0] for each in proxies)
    front = services["front"]["environment"]
    assert [front[f"REPLICA_{n}"] for n in (1, 2, 3)] == [f"proxy-{n}:8080" for n in (1, 2, 3)]
    alone = read("docker-compose.yml")["services"]["proxy"]
    assert alone["environment"] == proxies[0]["environment"]
    assert alone["volumes"] == proxies[0]["volumes"]


@pytest.mark.parametrize("name", COMPOSE)
def test_the_policies_that_are_mounted_are_one_set_and_are_in_order(name: str, tmp_path: Path) -> None:
    """As the container has them: beside the configuration."""
    services = read(name)["services"]
    volumes = (services.get("proxy") or services["proxy-1"])["volumes"]
    for volume in volumes:
        source, target, _ = volume.split(":")
        (tmp_path / Path(target).name).symlink_to(ROOT / source)
    checked = subprocess.run(
        [sys.executable, "-m", "policylayer", "check", "-c", "policylayer.yaml"],
        cwd=tmp_path,
        env={**os.environ, **ENVIRONMENT, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_its_configuration_loads(tmp_path: Path) -> None:
    (tmp_path / "policies").symlink_to(ROOT / "policies" / "shop")
    (tmp_path / "policylayer.yaml").write_text((ROOT / "deploy" / "policylayer.yaml").read_text())
    config = load(tmp_path / "policylayer.yaml", ENVIRONMENT)
    assert config.database.startswith("postgresql://")
    assert config.behind_proxy


@pytest.mark.shows("audit.4")
def test_haproxy_reads_its_configuration() -> None:
    haproxy = found("haproxy")
    if haproxy is None:
        pytest.skip("`haproxy` is not installed")
    where = {"FRONT_BIND": "127.0.0.1:8080", **{f"REPLICA_{n}": f"127.0.0.1:808{n}" for n in (1, 2, 3)}}
    done = subprocess.run([haproxy, "-c", "-f", str(HAPROXY)], env=where, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ALERT" not in done.stderr
    assert "WARNING" not in done.stderr
