"""The servers of the compose stack on loopback, with the shipped configuration, and trainings that they watch.

Prometheus, its rules and Alertmanager are configured as shipped, but faster:

- scrapes and evaluations every second instead of every 15, by the code behind `quantum-monitor stack`;
- `for: 1m` is 15 seconds. Not less: Prometheus may take ten to notice that a target is gone, and until then the target
  of a process that ended in order fails;
- an alert is sent again after 15 seconds instead of a minute, and over for Alertmanager after four times that
  (`--rules.alert.resend-delay`);
- groups wait for 2 seconds and tell news after one (`loopback_config`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from quantum_monitor import assets
from quantum_monitor.stack import configuration
from tests.alertmanager.alertmanager_process import Alertmanager, loopback_config
from tests.alertmanager.receivers import Mailbox, Webhook, mailbox, part, webhook
from tests.e2e.prometheus_process import Prometheus
from tests.server_process import eventually

SCRIPT = Path(__file__).with_name("troubled_training.py")
HELD_SECONDS = 4
"""For how long the trainings hold a value at least, but for those that hold it for the true time."""


class TrainingProcess:
    """A process that runs `troubled_training.py`.

    Args:
        folder: where its runs and its standard error go.
        targets: the discovery folder.
        options: of the script.

    Attributes:
        run: what its run is called.
    """

    def __init__(self, folder: Path, targets: Path, **options: Any) -> None:
        folder.mkdir(parents=True)
        self.run: str = options["run"]
        self._targets, self._errors = targets, folder / "err.txt"
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, SCRIPT, json.dumps(options)],
                cwd=folder, env={**os.environ, "QUANTUM_MONITOR_DISCOVERY": str(targets)},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._orders, self._answers = self._process.stdin, self._process.stdout

    @property
    def address(self) -> str:
        """Its endpoint, which Prometheus calls `instance`; only while it is announced."""
        [target] = self._targets.glob(f"*-{self._process.pid}-*.json")
        address: str = json.loads(target.read_text())[0]["targets"][0]
        return address

    @property
    def errors(self) -> str:
        """What it has complained of."""
        return self._errors.read_text(errors="replace")

    def tell(self, method: str, *arguments: object) -> Any:
        """Have it do something and wait until it has; what came of it."""
        self._order(method, *arguments)
        return self._answer()

    def wait_until_up(self) -> None:
        """Wait until its run has begun."""
        assert self._answer() == "up"

    def leave(self) -> None:
        """Have it end in order, and wait until it has."""
        self._order("leave")
        assert self._process.wait(60) == 0, self.errors

    def kill(self) -> None:
        """End it at once, as the kernel does where memory runs out."""
        self._process.kill()
        self._process.wait()
        self._orders.close()
        self._answers.close()

    def _answer(self) -> Any:
        answer = self._answers.readline()
        assert answer, self.errors
        return json.loads(answer)

    def _order(self, method: str, *arguments: object) -> None:
        self._orders.write(json.dumps([method, *arguments]).encode() + b"\n")
        self._orders.flush()


@dataclass(frozen=True)
class Site:
    """Both servers, those who are told, and the folder in which trainings announce themselves."""

    prometheus: Prometheus
    alertmanager: Alertmanager
    web: Webhook
    mail: Mailbox
    targets: Path

    def slack(self, *texts: str) -> list[dict[str, Any]]:
        """The attachments of the Slack messages that contain these texts, oldest first."""
        sent = [request.json["attachments"][0] for request in self.web.received("/slack")]
        return [attachment for attachment in sent if all(text in str(attachment) for text in texts)]

    def mails(self, *texts: str) -> list[EmailMessage]:
        """The e-mails whose text contains these texts, oldest first."""
        return [mail for mail in self.mail.messages() if all(text in part(mail, "plain") for text in texts)]

    def wait_for_scrape_of(self, *trainings: TrainingProcess) -> None:
        """Wait until Prometheus has scraped each of them."""
        addresses = [training.address for training in trainings]
        eventually(
            lambda: all(self.prometheus.targets().get(address) == "up" for address in addresses),
            what="the first scrape of every training",
        )

    def alerts(self, selector: str) -> set[tuple[str, str]]:
        """The alerts that Prometheus has now, by a selector of their labels: name and state (pending, firing)."""
        found = self.prometheus.series(f"ALERTS{selector}")
        return {(series["metric"]["alertname"], series["metric"]["alertstate"]) for series in found}


@contextmanager
def alerting_site(server_binary: Callable[[str], Path], folder: Path) -> Iterator[Site]:
    """The servers, with everything of theirs in a folder; they are gone afterwards."""
    root, targets = folder / "assets", folder / "targets"
    targets.mkdir()
    assets.write(root, {name: text.replace("for: 1m\n", "for: 15s\n") for name, text in assets.texts().items()})
    with ExitStack() as stack:
        web, mail = stack.enter_context(webhook()), stack.enter_context(mailbox())
        routing = loopback_config(folder / "alertmanager", webhook=web.url, smarthost=mail.smarthost, wait="2s")
        alertmanager = stack.enter_context(Alertmanager(server_binary("prometheus-alertmanager"), routing))

        def config(port: int) -> str:
            addresses = {"prometheus": f"127.0.0.1:{port}", "alertmanager": alertmanager.address}
            return configuration.prometheus(root, discovery=targets, addresses=addresses, scrape_interval=1)

        prometheus = Prometheus(
            server_binary("prometheus"), folder / "prometheus", config, "--rules.alert.resend-delay=15s"
        )
        yield Site(stack.enter_context(prometheus), alertmanager, web, mail, targets)
