"""Configuration: arguments, a YAML file, the environment and the defaults, in that order of strength."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from quantum_monitor import config_values as values
from quantum_monitor.alerts.bases import GRAFANA_URL, RUNBOOK_URL
from quantum_monitor.alerts.rules import AlertConfig, nearest, short
from quantum_monitor.config_file import Document, Place, read_file, read_value
from quantum_monitor.faults import FAULTS

Problem = tuple[Place, str]

_PREFIX = "QUANTUM_MONITOR_"
_FILE_VARIABLE = "QUANTUM_MONITOR_CONFIG"
_PASSWORD_VARIABLE = "QUANTUM_MONITOR_BASIC_AUTH_PASSWORD"  # noqa: S105 - the name of a variable, not a password


class ConfigurationError(ValueError):
    """Wrong configuration: all that is wrong, each with its field, its value and the mend.

    Attributes:
        problems: one sentence for each problem.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True)
class _Option:
    """How the values of a field are checked, and what environment variable sets it."""

    read: values.Reader
    from_text: Callable[[str], Any]
    variable: str | None


def _by(
    read: values.Reader, *, from_text: Callable[[str], Any] = read_value, variable: str | None = None
) -> dict[str, _Option]:
    return {"option": _Option(read, from_text, variable)}


def _text_by(read: values.Reader, *, variable: str | None = None) -> dict[str, _Option]:
    return _by(read, from_text=str, variable=variable)


def _read_notifiers(value: Any) -> Any:
    # Not at the top: few processes tell people themselves, and every import would pay for it.
    from quantum_monitor.alerts.notifiers.options import read_notifiers

    return read_notifiers(value)


def _read_price_tables(value: Any) -> Any:
    from quantum_monitor.costs.lookup import readable_tables

    return readable_tables(value)


def _read_trackers(value: Any) -> Any:
    from quantum_monitor.trackers.finding import read_trackers

    return read_trackers(value)


