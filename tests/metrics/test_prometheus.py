"""A real Prometheus reads what a real agent says, alerts when a service is bypassed, and fills the dashboard."""

import json
import re

import pytest
from agent import QUICK, TAKES, Served, connected
from lab import echo_command, service, wait_for
from prometheus import FILES, Prometheus, promtool, serve

from viscum_agent.cli.metrics import METRICS, value_of
from viscum_agent.kernel import cgroup

# What Grafana puts in for its variables.
VARIABLES = {"$instance": ".*", "$service": ".*", "$__rate_interval": "10s"}


# What not every kernel counts. One does for sure in tests/vm/test_metrics.py.
OF_A_CONTROLLER = {
    "viscum_service_" + name for name in ("memory_bytes", "oom_kills_total", "tasks", "refused_tasks_total")
}


@pytest.fixture
def served(lab):
    lab.serve_cloud(7000)
    limits = () if cgroup.missing("memory") else ("option memory_max 64m",)  # what is limited is counted
    made = Served(lab, service("echo", echo_command("edge", 7000), *TAKES, *QUICK, "option compare 1", *limits))
    made.becomes("edge")
    wait_for(lambda: made.call("status")["services"]["echo"]["worth"]["cloud_rtt"])
    yield made
    assert "Traceback" not in made.log.read_text(), made.log.read_text()


@pytest.fixture
def watched(served):
    lab = served.lab
    serve(lab, *lab.agent("viscum_agent"), "-s", served.socket, "metrics")
    made = Prometheus(lab)
    made.reads()
    return made


def nothing_found(result):
    return (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_promtool_finds_nothing_in_the_text(served):
    text = served.viscum("metrics", "--text").stdout
    assert nothing_found(promtool("check", "metrics", text=text)), text
    assert not nothing_found(promtool("check", "metrics", text=text.replace("_total", "")))


def test_a_strict_reader_finds_all_that_there_is_in_openmetrics(served):
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    served.who()
    answer = served.call("status")
    row = answer["services"]["echo"]
    found = list(text_string_to_metric_families(served.viscum("metrics").stdout))
    samples = {sample.name: sample for family in found for sample in family.samples}
    assert set(samples) == {metric.name for metric in METRICS if counted(metric, answer)}
    packets, later = samples["viscum_service_received_packets_total"], served.call("status")["services"]["echo"]
    assert packets.labels == {"service": "echo"} and 3 < row["packets"] <= packets.value <= later["packets"]
    assert {family.unit for family in found if family.name.endswith("_bytes")} == {"bytes"}
    memory = samples["viscum_agent_memory_bytes"].value
    assert 1 << 20 < memory < 100 << 20, "of this process, and not of the command that asks"


def counted(metric, answer):
    """Whether the agent says it, and this kernel counts it for the service."""
    row = dict(answer, up=1) if metric.whose == "agent" else answer["services"]["echo"]
    return value_of(row, metric.key) not in (None, {})


def test_without_an_agent_that_is_what_is_said(served):
    served.kill()
    result = served.viscum("metrics", "--text", check=False)
    assert result.returncode == 1 and "no agent answers" in result.stderr
    assert result.stdout.endswith("\nviscum_agent_up 0\n")
    assert nothing_found(promtool("check", "metrics", text=result.stdout))


def test_promtool_takes_the_rules_their_examples_and_the_settings():
    for words in (("check", "rules", "viscum.rules.yml"), ("test", "rules", "viscum.rules.test.yml")):
        result = promtool(*words, folder=FILES)
        assert result.returncode == 0 and "SUCCESS" in result.stdout, result
    assert promtool("check", "config", "prometheus.yml", folder=FILES).returncode == 0


def test_each_alert_has_an_example_in_which_it_comes():
    names = re.findall(r"alert: (\w+)", (FILES / "viscum.rules.yml").read_text())
    examples = re.findall(r"alertname: (\w+)\n +exp_alerts:", (FILES / "viscum.rules.test.yml").read_text())
    assert names == examples


def test_an_alert_fires_while_a_service_is_bypassed(served, watched):
    assert watched.query('viscum_service_state{state="healthy"}')[0][1] == 1
    assert watched.alerts() == []
    served.viscum("bypass", "echo")
    wait_for(watched.alerts)
    ((name, labels),) = watched.alerts()
    assert (name, labels["service"], labels["reason"]) == ("ViscumServiceBypassed", "echo", "asked")
    served.viscum("bypass", "echo", "--off")
    wait_for(lambda: watched.alerts() == [])


def test_an_alert_fires_when_there_is_no_agent(served, watched):
    served.kill()
    wait_for(lambda: [name for name, _ in watched.alerts()] == ["ViscumAgentDown"])


def test_every_query_of_the_dashboard_has_data(served, watched):
    with connected(served.lab):
        wait_for(lambda: not uncounted(served) - OF_A_CONTROLLER)
        wait_for(lambda: served.who() and watched.query("rate(viscum_service_received_bytes_total[10s]) > 0"))
        counted_here = [query for _, query in queries() if not asked(query) <= OF_A_CONTROLLER]
        wait_for(lambda: [query for query in counted_here if not watched.query(query)] == [])
        assert watched.query("sum(viscum_service_redirects)") == [({}, 1)]


def asked(query):
    return set(re.findall(r"\bviscum_\w+", query))


def uncounted(served):
    """The metrics that the dashboard asks for and that are not there."""
    answer, names = served.call("status"), {name for _, query in queries() for name in asked(query)}
    return {metric.name for metric in METRICS if metric.name in names and not counted(metric, answer)}


def queries():
    """[(title, query)] of the dashboard's panels and variables."""
    dashboard = json.loads((FILES / "viscum.dashboard.json").read_text())
    found = [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel["targets"]]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"])
            found.append((variable["name"], "count by (%s) (%s) > 0" % (asked.group(2), asked.group(1))))
    for name, value in VARIABLES.items():
        found = [(title, query.replace(name, value)) for title, query in found]
    assert not [query for _, query in found if "$" in query]
    return found
