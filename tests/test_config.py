"""Configuration: the order of strength, what is refused and how, and files that mean harm."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError, asdict, fields
from itertools import pairwise
from pathlib import Path

import pytest

from quantum_monitor.alerts.rules import MetricRule, Severity
from quantum_monitor.config import ConfigurationError, Settings, check, load_settings
from quantum_monitor.config_values import RESERVED_LABELS
from quantum_monitor.faults import FAULTS
from quantum_monitor.prometheus import catalog

Write = Callable[..., Path]
NOTHING: Mapping[str, str] = {}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(text: str, name: str = "monitor.yaml") -> Path:
        file = tmp_path / name
        file.write_text(text, encoding="utf-8")
        return file

    return write_file


def problems_of(
    arguments: Mapping[str, object], environ: Mapping[str, str] = NOTHING, config: Path | None = None
) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(arguments, config=config, environ=environ)
    return caught.value.problems


# The order of strength


def test_with_nothing_given_every_field_has_its_default() -> None:
    settings = load_settings({}, environ=NOTHING)
    assert settings == Settings()
    assert settings.storage_path == Path("quantum_monitoring")
    assert settings.metrics_port == 9888


def test_an_argument_overrules_the_file_and_the_file_overrules_the_environment(write: Write) -> None:
    file = write("history_limit: 20\ngrace_period: 20\n")
    environ = {
        "QUANTUM_MONITOR_HISTORY_LIMIT": "30",
        "QUANTUM_MONITOR_GRACE_PERIOD": "30",
        "QUANTUM_MONITOR_CUSTOM_SERIES_LIMIT": "30",
    }
    settings = load_settings({"history_limit": 10}, config=file, environ=environ)
    assert (settings.history_limit, settings.grace_period, settings.custom_series_limit) == (10, 20, 30)


def test_an_argument_that_was_given_overrules_the_file_even_with_the_default(write: Write) -> None:
    file = write("metrics_port: 0\nstorage_path: elsewhere")
    settings = load_settings({"metrics_port": 9888, "storage_path": None}, config=file, environ={})
    assert settings.metrics_port == 9888
    assert settings.storage_path == Path("elsewhere")


def test_a_port_of_none_means_no_endpoint_wherever_it_is_given(write: Write) -> None:
    assert load_settings({"metrics_port": None}, environ=NOTHING).metrics_port is None
    assert load_settings({}, config=write("metrics_port: null"), environ=NOTHING).metrics_port is None
    assert load_settings({}, environ={"QUANTUM_MONITOR_METRICS_PORT": "null"}).metrics_port is None


def test_a_null_in_a_file_counts_as_not_given(write: Write) -> None:
    settings = load_settings({}, config=write("history_limit:\n"), environ={"QUANTUM_MONITOR_HISTORY_LIMIT": "5"})
    assert settings.history_limit == 5


def test_the_environment_can_name_the_file(write: Write) -> None:
    environ = {"QUANTUM_MONITOR_CONFIG": str(write("experiment_name: from_file"))}
    assert load_settings({}, environ=environ).experiment_name == "from_file"


def test_an_empty_file_changes_nothing(write: Write) -> None:
    assert load_settings({}, config=write("# only a comment\n"), environ=NOTHING) == Settings()


# The environment


@pytest.mark.parametrize("word", ["0", "false", "FALSE", "no", "off"])
def test_a_switch_is_off_by_any_usual_word(word: str) -> None:
    assert load_settings({}, environ={"QUANTUM_MONITOR_ENABLE_MLFLOW": word}).enable_mlflow is False


def test_each_kind_of_field_is_read_from_the_environment() -> None:
    environ = {
        "QUANTUM_MONITOR_EXPERIMENT_NAME": "2024",
        "QUANTUM_MONITOR_ENABLE_WANDB": "yes",
        "QUANTUM_MONITOR_LABELS": '{"team": "x"}',
        "QUANTUM_MONITOR_ALERT_CONFIG": "{gradient_explosion: 5, cost_spike: null}",
        "QUANTUM_MONITOR_STEP_DURATION_BUCKETS": "[0.5, 1e1]",
        "QUANTUM_MONITOR_RETENTION": "7",
        "QUANTUM_MONITOR_DISCOVERY": "targets",
        "QUANTUM_MONITOR_WANDB_PROJECT": "",
    }
    settings = load_settings({}, environ=environ)
    assert settings.experiment_name == "2024"
    assert settings.enable_wandb is True
    assert settings.labels == {"team": "x"}
    assert settings.alert_config == {"gradient_explosion": 5.0, "cost_spike": None}
    assert settings.step_duration_buckets == (0.5, 10.0)
    assert settings.retention == 7
    assert settings.discovery_dir == Path("targets")
    assert settings.wandb_project is None


def test_every_field_but_the_password_has_a_variable() -> None:
    for field in fields(Settings):
        variable = "QUANTUM_MONITOR_" + ("DISCOVERY" if field.name == "discovery_dir" else field.name.upper())
        try:
            value = getattr(load_settings({}, environ={variable: "a:\0"}), field.name)
        except ConfigurationError as error:
            assert str(error).startswith(variable)  # noqa: PT017 - texts take anything, all others refuse it
        else:
            assert value == ("a:\0" if field.name != "basic_auth_password" else None)


def test_a_misspelt_variable_is_counted_and_a_foreign_one_is_not() -> None:
    before = FAULTS.errors["environment"]
    load_settings({}, environ={"QUANTUM_MONITOR_METRIC_PORT": "1", "QUANTUM_MONITOR_RAISE": "1", "PATH": "x"})
    assert FAULTS.errors["environment"] == before + 1


# What is refused


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("experiment_name", 2024),
        ("experiment_name", " "),
        ("tracking_uri", 5),
        ("enable_mlflow", "yes"),
        ("enable_mlflow", 1),
        ("metrics_port", 65_536),
        ("metrics_port", -1),
        ("metrics_port", True),
        ("metrics_port", "9888"),
        ("metrics_port", 80.5),
        ("metrics_addr", ""),
        ("metrics_addr", "999.0.0.1"),
        ("metrics_addr", "127.0.0.1:9888"),
        ("metrics_addr", "http://localhost"),
        ("storage_path", 5),
        ("storage_path", "a\0b"),
        ("history_limit", 0),
        ("history_limit", float("nan")),
        ("retention", "soon"),
        ("retention", True),
        ("retention", -1),
        ("final_scrape_timeout", -1),
        ("final_scrape_timeout", float("nan")),
        ("grace_period", float("inf")),
        ("grace_period", "60"),
        ("tls_cert_file", "no/such/file.pem"),
        ("basic_auth_user", "a:b"),
        ("custom_series_limit", 10**9),
        ("step_duration_buckets", [1, 1]),
        ("step_duration_buckets", [0, 1]),
        ("step_duration_buckets", []),
        ("step_duration_buckets", range(1, 100)),
        ("step_duration_buckets", "1, 2"),
        ("step_duration_buckets", [1, "2"]),
        ("labels", ["team"]),
        ("labels", {"a-b": "x"}),
        ("labels", {"__a": "x"}),
        ("labels", {"run": "x"}),
        ("labels", {"team": 5}),
        ("labels", {f"l{i}": "x" for i in range(11)}),
        ("alert_config", [1]),
        ("alert_config", {"fidelity_drop": 2}),
    ],
)
def test_a_wrong_value_is_refused_with_its_field_and_the_mend(field: str, value: object) -> None:
    (problem,) = problems_of({field: value})
    assert problem.startswith(field)
    assert ";" in problem


def test_an_unknown_field_names_the_nearest_known_one() -> None:
    assert problems_of({"metric_port": 1}) == ["metric_port: there is no such field; did you mean metrics_port?"]


def test_every_problem_of_every_source_is_told_at_once(write: Write) -> None:
    file = write("grace_period: -1\nhistory_limit: many\n")
    told = problems_of({"metrics_addr": ""}, {"QUANTUM_MONITOR_METRICS_PORT": "70000"}, file)
    assert [text.split(": ")[0] for text in told] == [
        "QUANTUM_MONITOR_METRICS_PORT",
        f"{file}, line 1",
        f"{file}, line 2",
        "metrics_addr",
    ]


def test_no_label_of_the_catalog_can_be_taken() -> None:
    ours = {name for metric in catalog.METRICS for name in metric.label_names}
    assert ours <= RESERVED_LABELS


def test_long_values_are_cut_in_messages() -> None:
    (problem,) = problems_of({"metrics_addr": "x" * 10_000 + "!"})
    assert len(problem) < 300


# Secrets


def test_the_password_comes_from_the_first_line_of_its_file(write: Write) -> None:
    file = write("s3cret\r\nsecond line\n", "password")
    settings = load_settings({"basic_auth_user": "u", "basic_auth_password_file": str(file)}, environ=NOTHING)
    assert settings.basic_auth_password == "s3cret"


def test_the_password_comes_from_the_environment_and_the_file_is_stronger(write: Write) -> None:
    environ = {"QUANTUM_MONITOR_BASIC_AUTH_PASSWORD": "env", "QUANTUM_MONITOR_BASIC_AUTH_USER": "u"}
    assert load_settings({}, environ=environ).basic_auth_password == "env"
    file = write("file", "password")
    assert load_settings({"basic_auth_password_file": file}, environ=environ).basic_auth_password == "file"


def test_no_secret_shows_in_the_repr() -> None:
    environ = {"QUANTUM_MONITOR_BASIC_AUTH_PASSWORD": "s3cret", "QUANTUM_MONITOR_BASIC_AUTH_USER": "u"}
    settings = load_settings({"tracking_uri": "https://me:s3cret@mlflow.example"}, environ=environ)
    assert "s3cret" not in repr(settings)


def test_a_password_as_an_argument_or_in_the_file_is_refused_without_showing_it(write: Write) -> None:
    file = write("basic_auth_password: s3cret\nbasic_auth_pasword: s3cret\ntracking_uri: [s3cret]\n")
    told = "\n".join(problems_of({"basic_auth_password": "s3cret"}, config=file))
    assert told.count("basic_auth_password_file") == 3
    assert "s3cret" not in told


def test_a_syntax_error_does_not_quote_the_text_around_it(write: Write) -> None:
    (problem,) = check(write("basic_auth_user: me\npassword: s3cret: x\n"))
    assert "line 2" in problem
    assert "s3cret" not in problem


@pytest.mark.parametrize("content", ["", "\n", "\nsecond"])
def test_an_empty_password_is_refused(write: Write, content: str) -> None:
    file = write(content, "password")
    (problem,) = problems_of({"basic_auth_user": "u", "basic_auth_password_file": file})
    assert "empty first line" in problem


def test_a_user_without_a_password_and_a_password_without_a_user_are_refused(write: Write) -> None:
    assert "has no password" in problems_of({"basic_auth_user": "u"})[0]
    assert "without a user" in problems_of({"basic_auth_password_file": write("x", "password")})[0]


def test_a_key_or_client_ca_without_a_certificate_is_refused(write: Write) -> None:
    pem = write("x", "x.pem")
    told = problems_of({"tls_key_file": pem, "tls_client_ca_file": pem})
    assert [text.split(":")[0] for text in told] == ["tls_key_file", "tls_client_ca_file"]


# Alerts


def test_alert_config_holds_thresholds_switches_and_rules_of_metrics() -> None:
    config = {
        "gradient_explosion": 3,
        "fidelity_drop": None,
        "cost_spike": False,
        "hardware_temp": {"above": 0.02, "severity": "high", "for": "5m"},
        "purity": {"below": 0.9},
    }
    assert load_settings({"alert_config": config}, environ=NOTHING).alert_config == {
        "gradient_explosion": 3.0,
        "fidelity_drop": None,
        "cost_spike": None,
        "hardware_temp": MetricRule("hardware_temp", 0.02, severity=Severity.HIGH, hold_seconds=300.0),
        "purity": MetricRule("purity", 0.9, below=True),
    }


def test_a_small_number_without_a_dot_is_a_number(write: Write) -> None:
    settings = load_settings({}, config=write("alert_config: {barren_plateau: 1e-7}"), environ=NOTHING)
    assert settings.alert_config == {"barren_plateau": 1e-7}


# The file


def test_check_tells_all_problems_of_a_file_with_their_lines(write: Write) -> None:
    file = write(
        "experiment_name: 2024\n"
        "metrics_prt: 1\n"
        "history_limit: 5\n"
        "history_limit: 6\n"
        "labels:\n"
        "  le: x\n"
        "  team: 1.10\n"
        "alert_config:\n"
        "  gradient_explosoin: 10.0\n"
        "  my.metric: {above: 1, above: 2}\n"
        "tls_cert_file: no.pem\n"
        "grace_period: 2024-13-45\n"
    )
    told = [problem.split(": ")[:2] for problem in check(file)]
    assert told == [
        ["line 1", "experiment_name"],
        ["line 2", "metrics_prt"],
        ["line 4", "history_limit"],
        ["line 6", "labels.le"],
        ["line 7", "labels.team"],
        ["line 9", "alert_config.gradient_explosoin"],
        ["line 10", "alert_config.my.metric.above"],
        ["line 11", "tls_cert_file"],
        ["line 12", "grace_period"],
    ]
    assert "did you mean gradient_explosion?" in check(file)[5]


def test_check_finds_nothing_wrong_with_a_good_file(write: Write) -> None:
    text = "\ufeffexperiment_name: h2\nlabels: {team: x}\nbasic_auth_user: u\nretention: 30d\nmetrics_addr: '::1'\n"
    assert check(write(text)) == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: [1,\nb: 2", "line 2: column 5"),
        ("a:\tb\n\tc: d", "line 1: column 3"),
        ("- 1", "line 1: is not a mapping"),
        ("a: 1\n---\nb: 2", "line 2"),
        ("? [a]\n: 1", "line 1: a key is not a plain text"),
        ("experiment_name: !!python/object/apply:os.system [exit]", "line 1: experiment_name"),
        ("a: \x01", "character"),
    ],
)
def test_text_that_is_no_configuration_is_told_with_line_and_column(write: Write, text: str, place: str) -> None:
    assert any(place in problem for problem in check(write(text)))


def test_a_file_that_cannot_be_read_is_one_problem(tmp_path: Path) -> None:
    assert "No such file" in check(tmp_path / "missing.yaml")[0]
    assert "directory" in check(tmp_path)[0]
    assert len(problems_of({}, config=tmp_path / "missing.yaml")) == 1
    (tmp_path / "latin.yaml").write_bytes(b"experiment_name: \xff")
    assert "UTF-8" in check(tmp_path / "latin.yaml")[0]


LAUGHS = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in pairwise("abcdefghi"))


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS,
        "a: " + "[" * 50_000,
        "a: " + "{b: " * 20_000,
        "experiment_name: " + "x" * 10_000_000,
        "history_limit: " + "9" * 50_000,
        "history_limit: 0b_",
        "<<: {history_limit: 5}",
    ],
    ids=["billion laughs", "deep list", "deep mapping", "10 MB", "long integer", "broken integer", "merge"],
)
def test_hostile_text_is_refused_in_a_few_words(write: Write, text: str) -> None:
    told = check(write(text))
    assert told
    assert all(len(problem) < 1_000 for problem in told)


@pytest.mark.parametrize("text", [LAUGHS, "[" * 50_000, "{a: 1, a: 2}", "{a", "x" * 200_000])
def test_hostile_text_in_a_variable_is_refused(text: str) -> None:
    (problem,) = problems_of({}, {"QUANTUM_MONITOR_LABELS": text})
    assert problem.startswith("QUANTUM_MONITOR_LABELS: ")
    assert len(problem) < 400


# The object


def test_settings_cannot_be_changed_but_copied_and_sent_to_a_process() -> None:
    settings = load_settings({"labels": {"team": "x"}, "alert_config": {"a.b": {"above": 1}}}, environ=NOTHING)
    with pytest.raises(FrozenInstanceError):
        settings.history_limit = 5  # type: ignore[misc]
    sent = pickle.loads(pickle.dumps(settings))  # noqa: S301 - our own bytes
    assert sent == copy.deepcopy(settings) == settings
    assert asdict(settings)["labels"] == {"team": "x"}