@dataclass(frozen=True)
class Settings:
    """All options of a monitor, checked. ``load_settings`` makes them.

    Attributes:
        experiment_name: the label ``experiment``, and the folder below ``storage_path``.
        tracking_uri: where MLflow keeps its runs; None for MLflow's own choice. May hold a password: not in the repr.
        enable_mlflow: deliver runs to MLflow; None delivers where it is installed, True warns where it is not.
        mlflow_nested: whether a run that starts inside an active MLflow run of the process becomes a run below that
            one, instead of going on with it.
        enable_wandb: deliver runs to Weights & Biases.
        wandb_project: the project there; None for the experiment's name.
        wandb_entity: the user or team there; None for the key's own.
        wandb_group: the group of runs there.
        wandb_mode: ``online`` or ``offline``; None for online where there is a key.
        trackers: options by name of a tracker that a package brings. May hold secrets: not in the repr.
        delivery_timeout: seconds that ``end_run`` waits for delivery.
        delivery_grace: seconds that delivery may go on after the process has ended.
        alert_config: thresholds by alert key (None switches an alert off), and rules of their own by metric name.
        alert_cooldown: seconds before an alert that keeps firing, or fires again, is reported again.
        enforce_budget: raise BudgetExceeded before a circuit that would cost more than what is left of ``cost_budget``.
        price_tables: a file, or a folder of files, with prices of one's own; see ``docs/costs.md``.
        backend_poll_interval: seconds between two looks at the backends that are watched; 0 looks at none.
        notifiers: options by kind of notifier, with its secrets: not in the repr.
        grafana_url: the base of the dashboard links in messages.
        runbook_url: the base of the runbook links in messages.
        storage_path: the folder that runs are kept in.
        metrics_port: of the ``/metrics`` endpoint; 0 for any free one, None for no endpoint.
        metrics_addr: the address that the endpoint listens on.
        labels: constant labels on every series; at most 10.
        history_limit: values of each metric kept in memory.
        keep_states: snapshots of its logged states that a run keeps to look at, 64 KiB each at most; 0 for none.
        retention: what is kept of earlier runs at start: an age such as "30d", or a number of runs; None keeps all.
        final_scrape_timeout: seconds that the end of the process waits for its last values to be scraped.
        grace_period: seconds for which a run that ended keeps its series.
        discovery_dir: the folder in which the endpoint announces itself; None for nowhere.
        tls_cert_file: PEM file of the server's certificate; None for plain HTTP.
        tls_key_file: PEM file of its key; None where the certificate's file holds it.
        tls_client_ca_file: PEM file of the authorities whose clients may read; None lets clients in without.
        basic_auth_user: the user that may read; None asks for none.
        basic_auth_password_file: file whose first line is the password.
        custom_series_limit: names that a run may have in ``quantum_custom_metric``.
        step_duration_buckets: upper bounds in seconds of the histogram of step durations.
        execution_duration_buckets: likewise of execution times.
        queue_duration_buckets: likewise of queue times.
        basic_auth_password: the password, from the file or QUANTUM_MONITOR_BASIC_AUTH_PASSWORD. Not in the repr.
    """

    experiment_name: str = field(default="quantum_experiment", metadata=_text_by(values.text))
    tracking_uri: str | None = field(default=None, repr=False, metadata=_text_by(values.secret_text))
    enable_mlflow: bool | None = field(default=None, metadata=_by(values.flag, from_text=values.flag_word))
    mlflow_nested: bool = field(default=False, metadata=_by(values.flag, from_text=values.flag_word))
    enable_wandb: bool = field(default=False, metadata=_by(values.flag, from_text=values.flag_word))
    wandb_project: str | None = field(default=None, metadata=_text_by(values.text))
    wandb_entity: str | None = field(default=None, metadata=_text_by(values.text))
    wandb_group: str | None = field(default=None, metadata=_text_by(values.text))
    wandb_mode: str | None = field(default=None, metadata=_text_by(values.one_of("online", "offline")))
    trackers: Mapping[str, Mapping[str, Any]] | None = field(default=None, repr=False, metadata=_by(_read_trackers))
    delivery_timeout: float = field(default=5, metadata=_by(values.number(0, 3_600)))
    delivery_grace: float = field(default=300, metadata=_by(values.number(0, 86_400)))
    alert_config: AlertConfig | None = field(default=None, metadata=_by(values.alerts))
    alert_cooldown: float = field(default=300, metadata=_by(values.number(1, 86_400)))
    enforce_budget: bool = field(default=False, metadata=_by(values.flag, from_text=values.flag_word))
    price_tables: Path | None = field(default=None, metadata=_text_by(_read_price_tables))
    backend_poll_interval: float = field(default=60, metadata=_by(values.number(0, 86_400)))
    notifiers: Mapping[str, Mapping[str, Any]] | None = field(default=None, repr=False, metadata=_by(_read_notifiers))
    grafana_url: str = field(default=GRAFANA_URL, metadata=_text_by(values.web_address))
    runbook_url: str = field(default=RUNBOOK_URL, metadata=_text_by(values.web_address))
    storage_path: Path = field(default=Path("quantum_monitoring"), metadata=_text_by(values.path))
    metrics_port: int | None = field(default=9888, metadata=_by(values.optional(values.whole(0, 65_535))))
    metrics_addr: str = field(default="127.0.0.1", metadata=_text_by(values.address))
    labels: Mapping[str, str] | None = field(default=None, metadata=_by(values.labels))
    history_limit: int = field(default=10_000, metadata=_by(values.whole(1, 10_000_000)))
    keep_states: int = field(default=200, metadata=_by(values.whole(0, 1_000)))
    retention: str | int | None = field(default=None, metadata=_by(values.retention))
    final_scrape_timeout: float = field(default=0, metadata=_by(values.number(0, 3_600)))
    grace_period: float = field(default=60, metadata=_by(values.number(0, 600)))
    discovery_dir: Path | None = field(
        default=None, metadata=_text_by(values.path, variable="QUANTUM_MONITOR_DISCOVERY")
    )
    tls_cert_file: Path | None = field(default=None, metadata=_text_by(values.existing_file))
    tls_key_file: Path | None = field(default=None, metadata=_text_by(values.existing_file))
    tls_client_ca_file: Path | None = field(default=None, metadata=_text_by(values.existing_file))
    basic_auth_user: str | None = field(default=None, metadata=_text_by(values.user_name))
    basic_auth_password_file: Path | None = field(default=None, metadata=_text_by(values.existing_file))
    custom_series_limit: int = field(default=1_000, metadata=_by(values.whole(0, 100_000)))
    step_duration_buckets: tuple[float, ...] = field(
        default=(0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 30.0), metadata=_by(values.buckets)
    )
    execution_duration_buckets: tuple[float, ...] = field(
        default=(0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0), metadata=_by(values.buckets)
    )
    queue_duration_buckets: tuple[float, ...] = field(
        default=(1.0, 10.0, 60.0, 300.0, 1_800.0, 7_200.0), metadata=_by(values.buckets)
    )
    basic_auth_password: str | None = field(default=None, repr=False)


