"""Folder names for names that nobody checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_monitor.store.layout import find_runs, run_directory, safe_name

NASTY = [
    "",
    ".",
    "..",
    "../../etc/passwd",
    "a/b",
    "a\\b",
    "nul\0byte",
    "line\nbreak",
    "CON",
    "nul.txt",
    "com1",
    ".hidden",
    "-rf",
    "trailing.",
    "trailing ",
    "x" * 10_000,
    "énergie",
    "量子",
    "\ud800",
    "<script>",
    "a'\"b",
    "~",
    "C:",
]


def make_run(directory: Path, **info: object) -> Path:
    directory.mkdir(parents=True)
    (directory / "run.json").write_text(json.dumps(info))
    (directory / "records.db").touch()
    return directory


@pytest.mark.parametrize("name", ["h2", "quantum_experiment", "H2-VQE", "run.1", "2024_01"])
def test_a_harmless_name_is_its_own_folder(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quantum_monitor.store.layout._FOLDS_CASE", False)
    assert safe_name(name) == name


@pytest.mark.parametrize("name", NASTY, ids=lambda name: ascii(name)[:20])
def test_any_name_becomes_one_plain_folder_below_the_storage(tmp_path: Path, name: str) -> None:
    directory = run_directory(tmp_path, name, name)
    assert directory.parent.parent == tmp_path
    directory.mkdir(parents=True)
    assert directory.resolve().is_relative_to(tmp_path.resolve())
    assert directory.name.isascii()
    assert directory.name.isprintable()
    assert not directory.name.startswith((".", "-"))
    assert len(directory.name) <= 100
    assert directory.name.split(".")[0].lower() not in {"con", "nul", "com1"}


@given(st.lists(st.one_of(st.text(), st.sampled_from(NASTY)), min_size=2, max_size=20, unique=True))
def test_two_names_never_share_a_folder(names: list[str]) -> None:
    assert len({safe_name(name) for name in names}) == len(names)


def test_a_name_that_looks_like_the_folder_of_another_gets_its_own() -> None:
    folder = safe_name("a/b")
    assert safe_name(folder) != folder


def test_names_that_differ_in_case_only_do_not_share_a_folder_where_case_is_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("quantum_monitor.store.layout._FOLDS_CASE", True)
    assert safe_name("H2").lower() != safe_name("h2").lower()


def test_runs_are_found_from_the_storage_an_experiment_or_the_run_itself(tmp_path: Path) -> None:
    late = make_run(tmp_path / "h2" / "a", start_time=20.0)
    early = make_run(tmp_path / "lih" / "b", start_time=10.0)
    assert find_runs(tmp_path) == [early, late]
    assert find_runs(tmp_path / "h2") == [late]
    assert find_runs(late) == [late]
    assert find_runs(tmp_path / "absent") == []


def test_what_is_not_a_run_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "h2" / "empty").mkdir(parents=True)
    half = make_run(tmp_path / "h2" / "half")
    (half / "records.db").unlink()
    make_run(tmp_path / "h2" / ".deleting-a")
    make_run(tmp_path / "too" / "deep" / "down")
    (tmp_path / "h2" / "file").touch()
    assert find_runs(tmp_path) == []


def test_links_out_of_the_storage_are_not_followed(tmp_path: Path) -> None:
    make_run(tmp_path / "elsewhere" / "h2" / "a")
    storage = tmp_path / "storage"
    storage.mkdir()
    (storage / "h2").symlink_to(tmp_path / "elsewhere" / "h2")
    (storage / "lih").mkdir()
    (storage / "lih" / "a").symlink_to(tmp_path / "elsewhere" / "h2" / "a")
    assert find_runs(storage) == []


def test_a_run_with_a_damaged_description_is_still_found(tmp_path: Path) -> None:
    run = make_run(tmp_path / "h2" / "a")
    (run / "run.json").write_text('{"start_time": ')
    assert find_runs(tmp_path) == [run]
