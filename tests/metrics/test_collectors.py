"""The collectors for OpenWrt's two node exporters, in their own languages, say what `viscum metrics` says."""

import json
import sys

import pytest
from lab import ROOT
from prometheus import UCODE, lua, ucode

sys.path.insert(0, str(ROOT / "tools"))

import metrics as made  # noqa: E402

from viscum_agent.cli import metrics  # noqa: E402
from viscum_agent.config.service import MAX_NAME  # noqa: E402

HEAD = {"version": "1.2.3-r4", "uptime": 70, "now": 1000, "memory": 4444160, "serial": 17, "generation": 3}
EMPTY = {"state": "stopped", "inhibitors": [], "restarts": 0, "passed": {}, "direct": {}, "memory": None, "from": []}
BUSY = {
    "state": "bypassed",
    "reason": 'a "reason"\nof two lines',
    "inhibitors": ["asked", "flapping"],
    "from_count": 2,
    "takes_count": 3,
    "stays_count": 1,
    "uptime": 60,
    "restarts": 4,
    "packets": 123456789012,
    "bytes": 98765432109876,
    "sent_packets": 1,
    "sent_bytes": 0,
    "drops": 7,
    "overlimits": 8,
    "passed": {"cloud": 1, "late": 2, "closed": 3, "elsewhere": 4, "of a later agent": 5},
    "direct": {"syn": 5, "replies": 6},
    "connections": 9,
    "memory": 5 << 30,
    "tasks": 12,
    "cpu_usec": 1234567890,
    "oom_kills": 1,
    "tasks_refused": 2,
    "worth": {"rtt": 1100, "cloud_rtt": None, "kept_bytes": 5 << 40, "requests": 12, "bypass_seconds": 3},
}
TWO_PAGES = [dict(HEAD, services={"a": BUSY, "b": EMPTY}, next="b"), dict(HEAD, services={"c" * MAX_NAME: BUSY})]
NO_SERVICE = [dict(HEAD, services={})]


def in_lua(value):
    """A value as ubus gives it to Lua: what is null is not there."""
    if isinstance(value, dict):
        return "{%s}" % ",".join("[%s]=%s" % (json.dumps(key), in_lua(value[key])) for key in value)
    if isinstance(value, list):
        return "{%s}" % ",".join(map(in_lua, value))
    if value is None:
        return "nil"
    return json.dumps(value).replace("\\n", "\\\n")


def in_json(value):
    return json.dumps(value)


def by_after(pages):
    """{`after`: answer}"""
    return dict(zip(["", *(page["next"] for page in pages[:-1])], pages, strict=True))


def meaning(text):
    """{name: (type, help, [sample])}, with labels in no order."""
    from prometheus_client.parser import text_string_to_metric_families

    return {
        family.name: (family.type, family.documentation, [(each.labels, each.value) for each in family.samples])
        for family in text_string_to_metric_families(text)
    }


def wanted(pages):
    services = {name: row for page in pages for name, row in page["services"].items()}
    return metrics.text(dict(HEAD, up=1, services=services), older=True)


@pytest.fixture(params=["lua", "ucode"])
def collect(request, tmp_path):
    """What a collector prints of the agent's answers."""
    if request.param == "ucode" and not UCODE:
        pytest.skip("no ucode here")
    run, collector, words = {"lua": (lua, made.LUA, in_lua), "ucode": (ucode, made.UCODE, in_json)}[request.param]

    def collected(answers):
        file = tmp_path / "answers"
        file.write_text(("return " if run is lua else "") + words(answers))
        return run(ROOT / ("tests/metrics/exporter." + collector.suffix[1:]), collector, file)

    return collected


@pytest.mark.parametrize("pages", [TWO_PAGES, NO_SERVICE], ids=("two pages", "no service"))
def test_a_collector_says_what_the_command_says(collect, pages):
    assert meaning(collect(by_after(pages))) == meaning(wanted(pages))
    assert collect(by_after(pages)).count("# HELP") == wanted(pages).count("# HELP"), "each name once"


def test_without_an_agent_a_collector_says_that(collect):
    for answers in ({}, {"": TWO_PAGES[0]}):  # none from the beginning, or none in the middle
        assert meaning(collect(answers)) == meaning(metrics.text({"up": 0, "services": {}}, older=True))


def test_the_answers_have_each_key_that_the_table_asks_for():
    assert {metric.key.split(".")[0] for metric in metrics.METRICS} - {"up"} <= set(HEAD) | set(BUSY)