_OPTIONS: Mapping[str, _Option] = {f.name: f.metadata["option"] for f in fields(Settings) if f.metadata}
_VARIABLES: Mapping[str, str] = {option.variable or _PREFIX + name.upper(): name for name, option in _OPTIONS.items()}


def load_settings(
    arguments: Mapping[str, object], *, config: str | Path | None = None, environ: Mapping[str, str] = os.environ
) -> Settings:
    """Put the settings of a monitor together.

    Stronger before weaker: ``arguments``, the YAML file, the environment, the default. None counts as not given, but
    for the port, where it means no endpoint. A wrong value is an error even where a stronger one hides it. Paths in the
    file are taken from the working directory.

    Args:
        arguments: field to value, those that were handed to ``QuantumMonitor``.
        config: a YAML file; else the one that QUANTUM_MONITOR_CONFIG names; else none.
        environ: the environment. ``QUANTUM_MONITOR_<FIELD>`` in capitals sets a field (``discovery_dir`` is
            QUANTUM_MONITOR_DISCOVERY); an empty variable counts as not given. Texts and paths are taken as they are,
            switches are 0/1, false/true, no/yes or off/on, anything else is read as YAML: ``null``, ``[0.1, 1]``.

    Raises:
        ConfigurationError: something is wrong; all problems at once.
    """
    problems: list[str] = []
    chosen = _from_environment(environ, problems)
    file = config if config is not None else environ.get(_FILE_VARIABLE) or None
    if file is not None:
        chosen |= _from_file(file, str(file), problems)
    chosen |= _from_arguments(arguments, problems)
    sound = not problems  # a half-read configuration would be reported for what it does not lack
    chosen |= _notifiers(chosen, environ, problems)
    if sound:
        chosen |= _password(chosen, environ, problems)
        problems.extend(_contradictions(chosen))
    if problems:
        raise ConfigurationError(problems)
    return Settings(**chosen)


def check(file: str | Path) -> list[str]:
    """What is wrong with a YAML configuration file.

    Args:
        file: its path.

    Returns:
        One sentence for each problem, with its line; empty if the file can be used. Where the text is no YAML, that is
        the only problem, for nobody can tell what the rest means.
    """
    problems: list[str] = []
    chosen = _from_file(file, "", problems)
    from quantum_monitor.alerts.notifiers.options import VARIABLES

    sound = not problems
    environ = {_PASSWORD_VARIABLE: "in the environment", **VARIABLES}
    chosen |= _notifiers(chosen, environ, problems)
    if sound:
        chosen |= _password(chosen, environ, problems)
        problems.extend(_contradictions(chosen))
    return problems


def _from_arguments(arguments: Mapping[str, object], problems: list[str]) -> dict[str, Any]:
    chosen, wrong = _read_all(arguments)
    problems.extend(f"{'.'.join(place)}: {text}" for place, text in wrong)
    return chosen


