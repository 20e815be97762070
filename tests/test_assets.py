"""`quantum-monitor assets`: what it writes, what it refuses to overwrite, and where its links lead."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from quantum_monitor import assets
from tests.conftest import ROOT

Completed = subprocess.CompletedProcess[str]


def command(*arguments: object) -> Completed:
    return subprocess.run(
        [sys.executable, "-m", "quantum_monitor.cli", "assets", *map(str, arguments)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def files_in(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


def test_every_file_is_written_and_listed(tmp_path: Path) -> None:
    done = command(tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    written = files_in(tmp_path / "out")
    assert written == set(assets.texts())
    assert all(f"{tmp_path / 'out' / name}\n" in done.stdout for name in written)
    expected = {
        "alertmanager/alertmanager.yml", "alertmanager/rules/run.rules.yml", "alertmanager/templates/slack.tmpl",
        "dashboards/json/overview.json", "docker-compose.yml", "docs/runbooks/gradient_explosion.md",
        "prometheus/prometheus.yml", "targets/.gitignore",
    }  # fmt: skip
    assert expected <= written


def test_a_second_time_there_is_nothing_to_do(tmp_path: Path) -> None:
    command(tmp_path)
    done = command(tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("0 files written")


def test_a_changed_file_is_kept_and_nothing_else_is_written_unless_forced(tmp_path: Path) -> None:
    changed = tmp_path / "prometheus/prometheus.yml"
    changed.parent.mkdir()
    changed.write_text("mine\n", encoding="utf-8")
    done = command(tmp_path)
    assert done.returncode == 1
    assert "prometheus/prometheus.yml" in done.stderr
    assert "--force" in done.stderr
    assert (files_in(tmp_path), changed.read_text(encoding="utf-8")) == ({"prometheus/prometheus.yml"}, "mine\n")
    assert command(tmp_path, "--force").returncode == 0
    assert changed.read_text(encoding="utf-8") == (ROOT / "prometheus/prometheus.yml").read_text(encoding="utf-8")


def test_a_link_in_the_way_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("not ours\n", encoding="utf-8")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/docker-compose.yml").symlink_to(elsewhere)
    assert command(tmp_path / "out", "--force").returncode == 0
    assert elsewhere.read_text(encoding="utf-8") == "not ours\n"


def test_a_link_that_leads_nowhere_is_kept_unless_forced(tmp_path: Path) -> None:
    link = tmp_path / "docker-compose.yml"
    link.symlink_to(tmp_path / "nowhere")
    done = command(tmp_path)
    assert (done.returncode, "docker-compose.yml" in done.stderr, link.is_symlink()) == (1, True, True)
    assert command(tmp_path, "--force").returncode == 0
    assert link.is_file()
    assert not link.is_symlink()


@pytest.mark.parametrize("kind", ["a folder for a file", "a file for a folder", "a dangling link for a folder"])
def test_what_is_in_the_way_is_named_before_anything_is_written(tmp_path: Path, kind: str) -> None:
    if kind == "a folder for a file":
        obstacle = tmp_path / "docker-compose.yml"
        obstacle.mkdir()
    else:
        obstacle = tmp_path / "docs"
        obstacle.symlink_to("nowhere") if "link" in kind else obstacle.write_text("mine\n", encoding="utf-8")
    done = command(tmp_path, "--force")
    assert done.returncode == 1
    [told] = done.stderr.splitlines()
    assert told.startswith(f"quantum-monitor: nothing was written: {obstacle} is ")
    assert told.endswith("or give another folder")
    assert list(tmp_path.iterdir()) == [obstacle]


def test_a_disk_that_fills_up_half_way_is_told_and_leaves_nothing_of_ours(tmp_path: Path) -> None:
    """The limit on the size of files is that of a full disk: some files fit, a later one does not."""
    contents = assets.texts()
    kept = tmp_path / "prometheus/prometheus.yml"
    kept.parent.mkdir()
    kept.write_text("mine\n", encoding="utf-8")
    limit = max(len(text.encode()) for text in contents.values()) - 1
    code = (
        "import resource, sys; from quantum_monitor.cli import main;"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}));"
        "sys.exit(main(['assets', '--force', sys.argv[1]]))"
    )
    whole = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(whole, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    largest = max(contents, key=lambda name: len(contents[name].encode()))
    assert f"nothing was written: {tmp_path / largest}: File too large; make room there" in done.stderr
    assert (files_in(tmp_path), kept.read_text(encoding="utf-8")) == ({"prometheus/prometheus.yml"}, "mine\n")
    assert {path.name for path in tmp_path.rglob("*")} == {"prometheus", "prometheus.yml"}


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    done = command("/proc/quantum")
    assert done.returncode == 1
    assert done.stderr.startswith("quantum-monitor: nothing was written: /proc/quantum/alertmanager/")
    assert done.stderr.endswith("give a folder that you may write to\n")


def test_no_file_speaks_of_what_only_a_checkout_has() -> None:
    contents = assets.texts()
    for name, text in contents.items():
        here = Path(name).parent
        for link in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", text) if name.endswith(".md") else ():
            assert os.path.normpath(here / link) in contents, name
        assert not re.search(r"(?<![\w/.-])docs/\w+\.md|make (?:up|down|generate|dashboards)\b", text), name
    assert f"{assets.DOCS_URL}/usage.md#prometheus" in contents["docs/runbooks/exporter_down.md"]
    assert f"{assets.DOCS_URL}/alerting.md" in contents["alertmanager/alertmanager.yml"]
    head, _, rest = contents["docker-compose.yml"].partition("\n\n")
    assert "trainer" not in head.lower()
    assert "docker compose up" in head
    assert rest.startswith("x-service: &service\n")


def test_the_head_of_the_compose_file_says_how_to_make_the_secrets_that_it_mounts(tmp_path: Path) -> None:
    assert command(tmp_path).returncode == 0
    text = (tmp_path / "docker-compose.yml").read_text(encoding="utf-8")
    told = re.findall(r"^#   ((?:mkdir|install) .+?)(?:  .*)?$", text, re.MULTILINE)
    script = "\n".join(["umask 077", "set -e", *told])
    subprocess.run(["sh", "-c", script], cwd=tmp_path, check=True, timeout=60)
    for secret in yaml.safe_load(text)["secrets"].values():
        assert (tmp_path / secret["file"]).stat().st_mode & 0o777 == 0o644
        assert (tmp_path / secret["file"]).parent.stat().st_mode & 0o777 == 0o700


def test_links_lead_to_the_grafana_and_the_runbooks_that_were_named(
    tmp_path: Path, server_binary: Callable[[str], Path]
) -> None:
    grafana, runbooks = "https://grafana.example.org/base", "http://wiki.example.org:8080/runbooks"
    assert command(tmp_path, "--grafana-url", grafana + "/", "--runbook-url", runbooks).returncode == 0
    everything = "".join((tmp_path / name).read_text(encoding="utf-8") for name in files_in(tmp_path))
    assert assets.GRAFANA_URL not in everything
    assert assets.RUNBOOK_URL not in everything
    rules = list((tmp_path / "alertmanager/rules").glob("*.rules.yml"))
    for file in rules:
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    assert rule["annotations"]["runbook_url"].startswith(f"{runbooks}/")
                    assert rule["annotations"]["dashboard_url"].startswith(f"{grafana}/d/quantum-")
    check: list[str | Path] = [server_binary("promtool"), "check", "rules", *rules]
    assert subprocess.run(check, capture_output=True, timeout=60, check=False).returncode == 0
    for file in (tmp_path / "dashboards/json").glob("*.json"):
        json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "url",
    ["ftp://x", "javascript:alert(1)", "http://", "grafana.example.org", "http://a b", 'http://x/"', "http://x/{{.}}",
     "http://x:99999", "http://user:word@x", "http://x/?a=b", "http://x/%zz", "http://x/%", "http://x\n", ""],
)  # fmt: skip
def test_an_address_that_is_none_is_refused_before_anything_is_written(tmp_path: Path, url: str) -> None:
    done = command(tmp_path / "out", "--grafana-url", url)
    assert done.returncode == 1
    assert done.stderr.startswith("quantum-monitor: --grafana-url: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "url", ["http://localhost:3000", "https://x.org/a/b%20c/", "http://[::1]:3000", "http://10.0.0.1"]
)
def test_an_address_with_host_port_and_path_is_taken(url: str) -> None:
    assert assets.checked_url("--grafana-url", url) == url.rstrip("/")


def test_the_compose_file_is_whole_without_the_demo_that_needs_a_checkout(
    tmp_path: Path, server_binary: Callable[[str], Path]
) -> None:
    assert command(tmp_path).returncode == 0
    compose = yaml.safe_load((tmp_path / "docker-compose.yml").read_text(encoding="utf-8"))
    original = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    del original["services"]["trainer"]
    assert compose == original
    config: list[str | Path] = [server_binary("docker-compose"), "config", "-q"]
    done = subprocess.run(config, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_the_wheel_takes_the_same_paths_along() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    _, _, wheel = pyproject.partition("[tool.hatch.build.targets.wheel]")
    taken, _, rest = wheel.partition("]\n")
    assert '"docker-compose.yml" = "quantum_monitor/_assets/docker-compose.yml"' in rest
    packages = {"exporter/quantum_monitor", "exporter/quantum_mlops"}
    assert {*re.findall(r'"([^"]+)"', taken), "docker-compose.yml"} == {*packages, *assets.PATHS}
