"""Names and values as hostile as they come, and what MLflow's own validators say of what becomes of them."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quantum_monitor.trackers import mlflow_names as names
from quantum_monitor.trackers import mlflow_uri
from quantum_monitor.trackers.mlflow import tracker
from quantum_monitor.trackers.protocol import Batch, Row, TrackedRun, UnusableError
from tests.trackers.mlflow_server import MlflowServer

HOSTILE = [
    *(
        "",
        " ",
        ".",
        "..",
        "/",
        "//",
        "/etc/passwd",
        "../up",
        "a/../b",
        "a/./b",
        "a//b",
        "a/",
        "a\n",
        "\n",
        "\t",
        "\0",
        " a",
        "a ",
    ),
    *(
        "<script>",
        "'; DROP TABLE metrics; --",
        "`x`",
        '"',
        "100%",
        "%2e%2e",
        "a?b#c",
        "a\\b",
        "C:\\x",
        "a:b",
        "${HOME}",
    ),
    *(
        "θ",
        "𝜃",
        "😀",
        "ﬁ",
        "İ",
        "日本",
        "\u202e",
        "\u200b",
        "\ud800",
        "e\u0301",
        "é",
        "x" * 250,
        "x" * 251,
        "x" * 5_000,
        "ü" * 250,
    ),
    *("loss", "Loss", "loss-0123456789ab", "mlflow.runName", "quantum.status", "quantum.name.loss", "nan", "None"),
]

ANY_TEXT = st.text(st.characters(), max_size=300) | st.sampled_from(HOSTILE)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch, MlflowServer(tmp_path_factory.mktemp("mlflow")) as running:
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        yield running


@given(ANY_TEXT)
@example("a\n")
def test_whatever_a_metric_is_called_MLflow_takes_what_becomes_of_it(name: str) -> None:
    from mlflow.utils import validation

    validation._validate_metric(names.key(name), 1.0, 0, 0)
    validation._validate_tag(f"quantum.name.{names.key(name)}" if names.key(name) != name else name, "")
    validation._validate_model_name(names.model(name))


@given(ANY_TEXT)
def test_a_key_is_a_key_that_stays_as_it_is_only_where_no_other_name_becomes_it(name: str) -> None:
    key = names.key(name)
    if key != name:
        assert names.key(key) != key  # so the name that reads like this key has another one


def test_different_names_have_different_keys() -> None:
    everything = [*HOSTILE, *map(names.key, HOSTILE)]
    for mapped in (names.key, names.model):
        assert len({mapped(name) for name in everything}) == len(set(everything))


@given(ANY_TEXT, st.integers(100, 200))
def test_a_text_that_fits_is_kept_and_one_that_does_not_is_cut(text: str, length: int) -> None:
    clipped = names.clipped(text, length)
    assert len(clipped) <= length
    clipped.encode()
    assert "\0" not in clipped
    if len(text) <= length and text.isprintable():
        assert clipped == text


def test_texts_that_differ_only_after_the_cut_stay_different() -> None:
    assert names.clipped("x" * 200 + "a", 100) != names.clipped("x" * 200 + "b", 100)


def test_hostile_names_of_everything_arrive_and_are_told(server: MlflowServer) -> None:
    from mlflow.tracking import MlflowClient

    one = tracker({"tracking_uri": server.uri})
    run_id = one.open(TrackedRun(secrets.token_hex(16), "run", "names", 1.7e9, None, {}), {}).known["run_id"]
    tagged = [name for name in HOSTILE if not name.startswith(("mlflow.", "quantum."))]
    values = {name: float(n) for n, name in enumerate(HOSTILE)}
    for _ in range(2):
        one.deliver(
            Batch(
                [Row(1, 1.7e9, 1, "custom", values, {})],
                {name: name for name in HOSTILE},
                {name: name for name in tagged},
            )
        )

    found = MlflowClient(server.uri).get_run(run_id).data
    told = {key: found.tags.get(f"quantum.name.{key}", key) for key in {**found.metrics, **found.params}}
    assert len(found.metrics) == len(found.params) == len(HOSTILE)
    for name in HOSTILE:
        key = names.key(name)
        assert found.metrics[key] == values[name]
        assert found.params[key] == names.clipped(name, 6_000)
        assert told[key] == names.clipped(name, 8_000)
    assert server.select("SELECT COUNT(*) FROM metrics WHERE run_uuid = ?", run_id) == [(len(HOSTILE),)]


@pytest.mark.parametrize("name", HOSTILE)
def test_runs_and_experiments_of_any_name_are_created_and_found_again(server: MlflowServer, name: str) -> None:
    run = TrackedRun(secrets.token_hex(16), name, name, 1.7e9, None, {})
    known = tracker({"tracking_uri": server.uri}).open(run, {}).known
    assert tracker({"tracking_uri": server.uri}).open(run, {}).known == known


def test_parameters_of_any_kind_become_text() -> None:
    given = [True, None, 0.1, 10**30, "x", [1, "a"], {"a": [None]}]
    assert [names.value(one) for one in given] == [
        "True",
        "None",
        "0.1",
        "1" + "0" * 30,
        "x",
        '[1, "a"]',
        '{"a": [null]}',
    ]
    assert json.loads(names.value({"θ": "\ud800"})) == {"θ": "\ud800"}  # escaped, as JSON does it


# Where it goes


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("http://ada:s3cret@mlflow.lab:5000/sub?token=s3cret#s3cret", "http://mlflow.lab:5000/sub"),
        ("postgresql+psycopg2://ada:s3%40cret@db/mlflow?password=s3cret", "postgresql+psycopg2://db/mlflow"),
        ("databricks", "databricks"),
        ("databricks://profile", "databricks://profile"),
        ("sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("sqlite:///runs/my mlflow.db", "sqlite:///{here}/runs/my mlflow.db"),
        ("runs", "file://{here}/runs"),
        ("file:runs", "file://{here}/runs"),
        ("/data/runs", "file:///data/runs"),
        (None, "sqlite:///{here}/mlflow.db"),
        ("sqlite:////data/me@lab/mlflow.db", "sqlite:////data/me@lab/mlflow.db"),
        ("runs@lab", "file://{here}/runs%40lab"),
        ("alice:s3cret@mlflow.lab.example:5000", "mlflow (address not shown)"),
        ("http://bob:12/s3cret@host/", "mlflow (address not shown)"),
        ("http://bob:12#s3cret@host/", "mlflow (address not shown)"),
        ("http://bob:12?s3cret@host/", "mlflow (address not shown)"),
    ],
)
def test_the_destination_is_in_full_and_tells_no_secret(given: str | None, shown: str, tmp_path: Path) -> None:
    assert tracker({"tracking_uri": given}).destination == shown.format(here=tmp_path)


def test_an_address_that_may_be_half_a_password_is_not_used() -> None:
    with pytest.raises(UnusableError, match="%40 for @") as raised:
        tracker({"tracking_uri": "http://bob:12/s3cret@host/"}).open(TrackedRun("a", "a", "h2", 0.0, None, {}), {})
    assert "s3cret" not in str(raised.value)


def test_the_environment_tells_where_runs_go_unless_an_option_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://theirs:1")
    assert tracker({}).destination == "http://theirs:1"
    assert tracker({"tracking_uri": "http://ours:2"}).destination == "http://ours:2"


def test_what_MLflow_takes_by_default_is_taken_here_too(tmp_path: Path) -> None:
    import mlflow

    assert tracker({}).destination == mlflow.get_tracking_uri()
    (tmp_path / "mlruns" / "0").mkdir(parents=True)
    (tmp_path / "mlruns" / "0" / "meta.yaml").touch()
    assert tracker({}).destination == mlflow.get_tracking_uri()


def test_an_error_tells_no_password_and_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    uri = "http://ada:s3cret@lab:5000?key=s3cret"
    text = f"API request to {uri} failed: Authorization: Bearer t0ken; postgresql://ada:s3cret@db/x refused"
    assert mlflow_uri.scrubbed(text, uri) == (
        "API request to http://lab:5000 failed: Authorization: Bearer ***; postgresql://db/x refused"
    )
