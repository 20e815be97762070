"""The generated dashboards against Grafana's own schema, as its Foundation SDK carries it (from Python 3.11 on).

The SDK's classes are generated from the schema of dashboards, panels and queries. What they read and write back is
compared with what was read: a key that the schema does not know gets lost on the way. Then every value is held against
the type that its class declares, down to the words of each enumeration.
"""

from __future__ import annotations

import enum
import json
import re
import types
import typing
from collections.abc import Iterator
from typing import Any

import pytest

from tests.dashboards.panel_queries import dashboards

sdk = pytest.importorskip("grafana_foundation_sdk.models.dashboard")
plugins = pytest.importorskip("grafana_foundation_sdk.cog.plugins")
encoder = pytest.importorskip("grafana_foundation_sdk.cog.encoder")

BESIDE_THE_SCHEMA = {
    r"annotations/list/\d+/(expr|titleFormat|textFormat|tagKeys|useValueForTime)": "of the Prometheus plug-in alone",
    r"templating/list/\d+/definition": "Grafana writes it itself, as the text of the query",
}
"""Keys that Grafana reads and its schema leaves out, and why."""

each_dashboard = pytest.mark.parametrize("dashboard", dashboards().values(), ids=dashboards())


@pytest.fixture(scope="module", autouse=True)
def _panels_are_known() -> None:
    plugins.register_default_plugins()


@each_dashboard
def test_every_key_is_one_of_the_schema(dashboard: dict[str, Any]) -> None:
    back = json.loads(json.dumps(sdk.Dashboard.from_json(dashboard), cls=encoder.JSONEncoder))
    lost = [key for key in unequal(dashboard, back) if not any(re.fullmatch(known, key) for known in BESIDE_THE_SCHEMA)]
    assert lost == []


@each_dashboard
def test_every_value_is_of_the_type_that_the_schema_wants(dashboard: dict[str, Any]) -> None:
    assert list(mistyped(sdk.Dashboard.from_json(dashboard), "dashboard")) == []


def test_the_check_finds_an_unknown_key_and_a_wrong_word() -> None:
    dashboard = dashboards()["training"]
    panel = next(panel for panel in dashboard["panels"] if panel["type"] == "timeseries")
    panel["options"]["legend"]["placment"] = "bottom"
    panel["options"]["tooltip"]["mode"] = "all"
    read = sdk.Dashboard.from_json(dashboard)
    back = json.loads(json.dumps(read, cls=encoder.JSONEncoder))
    assert any(key.endswith("options/legend/placment") for key in unequal(dashboard, back))
    assert [place.rpartition(".")[2] for place in mistyped(read, "dashboard")] == ["mode: 'all'"]


def unequal(written: Any, back: Any, place: str = "") -> Iterator[str]:
    """Paths of what was lost or changed; what came on top are defaults."""
    if isinstance(written, dict) and isinstance(back, dict):
        for key, value in written.items():
            yield from unequal(value, back.get(key, ...), f"{place}/{key}".strip("/"))
    elif isinstance(written, list) and isinstance(back, list) and len(written) == len(back):
        for index, pair in enumerate(zip(written, back, strict=True)):
            yield from unequal(*pair, f"{place}/{index}")
    elif written != back:
        yield place


def mistyped(read: Any, place: str) -> Iterator[str]:
    """Paths of values, below an object of the SDK, that are not what its class declares."""
    if isinstance(read, (list, tuple)):
        for index, entry in enumerate(read):
            yield from mistyped(entry, f"{place}[{index}]")
    elif type(read).__module__.startswith("grafana_foundation_sdk"):
        for name, hint in typing.get_type_hints(type(read)).items():
            value = getattr(read, name)
            if not fits(value, hint):
                yield f"{place}.{name}: {value!r}"
            yield from mistyped(value, f"{place}.{name}")


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is what a type hint says, read as JSON: words for enumerations, whole numbers for floats."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in (Any, object):
        return True
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, argument) for argument in arguments)
    if origin is typing.Literal:
        return value in arguments
    if origin in (list, dict):
        entries = value.values() if isinstance(value, dict) else value
        return isinstance(value, origin) and all(fits(entry, arguments[-1]) for entry in entries)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return value in [member.value for member in hint]
    if isinstance(value, dict) and hint.__module__.startswith("grafana_foundation_sdk"):
        return True  # the SDK leaves some parts as they are in the JSON
    return isinstance(value, hint) and isinstance(value, bool) is (hint is bool)
