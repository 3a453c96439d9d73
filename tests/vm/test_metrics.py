"""What the dashboard of fleet/prometheus shows, on a kernel that counts all of it: memory needs a controller of control
groups (version 2), which not every machine has. What its queries make of that: tests/metrics."""

import json
import re

from agent import PATIENT, TAKES, Served, answering, connected
from lab import ROOT, echo_command, service, wait_for

from viscum_agent.cli.metrics import METRICS


def queried():
    """The metrics that the dashboard's panels ask for."""
    dashboard = json.loads((ROOT / "fleet/prometheus/viscum.dashboard.json").read_text())
    queries = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    return {metric.name for metric in METRICS if re.search(r"\b%s\b" % metric.name, queries)}


def test_each_panel_of_the_dashboard_has_data(lab):
    asked = queried()
    assert "viscum_service_memory_bytes" in asked
    more = "option memory_max 64m", "option compare 1"
    config = service("echo", echo_command("edge", 7000), *TAKES, *PATIENT, *more)
    with answering(lab, config, kind=Served) as served, connected(lab):

        def there():
            values = re.findall(r"^(\w+)(?:{.*})? (\S+)$", served.viscum("metrics").stdout, re.MULTILINE)
            return {name: float(value) for name, value in values}

        wait_for(lambda: asked <= set(there()))
        assert there()["viscum_service_memory_bytes"] > 1 << 20
        assert there()["viscum_service_tasks"] == 1
