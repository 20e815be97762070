"""The compose stack, as far as it can be judged without an engine: mounted files, images, ports, rights, secrets."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from scripts import servers
from tests.conftest import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PINNED = re.compile(r"[a-z/]+:v?\d+\.\d+\.\d+(-[a-z-]+)?")


def mounts(service: str) -> Iterator[tuple[str, str]]:
    """Source and target of each folder and file of the checkout that a service sees."""
    for volume in SERVICES[service].get("volumes", []):
        default = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", volume)
        source, target, *_ = default.split(":")
        if source.startswith("./"):
            yield source, target


def provisioned(kind: str) -> Any:
    [file] = (ROOT / "dashboards/provisioning" / kind).glob("*.yml")
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def references(value: object) -> Iterator[str]:
    """The uid of every data source that a dashboard names."""
    if isinstance(value, dict):
        source = value.get("datasource")
        if isinstance(source, dict) and source.get("uid"):
            yield source["uid"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_docker_compose_reads_it_and_the_answer_fits_the_compose_schema(server_binary: Callable[[str], Path]) -> None:
    program = server_binary("docker-compose")
    done = subprocess.run([program, "config"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert set(yaml.safe_load(done.stdout)["services"]) == set(SERVICES)
    schema = servers.FOLDER / "share/docker-compose/compose/config/compose_spec.json"
    if schema.is_file():  # version 1 carries it; version 2 has just judged by its own
        jsonschema.Draft7Validator(json.loads(schema.read_text(encoding="utf-8"))).validate(COMPOSE)


def test_it_has_every_part_of_the_stack() -> None:
    assert set(SERVICES) == {"trainer", "prometheus", "alertmanager", "grafana", "pushgateway", "mailpit"}


@pytest.mark.parametrize("service", SERVICES)
def test_nothing_is_published_beyond_loopback(service: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[service]["ports"])
    assert "network_mode" not in SERVICES[service]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_no_more_rights_than_it_needs(service: str) -> None:
    settings = SERVICES[service]
    assert settings["cap_drop"] == ["ALL"]
    assert settings["security_opt"] == ["no-new-privileges:true"]
    assert settings["read_only"] is (service != "grafana")
    assert {"cpus", "mem_limit", "pids_limit"} <= set(settings)
    assert not any("docker.sock" in volume for volume in settings.get("volumes", []))
    assert all(target.startswith("/") for _, target in mounts(service))
    writable = [
        volume for volume in settings.get("volumes", []) if volume.startswith("./") and not volume.endswith(":ro")
    ]
    assert writable == []


def test_grafana_has_room_for_its_plug_ins_which_are_processes_of_their_own() -> None:
    """Grafana 13.2 idles at 330 MiB."""
    settings = SERVICES["grafana"]
    others = max(other["pids_limit"] for service, other in SERVICES.items() if service != "grafana")
    assert settings["mem_limit"] == "1g"
    assert settings["pids_limit"] >= 4 * others


def test_every_image_is_an_exact_version() -> None:
    images = [settings["image"] for settings in SERVICES.values() if "build" not in settings]
    images += re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert [image for image in images if not PINNED.fullmatch(image)] == []


def test_every_service_says_whether_it_is_well() -> None:
    unwatched = {service for service, settings in SERVICES.items() if "healthcheck" not in settings}
    assert unwatched == {"trainer"}
    assert "HEALTHCHECK" in DOCKERFILE


@pytest.mark.parametrize("service", SERVICES)
def test_every_mounted_path_exists(service: str) -> None:
    assert [source for source, _ in mounts(service) if not (ROOT / source).exists()] == []


def test_every_secret_has_an_example_and_the_real_one_is_kept_out_of_git_and_of_the_image() -> None:
    for secret in COMPOSE["secrets"].values():
        file = Path(secret["file"])
        assert (ROOT / file.parent.with_name("secrets.example") / file.name).is_file()
        for ignoring in (".gitignore", ".dockerignore"):
            lines = (ROOT / ignoring).read_text(encoding="utf-8").splitlines()
            assert file.parent.as_posix() in {line.strip("/") for line in lines}, ignoring


def test_alertmanager_finds_every_secret_that_its_configuration_names() -> None:
    named = re.findall(r"/etc/alertmanager/secrets/\w+", (ROOT / "alertmanager/alertmanager.yml").read_text())
    mounted = {secret["target"] for secret in SERVICES["alertmanager"]["secrets"]}
    assert set(named) <= mounted


def test_prometheus_reads_only_what_is_mounted(server_binary: Callable[[str], Path]) -> None:
    file = ROOT / "prometheus/prometheus.yml"
    command: list[str | Path] = [server_binary("promtool"), "check", "config", "--syntax-only", file]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    targets = {target for _, target in mounts("prometheus")} | {"/etc/prometheus/targets/containers"}
    [watch] = config["scrape_configs"][0]["file_sd_configs"]
    assert {str(Path(pattern).parent) for pattern in config["rule_files"] + watch["files"]} <= targets
    scraped = {t for job in config["scrape_configs"] for s in job.get("static_configs", []) for t in s["targets"]}
    assert {target.partition(":")[0] for target in scraped} - {"localhost"} <= set(SERVICES)


@pytest.mark.parametrize("name", ["alertmanager.yml", "alertmanager.local.yml"])
def test_alertmanager_accepts_what_it_is_given(server_binary: Callable[[str], Path], name: str) -> None:
    command: list[str | Path] = [server_binary("amtool"), "check-config", ROOT / "alertmanager" / name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_grafana_has_the_data_sources_and_the_home_that_the_dashboards_count_on() -> None:
    sources = {source["uid"]: source for source in provisioned("datasources")["datasources"]}
    assert set(sources) == {"prometheus", "alertmanager"}
    assert sources["prometheus"]["jsonData"]["alertmanagerUid"] == "alertmanager"
    assert {source["url"].split("/")[2].partition(":")[0] for source in sources.values()} == set(sources)
    seen = dict(mounts("grafana"))
    [provider] = provisioned("dashboards")["providers"]
    assert provider["options"]["path"] == seen["./dashboards/json"]
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert home.parent.as_posix() == seen["./dashboards/json"]
    assert json.loads((ROOT / "dashboards/json" / home.name).read_text(encoding="utf-8"))["uid"] == "quantum-overview"
    for file in (ROOT / "dashboards/json").glob("*.json"):
        named = set(references(json.loads(file.read_text(encoding="utf-8"))))
        assert named <= {*sources, "${datasource}", "-- Grafana --", "-- Dashboard --", "-- Mixed --"}, file.name


def test_anonymous_visitors_of_grafana_can_only_look_and_the_password_is_in_no_variable() -> None:
    environment = SERVICES["grafana"]["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/run/secrets/grafana_admin_password"
    assert "GF_SECURITY_ADMIN_PASSWORD" not in environment


def test_make_up_without_docker_says_in_one_line_what_is_missing_and_makes_no_secrets(tmp_path: Path) -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("no make here")
    command = [make, f"--makefile={ROOT / 'Makefile'}", "up"]
    environ = {"PATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False)
    told, status = done.stderr.splitlines()
    assert told.startswith("No docker compose here: install Docker")
    assert "Error 1" in status
    assert list(tmp_path.iterdir()) == []


def test_hadolint_has_nothing_to_say_about_the_dockerfile() -> None:
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_is_given_every_file_that_its_build_copies_and_runs_as_nobody_special() -> None:
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    }
    allowed = [
        line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")
    ]
    assert [source for source in copied if not (ROOT / source).exists()] == []
    assert [s for s in copied if not any(Path(a).is_relative_to(s) or Path(s).is_relative_to(a) for a in allowed)] == []
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == ["10001:10001"]
