"""The wheel as people get it: built, installed into a clean environment, used from outside the checkout."""

from __future__ import annotations

import email
import email.message
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from quantum_monitor import assets

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = ROOT / "exporter"


@dataclass(frozen=True)
class Clean:
    """An environment with nothing but our wheel and what it depends on."""

    python: Path
    wheel: Path
    sdist: Path
    env: Mapping[str, str]

    def run(self, *command: str | Path, cwd: Path | None = None) -> str:
        """Run a command of this environment and return what it printed; it must end well."""
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd or self.wheel.parent,
            env=dict(self.env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def says(self, code: str) -> str:
        """Run Python code, isolated from the checkout and from the user's own packages."""
        return self.run(self.python, "-I", "-c", code)

    def pip(self, *arguments: str | Path) -> None:
        """Let the test environment's pip work on this one."""
        self.run(sys.executable, "-m", "pip", "--python", self.python, "--quiet", *arguments)

    @property
    def site_packages(self) -> Path:
        """Where packages are installed."""
        return Path(self.says("import sysconfig; print(sysconfig.get_path('purelib'))"))


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory, outer_env: Mapping[str, str]) -> Clean:
    """Build sdist and wheel (the wheel from the sdist, as `build` does) and install the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    env = {name: value for name, value in outer_env.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    env |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_USER": "0"}
    dist = folder / "dist"
    built = Clean(folder / "venv/bin/python", dist, dist, env)
    built.run(sys.executable, "-m", "build", "--no-isolation", "--outdir", dist, ROOT, cwd=folder)
    [wheel], [sdist] = dist.glob("*.whl"), dist.glob("*.tar.gz")
    built.run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    clean = Clean(folder / "venv/bin/python", wheel, sdist, env)
    clean.pip("install", "--constraint", ROOT / "constraints.txt", wheel)
    return clean


def metadata(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


def install_other(clean: Clean, folder: Path, *, regular: bool) -> None:
    """Install another distribution that holds `quantum_mlops.registry`, with or without an `__init__.py`."""
    package = folder / "src/quantum_mlops"
    package.mkdir(parents=True)
    (package / "registry.py").write_text("NAME = 'other'\n", encoding="utf-8")
    if regular:
        (package / "__init__.py").write_text("OWNER = 'other'\n", encoding="utf-8")
    (folder / "pyproject.toml").write_text(
        "[build-system]\nrequires = ['hatchling']\nbuild-backend = 'hatchling.build'\n"
        "[project]\nname = 'other-mlops'\nversion = '1'\n"
        "[tool.hatch.build.targets.wheel]\npackages = ['src/quantum_mlops']\n",
        encoding="utf-8",
    )
    clean.run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, folder)
    clean.pip("install", "--no-deps", next(folder.glob("*.whl")))


def test_the_wheel_puts_two_names_at_top_level_and_no_more(clean: Clean) -> None:
    with zipfile.ZipFile(clean.wheel) as archive:
        top = {name.split("/")[0] for name in archive.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"quantum_monitor", "quantum_mlops"}


def test_every_source_and_data_file_is_installed(clean: Clean) -> None:
    files = {
        path.relative_to(SOURCES) for path in SOURCES.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    assert Path("quantum_monitor/py.typed") in files
    missing = {str(file) for file in files if not (clean.site_packages / file).is_file()}
    assert missing == set()


def test_quantum_mlops_is_no_regular_package(clean: Clean) -> None:
    assert not (clean.site_packages / "quantum_mlops/__init__.py").exists()
    assert not (clean.site_packages / "quantum_mlops/py.typed").exists()


def test_the_package_imports_without_any_extra_and_without_a_warning(clean: Clean) -> None:
    code = "import quantum_monitor; [getattr(quantum_monitor, name) for name in quantum_monitor.__all__]"
    clean.run(clean.python, "-I", "-W", "error", "-c", code)


def test_both_import_paths_give_the_same_objects(clean: Clean) -> None:
    code = (
        "import quantum_monitor as one, quantum_mlops.monitoring as two;"
        "print(one.__all__ == two.__all__ and all(getattr(one, n) is getattr(two, n) for n in one.__all__))"
    )
    assert clean.says(code) == "True"


def test_the_version_is_the_same_everywhere(clean: Clean) -> None:
    version = metadata(clean.wheel)["Version"]
    assert clean.says("import quantum_monitor; print(quantum_monitor.__version__)") == version
    assert version in clean.run(clean.python.parent / "quantum-monitor", "--version")


def test_importing_the_package_reads_no_installed_metadata(clean: Clean) -> None:
    """Reading one's own version from the metadata costs more than the rest of the package."""
    code = (
        "import sys, numpy, prometheus_client, psutil, yaml; before = set(sys.modules);"
        "import quantum_monitor; print(sorted({'importlib.metadata'} & (set(sys.modules) - before)))"
    )
    assert clean.says(code) == "[]"


