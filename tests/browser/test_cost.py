"""What an open page costs the router, and that one nobody looks at costs nothing."""

import os
from pathlib import Path

import pytest
from conftest import QUICK, STATUS
from lab import CPYTHON, MICROPYTHON, echo_command, service, wait_for

SERVICES = 20
# Milliseconds of CPU, generous: the aim is 2, and machines and what else they do differ.
MOST = {"cpython": 5, "micropython": 12}
POLLS = 150  # without a pause: at 2 s each they would take long, and CPU time is counted in steps of 10 ms


@pytest.fixture(params=["cpython", "micropython"])
def crowd(router, request):
    """Twenty services that run."""
    router.lab.interpreter = {"cpython": CPYTHON, "micropython": MICROPYTHON}[request.param]
    parts = []
    for number in range(SERVICES):
        port = 7100 + number
        lines = ("list device lan0", "list dest_ip 203.0.113.10", "list dest_port %d" % port)
        # Checks that fall into the measurement would be counted as the page's.
        slow = [line for line in QUICK if "health" not in line] + ["option health_interval 600"]
        parts.append(service("s%02d" % number, echo_command("edge", port), *lines, *slow))
    agent = router.runs("".join(parts))
    wait_for(lambda: all(row["state"] == "healthy" for row in router.ask("status")["services"].values()))
    return agent


def test_a_poll_costs_the_agent_little(router, page, crowd, request, capsys):
    page.open(STATUS)
    page.until("() => document.querySelectorAll('tr[data-service]').length == %d" % SERVICES)
    wait_for(lambda: crowd.who(7100) == "edge")
    page.run(POLL, 3)
    idle, began = cpu(crowd), len(router.calls("status"))
    page.run(POLL, POLLS)
    polls = len(router.calls("status")) - began
    spent = cpu(crowd) - idle
    assert polls >= POLLS
    assert all("since" in call.args for call in router.calls("status")[-POLLS:]), "only what moves is asked for"
    with capsys.disabled():
        name = request.node.callspec.params["crowd"]
        print("\nstatus of %d services, %s: %.2f ms of CPU a poll (%d polls)" % (SERVICES, name, spent / polls, polls))
    assert spent / polls < MOST[name]


POLL = """async (times) => {
    const agent = await L.require('viscum.agent');
    for (let i = 0; i < times; i++)
        await agent.status();
}"""


def cpu(agent):
    """Milliseconds of CPU that the agent has had: utime and stime (proc(5)), without the services' own."""
    words = Path("/proc/%d/stat" % agent.process.pid).read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def test_a_hidden_page_asks_nothing_and_goes_on_when_it_is_seen(router, page):
    router.runs()
    page.open(STATUS)
    page.sees("healthy")
    assert router.polls(5) >= 2
    page.hide()
    router.polls(0.5)
    assert len(router.gateway.calls) and router.polls(6, None) == 0
    page.show()
    wait_for(lambda: router.polls(1) > 0)


def test_a_closed_page_asks_nothing(router, page):
    router.runs()
    page.open(STATUS)
    page.sees("healthy")
    page.order("goto", "about:blank")
    router.polls(0.5)
    assert router.polls(5, None) == 0


def test_the_log_is_asked_for_only_while_it_is_open(router, page):
    router.runs()
    page.open(STATUS)
    page.sees("healthy")
    assert router.polls(5, "logs") == 0 and router.polls(0, "doctor") == 0
    page.click("summary:has-text('Log')")
    wait_for(lambda: router.calls("logs"))
    page.click("summary:has-text('Log')")
    router.polls(0.5)
    assert router.polls(5, "logs") == 0
