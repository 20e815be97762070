"""The configuration of the compose stack, rendered for other places: programs of this machine, or Mailpit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from quantum_monitor import assets
from quantum_monitor.stack import StackError

_RULES = "alertmanager/rules/*.rules.yml"
_MAILPIT = {"smtp_smarthost": "mailpit:1025", "smtp_require_tls": False}
# Addresses of prometheus.yml, inside of the compose network, to the servers that a local stack has too.
_SERVERS = {"localhost:9090": "prometheus", "alertmanager:9093": "alertmanager"}
_SCRAPE_TIMEOUT_AT_MOST = 10


@dataclass(frozen=True)
class Routing:
    """An Alertmanager configuration.

    Attributes:
        text: the YAML.
        told: its receivers that send something, in order.
    """

    text: str
    told: tuple[str, ...]


def prometheus(root: Path, *, discovery: Path, addresses: Mapping[str, str], scrape_interval: int | None = None) -> str:
    """prometheus.yml for local programs.

    Args:
        root: the folder of the assets.
        discovery: the folder in which training processes announce themselves.
        addresses: ``host:port`` of the servers ``prometheus`` and ``alertmanager``; jobs of others are left out.
        scrape_interval: seconds between scrapes, and between evaluations of the rules; None for those of the file.

    Raises:
        StackError: the path of the assets holds a letter that Prometheus reads as a pattern.
    """
    config: dict[str, Any] = yaml.safe_load((root / "prometheus/prometheus.yml").read_text(encoding="utf-8"))
    if scrape_interval is not None:
        config["global"] |= {
            "scrape_interval": f"{scrape_interval}s",
            "scrape_timeout": f"{min(scrape_interval, _SCRAPE_TIMEOUT_AT_MOST)}s",
            "evaluation_interval": f"{scrape_interval}s",
        }
    config["rule_files"] = [str(_without_pattern(root) / _RULES)]
    known = {address: addresses[server] for address, server in _SERVERS.items()}
    config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [addresses["alertmanager"]]}]}]
    config["scrape_configs"] = [
        local for job in config["scrape_configs"] if (local := _local_job(job, discovery, known)) is not None
    ]
    return _dumped(config)


def alertmanager(root: Path, *, slack_webhook_file: Path | None = None) -> Routing:
    """alertmanager.yml for local programs: Slack where there is a webhook, no e-mail, the routing as it is.

    E-mail needs addresses of the person's own, and so a file of the person's own.

    Args:
        root: the folder of the assets.
        slack_webhook_file: the file that holds the webhook's address.

    Raises:
        StackError: the file holds no address, or the path of the assets a letter that is read as a pattern.
    """
    config = _routing(root)
    _drop_credentials(config, "smtp_")
    _keep_receivers(config, {"slack_configs"} if slack_webhook_file is not None else set())
    if slack_webhook_file is None:
        _drop_credentials(config, "slack_")
    else:
        _check_webhook(slack_webhook_file)
        config["global"]["slack_api_url_file"] = str(slack_webhook_file)
    config["templates"] = [str(_without_pattern(root) / "alertmanager" / pattern) for pattern in config["templates"]]
    return Routing(_dumped(config), tuple(_told(config)))


def with_mailpit() -> str:
    """alertmanager.yml for the compose stack as it is at first: every e-mail to Mailpit, none to Slack.

    ``scripts/generate.py`` keeps ``alertmanager/alertmanager.local.yml`` in step with it.
    """
    config = _routing(assets.root())
    _drop_credentials(config, "slack_")
    _keep_receivers(config, {"email_configs"})
    config["global"] = {
        **{name: value for name, value in config["global"].items() if not name.startswith("smtp_auth_")},
        **_MAILPIT,
    }
    head = (
        "# Generated from alertmanager.yml: the same routing, but e-mails go to Mailpit of the compose stack and\n"
        "# nothing goes to Slack. docs/stack.md says how to tell people instead.\n\n"
    )
    return head + _dumped(config)


def own_routing(file: Path) -> Routing:
    """A configuration of the person's own, as it is.

    Raises:
        StackError: it cannot be read.
    """
    try:
        text = file.read_text(encoding="utf-8")
        return Routing(text, tuple(_told(yaml.safe_load(text))))
    except (OSError, ValueError, yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        raise StackError(f"--alertmanager-config: {file} cannot be used: {' '.join(str(error).split())}") from error


def _local_job(job: dict[str, Any], discovery: Path, known: Mapping[str, str]) -> dict[str, Any] | None:
    """A scrape job with addresses of this machine; None if it scrapes nothing that a local stack has."""
    if "file_sd_configs" in job:
        # A process here that says 127.0.0.1 means this machine: no address has to be rewritten.
        kept = {name: value for name, value in job.items() if name != "relabel_configs"}
        [watch] = job["file_sd_configs"]
        return kept | {"file_sd_configs": [watch | {"files": [str(_without_pattern(discovery) / "*.json")]}]}
    targets = [target for group in job["static_configs"] for target in group["targets"]]
    here = [known[target] for target in targets if target in known]
    return job | {"static_configs": [{"targets": here}]} if here else None


def _routing(root: Path) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((root / "alertmanager/alertmanager.yml").read_text(encoding="utf-8"))
    return config


def _drop_credentials(config: dict[str, Any], prefix: str) -> None:
    config["global"] = {name: value for name, value in config["global"].items() if not name.startswith(prefix)}


def _keep_receivers(config: dict[str, Any], kinds: set[str]) -> None:
    """Keep every receiver, for routes name them, but only these ways of telling."""
    config["receivers"] = [
        {name: value for name, value in receiver.items() if name == "name" or name in kinds}
        for receiver in config["receivers"]
    ]


def _told(config: Mapping[str, Any]) -> Iterator[str]:
    return (
        receiver["name"] for receiver in config["receivers"] if any(receiver[key] for key in receiver if key != "name")
    )


def _check_webhook(file: Path) -> None:
    try:
        usable = file.read_text(encoding="utf-8").strip().startswith(("https://", "http://"))
    except (OSError, ValueError) as error:
        raise StackError(
            f"--slack-webhook-file: {file} cannot be read: {error}; name a file with the address"
        ) from error
    if not usable:  # what stands in it may be a secret all the same
        raise StackError(f"--slack-webhook-file: {file} holds no address; write the webhook's https:// address into it")


def _without_pattern(folder: Path) -> Path:
    if set(str(folder)) & set("*?[]\\"):
        raise StackError(
            f"{str(folder)!r} cannot be used: Prometheus reads * ? [ ] \\ as a pattern; use another folder"
        )
    return folder


class _Dumper(yaml.SafeDumper):
    """Writes what is shared in full, so that each receiver can be read by itself."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        return True


def _dumped(config: Mapping[str, Any]) -> str:
    text: str = yaml.dump(config, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text