def test_the_command_line_explains_itself(clean: Clean) -> None:
    assert "usage: quantum-monitor" in clean.run(clean.python.parent / "quantum-monitor", "--help")


def test_the_licence_travels_with_the_wheel(clean: Clean) -> None:
    assert metadata(clean.wheel)["License-Expression"] == "Apache-2.0"
    with zipfile.ZipFile(clean.wheel) as archive:
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())


def test_heavy_packages_come_with_extras_only(clean: Clean) -> None:
    needed = [line for line in metadata(clean.wheel).get_all("Requires-Dist", []) if "extra ==" not in line]
    names = {line.split(">")[0] for line in needed}
    assert names == {"numpy", "prometheus-client", "psutil", "pyyaml", "requests", "scipy"}


def test_the_source_distribution_holds_sources_and_nothing_that_was_made(clean: Clean) -> None:
    with tarfile.open(clean.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "LICENSE", "README.md", "exporter/quantum_monitor/py.typed"} <= names
    made = [name for name in names if {"__pycache__", ".venv", ".servers", "quantum_monitoring"} & set(name.split("/"))]
    assert made == []


def test_dashboards_rules_and_configuration_travel_with_the_wheel(clean: Clean, tmp_path: Path) -> None:
    """What is written outside of a checkout is what the checkout holds."""
    clean.run(clean.python.parent / "quantum-monitor", "assets", tmp_path / "from-wheel", cwd=tmp_path)
    here = assets.texts()
    written = {
        file.relative_to(tmp_path / "from-wheel").as_posix(): file.read_text(encoding="utf-8")
        for file in (tmp_path / "from-wheel").rglob("*")
        if file.is_file()
    }
    assert written == here


def test_no_secret_of_the_checkout_travels(clean: Clean) -> None:
    with zipfile.ZipFile(clean.wheel) as wheel, tarfile.open(clean.sdist) as sdist:
        names = [*wheel.namelist(), *sdist.getnames()]
    assert [name for name in names if "secrets" in name.split("/")] == []


def test_the_source_distribution_holds_what_the_container_and_the_wheel_are_built_from(clean: Clean) -> None:
    with tarfile.open(clean.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    missing = {"Dockerfile", ".dockerignore", "docker-compose.yml", *assets.PATHS} - names
    assert {path for path in missing if not any(name.startswith(f"{path}/") for name in names)} == set()


@pytest.mark.parametrize("regular", [False, True], ids=["namespace", "regular"])
@pytest.mark.parametrize("ours_first", [True, False], ids=["ours-first", "theirs-first"])
def test_the_old_import_path_stands_beside_another_quantum_mlops(
    clean: Clean, tmp_path: Path, regular: bool, ours_first: bool
) -> None:
    if not ours_first:
        clean.pip("uninstall", "--yes", "quantum-monitor")
    try:
        install_other(clean, tmp_path, regular=regular)
        if not ours_first:
            clean.pip("install", "--no-deps", clean.wheel)
        code = (
            "import quantum_mlops.registry, quantum_mlops.monitoring, quantum_monitor;"
            "print(quantum_mlops.registry.NAME, getattr(quantum_mlops, 'OWNER', None),"
            "quantum_mlops.monitoring.__all__ == quantum_monitor.__all__)"
        )
        assert clean.says(code) == f"other {'other' if regular else None} True"
    finally:
        clean.pip("uninstall", "--yes", "other-mlops")
    assert clean.says("import quantum_mlops.monitoring; print('still here')") == "still here"


def test_a_namespace_portion_elsewhere_on_the_path_does_not_hide_the_old_import_path(
    clean: Clean, tmp_path: Path
) -> None:
    portion = tmp_path / "quantum_mlops"
    portion.mkdir()
    (portion / "registry.py").write_text("NAME = 'other'\n", encoding="utf-8")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r});"
        "import quantum_mlops.registry, quantum_mlops.monitoring; print(quantum_mlops.registry.NAME)"
    )
    assert clean.says(code) == "other"


def test_a_type_checker_sees_the_types_through_both_import_paths(clean: Clean, tmp_path: Path) -> None:
    script = tmp_path / "training.py"
    script.write_text(
        "from quantum_mlops.monitoring import QuantumMonitor as Old\n"
        "from quantum_monitor import QuantumMonitor as New\n"
        "same: type[New] = Old\n"
        "wrong: int = Old\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "mypy", "--python-executable", str(clean.python), "--no-incremental", str(script)]
    env = {name: value for name, value in clean.env.items() if name != "MYPYPATH"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False)
    errors = [line for line in done.stdout.splitlines() if "error:" in line]
    assert len(errors) == 1, done.stdout + done.stderr
    assert errors[0].startswith(f"{os.path.relpath(script, tmp_path)}:4")
