"""What is captured of the surroundings: enough to find the code again, and never a secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantum_monitor import environment
from quantum_monitor._version import __version__
from quantum_monitor.git import checkout
from quantum_monitor.store import runfile

Git = Callable[..., str]
USERS = ("LOGNAME", "USER", "LNAME", "USERNAME")
NOT_SET = ("SLURM_JOB_ID", "RANK", "KUBERNETES_SERVICE_HOST", "PYTHONHASHSEED", *USERS)


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """Runs the real git, as somebody without settings."""

    def run(folder: Path, *arguments: str) -> str:
        settings = {
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            **{f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }
        environ = {**os.environ, **settings}
        try:
            result = subprocess.run(
                ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False, env=environ
            )
        except FileNotFoundError:
            pytest.skip("no git here")
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    return run


@pytest.fixture
def repository(tmp_path: Path, git: Git) -> Path:
    """A repository with two commits on the branch ``vqe/h2``."""
    folder = tmp_path / "project"
    (folder / "experiments").mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch", "vqe/h2")
    for text in ("one", "two"):
        (folder / "experiments" / "train.py").write_text(f"# {text}\n")
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "-m", text)
    return folder


def head(git: Git, folder: Path) -> str:
    return git(folder, "rev-parse", "HEAD")


# Git


def test_commit_and_branch_are_those_of_git(repository: Path, git: Git) -> None:
    found = checkout(repository / "experiments")
    assert found is not None
    assert (found.commit, found.branch) == (head(git, repository), "vqe/h2")
    assert found.top == repository.resolve()


def test_packed_references_are_read(repository: Path, git: Git) -> None:
    git(repository, "branch", "vqe/h2-longer", "HEAD~1")
    git(repository, "tag", "-a", "v1", "-m", "peeled lines in packed-refs")
    git(repository, "pack-refs", "--all")
    assert not (repository / ".git/refs/heads/vqe/h2").exists()
    found = checkout(repository)
    assert found is not None
    assert (found.commit, found.branch) == (head(git, repository), "vqe/h2")


def test_a_detached_head_has_a_commit_and_no_branch(repository: Path, git: Git) -> None:
    git(repository, "checkout", "--quiet", "HEAD~1")
    found = checkout(repository)
    assert found is not None
    assert (found.commit, found.branch) == (head(git, repository), "")


@pytest.mark.parametrize("packed", [False, True])
def test_a_worktree_has_its_own_head(repository: Path, git: Git, tmp_path: Path, packed: bool) -> None:
    worktree = tmp_path / "elsewhere"
    git(repository, "worktree", "add", "--quiet", "-b", "other", str(worktree), "HEAD~1")
    if packed:
        git(repository, "pack-refs", "--all")
    found = checkout(worktree)
    assert found is not None
    assert (found.commit, found.branch) == (head(git, worktree), "other")
    assert found.commit != head(git, repository)


def test_a_submodule_is_the_repository_that_it_is(repository: Path, git: Git, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "--quiet")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(repository), "inner")
    found = checkout(outer / "inner" / "experiments")
    assert found is not None
    assert found.commit == head(git, repository)


def test_before_the_first_commit_there_is_a_branch_only(git: Git, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch", "new")
    found = checkout(tmp_path)
    assert found is not None
    assert (found.commit, found.branch) == ("", "new")


def test_commits_named_by_sha256_are_read(git: Git, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--object-format=sha256")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "-m", "one")
    found = checkout(tmp_path)
    assert found is not None
    assert found.commit == head(git, tmp_path)
    assert len(found.commit) == 64


def test_a_folder_in_no_repository_is_in_none(tmp_path: Path) -> None:
    assert checkout(tmp_path) is None
    assert checkout(tmp_path / "missing") is None


@pytest.mark.parametrize(
    ("file", "content"),
    [
        (".git/HEAD", b""),
        (".git/HEAD", b"\xff\xfe\0"),
        (".git/HEAD", b"ref: refs/heads/../../../../secret\n"),
        (".git/HEAD", b"ref: ../../secret\n"),
        (".git/HEAD", b"ref: /etc/passwd\n"),
        (".git/HEAD", b"ref: refs/heads/.invalid\n"),
        (".git/refs/heads/vqe/h2", b"ref: refs/heads/vqe/h2\n"),
        (".git/refs/heads/vqe/h2", b"token-token-token"),
    ],
)
def test_files_that_say_nothing_sensible_give_no_commit(
    repository: Path, tmp_path: Path, file: str, content: bytes
) -> None:
    (tmp_path / "secret").write_text("a" * 40)
    (repository / file).write_bytes(content)
    found = checkout(repository)
    assert found is not None
    assert found.commit == ""
    assert "secret" not in found.branch
    assert "token" not in found.branch


@pytest.mark.parametrize("head", ["missing", "pipe", "folder", "circle"])
def test_a_head_that_is_no_file_gives_nothing(repository: Path, head: str) -> None:
    file = repository / ".git" / "HEAD"
    file.unlink()
    if head == "pipe":
        os.mkfifo(file)
    elif head == "folder":
        file.mkdir()
    elif head == "circle":
        file.symlink_to("HEAD")
    assert checkout(repository) is None


@pytest.mark.parametrize("content", [b"", b"gitdir: nowhere", b"\xff", b"gitdir: \0", b"rubbish"])
def test_a_git_file_that_leads_nowhere_gives_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".git").write_bytes(content)
    assert checkout(tmp_path) is None


def test_a_list_of_references_of_many_megabytes_is_held_once(repository: Path, git: Git) -> None:
    commit, size = head(git, repository), 12 * 2**20
    (repository / ".git/refs/heads/vqe/h2").unlink()
    line = f"{'b' * 40} refs/heads/vqe/h2-longer\n^{'c' * 40}\n{'d' * 40} refs/remotes/refs/heads/vqe/h2\n"
    text = (
        "# pack-refs with: peeled fully-peeled sorted \n" + line * (size // len(line)) + f"{commit} refs/heads/vqe/h2\n"
    )
    (repository / ".git/packed-refs").write_text(text)
    tracemalloc.start()
    try:
        found = checkout(repository)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found is not None
    assert found.commit == commit
    assert peak < 1.5 * size


def test_of_a_list_of_references_without_an_end_the_beginning_is_read(repository: Path, git: Git) -> None:
    commit = head(git, repository)
    (repository / ".git/refs/heads/vqe/h2").unlink()
    with (repository / ".git/packed-refs").open("wb") as stream:
        stream.truncate(2**36)
        stream.seek(0, os.SEEK_END)
        stream.write(f"\n{commit} refs/heads/vqe/h2\n".encode())
    found = checkout(repository)
    assert found is not None
    assert (found.commit, found.branch) == ("", "vqe/h2")


def test_a_repository_on_another_file_system_is_not_looked_for(
    tmp_path: Path, git: Git, mount: Callable[..., Path]
) -> None:
    git(tmp_path, "init", "--quiet")
    assert checkout(mount("data", "-t", "tmpfs", "none")) is None


def test_a_run_reads_the_repository_once(repository: Path, tmp_path: Path) -> None:
    script = repository / "experiments" / "train.py"
    script.write_text("""
