"""`make servers`: what is on PATH is used, what cannot be had is said in one line."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scripts import servers


def put_program(folder: Path, name: str, *, text: str = "version 9.9") -> Path:
    """Write a program that answers `--version`, for a machine on which real ones need not be."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{name}, {text}'\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an empty PATH; returns the one folder that PATH names."""
    path = tmp_path / "path"
    path.mkdir()
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.delenv("CI", raising=False)
    return path


def test_programs_on_path_are_used_and_nothing_is_downloaded(
    bare_machine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for program in ("prometheus", "promtool", "alertmanager", "amtool", "pushgateway", "docker-compose"):
        put_program(bare_machine, program)
    assert servers.main(tmp_path / "servers") == 0
    assert not (tmp_path / "servers").exists()
    assert str(bare_machine / "alertmanager") in capsys.readouterr().out


def test_a_program_on_path_comes_before_an_unpacked_one(bare_machine: Path, tmp_path: Path) -> None:
    unpacked = put_program(tmp_path / "servers/bin", "promtool")
    assert servers.find("promtool", tmp_path / "servers") == unpacked
    on_path = put_program(bare_machine, "promtool")
    assert servers.find("promtool", tmp_path / "servers") == on_path


@pytest.mark.usefixtures("bare_machine")
def test_a_machine_without_apt_is_told_why_in_one_line_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert servers.main(tmp_path / "servers") == 0
    [line] = capsys.readouterr().err.splitlines()
    assert "no apt-get and no apt-cache and no dpkg" in line
    assert "no apt-get and no apt-cache and no dpkg" in servers.why_absent(tmp_path / "servers")


@pytest.mark.usefixtures("bare_machine")
def test_a_missing_server_is_a_failure_in_ci(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    assert servers.main(tmp_path / "servers") == 1


def test_packages_that_cannot_be_downloaded_leave_no_half_written_program(
    bare_machine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_program(bare_machine, "dpkg")
    put_program(bare_machine, "apt-cache")
    apt = bare_machine / "apt-get"
    apt.write_text("#!/bin/sh\necho 'E: no route to the mirror' >&2\nexit 100\n", encoding="utf-8")
    apt.chmod(0o755)
    assert servers.main(tmp_path / "servers") == 0
    assert "no route to the mirror" in capsys.readouterr().err
    assert list((tmp_path / "servers/bin").iterdir()) == []
    assert [path.name for path in (tmp_path / "servers").iterdir() if path.name.startswith("incoming-")] == []


def test_a_program_that_does_not_run_here_is_found_before_a_test_finds_it(
    bare_machine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for program in ("prometheus", "promtool", "alertmanager", "amtool", "docker-compose"):
        put_program(bare_machine, program)
    broken = bare_machine / "pushgateway"
    broken.write_bytes(b"\x7fELF of another machine")
    broken.chmod(0o755)
    servers.main(tmp_path / "servers")
    assert "pushgateway does not run here" in capsys.readouterr().err


@pytest.mark.usefixtures("bare_machine")
def test_an_unpacked_program_counts_only_with_the_files_that_it_reads(tmp_path: Path) -> None:
    unpacked = put_program(tmp_path / "bin", "prometheus-alertmanager")
    assert servers.find("prometheus-alertmanager", tmp_path) is None
    (tmp_path / "share/prometheus-alertmanager").mkdir(parents=True)
    assert servers.find("prometheus-alertmanager", tmp_path) == unpacked


def test_an_unpacked_program_reads_its_files_from_wherever_the_folder_is_moved(tmp_path: Path) -> None:
    root = tmp_path / "root"
    program = put_program(root / "usr/bin", "prometheus-alertmanager", text="")
    program.write_text(f"#!/bin/sh\ncat {servers.FILES[program.name]}/default.tmpl\n", encoding="utf-8")
    files = root / "usr/share/prometheus/alertmanager"
    files.mkdir(parents=True)
    (files / "default.tmpl").write_text("the template\n", encoding="utf-8")
    (tmp_path / "before/bin").mkdir(parents=True)
    servers._put(program.name, root, tmp_path / "before")
    (tmp_path / "before").rename(tmp_path / "after")
    done = subprocess.run([tmp_path / "after/bin" / program.name], capture_output=True, text=True, check=True)
    assert done.stdout == "the template\n"