def _from_environment(environ: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    _warn_of_misspelt(environ)
    given: dict[str, Any] = {}
    for variable, name in _VARIABLES.items():
        text = environ.get(variable, "")
        if text.strip():
            try:
                given[name] = _OPTIONS[name].from_text(text)
            except ValueError as error:
                problems.append(f"{variable}: {error}")
    chosen, wrong = _read_all(given)
    for (name, *keys), text in wrong:
        problems.append(f"{'.'.join((_variable(name), *keys))}: {text}")
    return chosen


def _from_file(file: str | Path, shown_as: str, problems: list[str]) -> dict[str, Any]:
    try:
        document = read_file(values.path(file))
    except ValueError as error:
        problems.append(f"config: {error}")
        return {}
    chosen, wrong = _read_all(document.values)
    found = [*document.problems, *((place, _line(document, place), text) for place, text in wrong)]
    for place, line, text in sorted(found, key=lambda problem: problem[1]):
        where = ", ".join(filter(None, (shown_as, f"line {line}" if line else "")))
        problems.append(": ".join(filter(None, (where, ".".join(place), text))))
    return chosen


def _read_all(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Check the values given for fields; those that are right, and what is wrong with the others."""
    chosen: dict[str, Any] = {}
    wrong: list[Problem] = []
    for name, value in given.items():
        if name not in _OPTIONS:
            wrong.append(((name,), _unknown(name)))
        elif value is not None or name == "metrics_port":  # None is not given, but for the port: no endpoint
            try:
                chosen[name] = _OPTIONS[name].read(value)
            except values.WrongEntriesError as error:
                wrong.extend(((name, *place), text) for place, text in error.entries)
            except ValueError as error:
                wrong.append(((name,), str(error)))
    return chosen, wrong


def _unknown(name: str) -> str:
    if name == "basic_auth_password":
        return (
            f"a password does not belong here; write it into a file and name that in basic_auth_password_file, "
            f"or set {_PASSWORD_VARIABLE}"
        )
    return f"there is no such field; {nearest(name, _OPTIONS)}"


def _variable(name: str) -> str:
    return _OPTIONS[name].variable or _PREFIX + name.upper()


def _line(document: Document, place: Place) -> int:
    """The line of a key, or of the nearest key around it that the document knows."""
    return next(document.lines[place[:depth]] for depth in range(len(place), 0, -1) if place[:depth] in document.lines)


def _warn_of_misspelt(environ: Mapping[str, str]) -> None:
    if not any(variable.startswith(_PREFIX) for variable in environ):
        return
    from quantum_monitor.alerts.notifiers.options import VARIABLES

    ours = (*_VARIABLES, _FILE_VARIABLE, _PASSWORD_VARIABLE, *VARIABLES)
    known = [variable.removeprefix(_PREFIX) for variable in ours]
    for variable in environ:
        if variable.startswith(_PREFIX) and (suffix := variable.removeprefix(_PREFIX)) not in known:
            # Others may have variables with this prefix too, so only what looks like one of ours is worth a word.
            near = difflib.get_close_matches(suffix, known, n=1, cutoff=0.8)
            if near:
                FAULTS.rejected("environment", f"{variable} is not read; did you mean {_PREFIX}{near[0]}?")


def _password(chosen: Mapping[str, Any], environ: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    """The password that goes with the user: from the file, else from the environment."""
    user, file = chosen.get("basic_auth_user"), chosen.get("basic_auth_password_file")
    if user is None:
        if file is not None:
            problems.append("basic_auth_password_file: is of no use without a user; set basic_auth_user")
        return {}
    if file is None:
        password = environ.get(_PASSWORD_VARIABLE, "")
        if not password:
            problems.append(
                f"basic_auth_user: {short(user)} has no password; name a file in basic_auth_password_file, "
                f"or set {_PASSWORD_VARIABLE}"
            )
        return {"basic_auth_password": password}
    try:
        return {"basic_auth_password": values.first_line(file)}
    except ValueError as error:
        problems.append(f"basic_auth_password_file: {error}")
        return {}


def _notifiers(chosen: Mapping[str, Any], environ: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    """The notifiers with their secrets, from files, else from the environment."""
    if not chosen.get("notifiers"):
        return {}
    from quantum_monitor.alerts.notifiers.options import with_secrets

    complete, wrong = with_secrets(chosen["notifiers"], environ)
    problems.extend(f"{'.'.join(('notifiers', *place))}: {text}" for place, text in wrong)
    return {"notifiers": complete} if complete else {}


def _contradictions(chosen: Mapping[str, Any]) -> list[str]:
    certificate = chosen.get("tls_cert_file")
    if certificate is not None:
        from quantum_monitor.prometheus.access import Tls

        try:
            Tls(certificate, chosen.get("tls_key_file"), chosen.get("tls_client_ca_file")).context()
        except ValueError as error:
            return [str(error)]
        return []
    return [
        f"{name}: is of no use without a certificate; set tls_cert_file"
        for name in ("tls_key_file", "tls_client_ca_file")
        if chosen.get(name) is not None
    ]