import sys
from quantum_monitor import QuantumMonitor
opened = []
sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
with QuantumMonitor("h2", metrics_port=None, enable_mlflow=False).start_run():
    print(len([path for path in opened if path.endswith("/.git/HEAD")]))
""")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.split() == ["1"]


def test_git_itself_is_not_needed(repository: Path, git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = head(git, repository)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "argv", [""])
    monkeypatch.chdir(repository)
    assert environment.git_commit(environment.capture()) == expected[:12]


def test_without_a_repository_the_commit_is_empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", [""])
    assert environment.git_commit(environment.capture()) == ""


def test_a_working_folder_that_was_deleted_gives_no_commit_and_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setattr(sys, "argv", [""])
    assert environment.git_commit(environment.capture()) == ""
    assert environment.capture()["quantum_monitor"] == __version__


# What a process says of itself

SAYS = """
import json, sys
import numpy
from quantum_monitor import environment
print(json.dumps(environment.capture()))
"""


def said_by(script: Path, *arguments: str, cwd: Path, **variables: str) -> dict[str, Any]:
    environ = {name: value for name, value in os.environ.items() if name not in NOT_SET}
    result = subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=cwd,
        env={**environ, **variables},
    )
    facts: dict[str, Any] = json.loads(result.stdout)
    return facts


def test_a_script_in_a_repository_is_told_with_its_commit_wherever_it_is_started(
    repository: Path, git: Git, tmp_path: Path
) -> None:
    script = repository / "experiments" / "train.py"
    script.write_text(SAYS)
    facts = said_by(script, cwd=tmp_path, USER="ada")
    assert facts["script"] == "experiments/train.py"
    assert facts["git"] == {"commit": head(git, repository), "branch": "vqe/h2"}
    assert facts["packages"]["numpy"] == np.__version__
    assert facts["quantum_monitor"] == __version__
    assert facts["python"] == runfile.environment()["python"]
    assert facts["host"]
    assert facts["user"] == "ada"


def test_a_script_outside_takes_the_commit_of_the_working_folder(repository: Path, git: Git, tmp_path: Path) -> None:
    script = tmp_path / "loose.py"
    script.write_text(SAYS)
    facts = said_by(script, cwd=repository)
    assert facts["script"] == "loose.py"
    assert facts["git"]["commit"] == head(git, repository)


def test_an_installed_command_takes_the_commit_of_the_working_folder(
    repository: Path, git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "--quiet")
    git(work, "commit", "--quiet", "--allow-empty", "-m", "mine")
    monkeypatch.chdir(work)
    monkeypatch.setattr(sys, "argv", [str(repository / "experiments" / "train.py")])
    assert environment.git_commit(environment.capture()) == head(git, repository)[:12]
    monkeypatch.setattr(sys, "prefix", str(repository))  # as an interpreter's own folder may be a checkout
    assert environment.git_commit(environment.capture()) == head(git, work)[:12]


def test_no_secret_is_ever_told(repository: Path, git: Git, tmp_path: Path) -> None:
    secrets = {
        "WANDB_API_KEY": "key-in-the-environment",
        "AWS_SECRET_ACCESS_KEY": "aws-in-the-environment",
        "MLFLOW_TRACKING_URI": "https://user:password-in-a-url@host",
        "RANK": "token-in-an-allowed-variable",
        "PYTHONHASHSEED": "random",
        "HOSTNAME": "not-told-outside-of-kubernetes",
        "LOGNAME": "ada",
    }
    git(repository, "remote", "add", "origin", "https://user:token-in-a-remote@example.org/x.git")
    git(repository, "config", "user.email", "address-in-the-settings@example.org")
    script = repository / "experiments" / "train.py"
    script.write_text(SAYS)
    facts = said_by(script, "--token", "token-in-an-argument", cwd=repository, **secrets)
    text = json.dumps(facts)
    for secret in ("in-a-", "in-an-", "in-the-", "password", "not-told", "random"):
        assert secret not in text
    assert set(facts) == {
        "cpus",
        "git",
        "host",
        "packages",
        "platform",
        "python",
        "quantum_monitor",
        "script",
        "user",
    }


def test_scheduler_pod_and_seed_are_told_where_they_are_set(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SAYS)
    variables = {
        "SLURM_JOB_ID": "12345_6",
        "RANK": "3",
        "PYTHONHASHSEED": "42",
        "KUBERNETES_SERVICE_HOST": "10.0.0.1",
        "HOSTNAME": "vqe-7d9f-xk2p",
    }
    facts = said_by(script, cwd=tmp_path, **variables)
    assert facts["job"] == {"SLURM_JOB_ID": "12345_6", "RANK": "3", "kubernetes_pod": "vqe-7d9f-xk2p"}
    assert facts["seeds"] == {"PYTHONHASHSEED": "42"}


@pytest.mark.parametrize("argv", [[], [""], ["-c"], ["-m"], ["train.py --token=abc"], ["missing.py"], ["a\0b"]])
def test_where_there_is_no_script_none_is_told(monkeypatch: pytest.MonkeyPatch, argv: list[str]) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    assert "script" not in environment.capture()


def test_a_user_whom_the_environment_does_not_name_is_not_looked_up(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SAYS)
    assert "user" not in said_by(script, cwd=tmp_path)


def test_a_process_without_host_or_platform_tells_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> str:
        raise OSError("no such thing here")

    for place in ("socket.gethostname", "platform.platform"):
        monkeypatch.setattr(place, fails)
    facts = environment.capture()
    assert facts["quantum_monitor"] == __version__
    assert not {"host", "platform"} & set(facts)


# Packages


def test_only_what_is_imported_is_told_and_nothing_is_imported_for_it() -> None:
    program = (
        "import sys; from quantum_monitor import environment; before = set(sys.modules); environment.capture(); "
        "print(sorted({name.partition('.')[0] for name in set(sys.modules) - before}), environment.packages())"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    for name in ("pennylane", "qiskit", "cirq", "scipy", "torch", "mlflow", "wandb", "importlib.metadata"):
        assert name not in result.stdout
    assert "numpy" in result.stdout


def test_a_package_without_a_version_of_its_own_is_told_as_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_versions", {})
    monkeypatch.setattr(environment, "_PACKAGES", {"sklearn": "numpy", "qulacs": "not-installed-anywhere"})
    for name in ("sklearn", "qulacs"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    assert environment.packages() == {"sklearn": np.__version__}


class Unhelpful(types.ModuleType):
    """Asked for what it does not have, it does something else first."""

    def __getattr__(self, name: str) -> Any:
        raise SystemExit(f"asked for {name}")


@pytest.mark.parametrize(
    "module",
    [Unhelpful("torch"), object(), None, "text", 3],
    ids=["lazy", "object", "blocked", "text", "number"],
)
def test_whatever_stands_in_for_a_package_harms_nobody(monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
    monkeypatch.setattr(environment, "_versions", {})
    monkeypatch.setitem(sys.modules, "torch", module)
    packages = environment.packages()
    assert packages["numpy"] == np.__version__
    assert "torch" not in packages


@pytest.mark.parametrize("version", ["<script>", "1.0\n", "", 3, "1" * 100, "v"])
def test_a_version_that_is_none_is_not_told(monkeypatch: pytest.MonkeyPatch, version: Any) -> None:
    module = types.ModuleType("qulacs")
    vars(module)["__version__"] = version
    monkeypatch.setattr(environment, "_versions", {})
    monkeypatch.setitem(sys.modules, "qulacs", module)
    assert "qulacs" not in environment.packages()


def test_the_framework_is_the_first_that_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pennylane", "qiskit", "cirq", "braket"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert environment.quantum_framework() == {"framework": "none", "version": ""}
    module = types.ModuleType("cirq")
    vars(module)["__version__"] = "1.5.0"
    monkeypatch.setitem(sys.modules, "cirq", module)
    assert environment.quantum_framework() == {"framework": "cirq", "version": "1.5.0"}
