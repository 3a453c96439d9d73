"""An agent with nothing to do sleeps: what wakes it now and then, and how often, is in docs/routers.md."""

import datapaths
import pytest
from agent import QUICK, TAKES, Resting
from lab import echo_command, service

GLOBALS = "config globals 'globals'\n\toption watch_timeout %d\n\n"
BY_TIME = [name for name in ("bpf-tcx", "bpf-cls", "bpf-netkit") if datapaths.has(name)]


def takes(port, device="lan0"):
    return "list device " + device, "list dest_ip 203.0.113.10", "list dest_port %d" % port


def unchecked(name, port, *lines):
    return service(name, echo_command(name, port), *takes(port), "option healthcheck none", *lines)


# Prints more than a log has room for, and half a line.
PRINTS = "seq 1000; printf unfinished"

# One service in each state in which there is nothing to do.
RESTING = [
    service(
        "healthy",
        "/bin/sh -c '%s; exec %s'" % (PRINTS, echo_command("healthy", 7000)),
        *takes(7000),
        "option healthcheck none",
    ),
    unchecked("bypassed", 7001),
    unchecked("stopped", 7002),
    unchecked("disabled", 7003).replace("enabled 1", "enabled 0"),
    service("failed", "/bin/false", *takes(7004), "option respawn_retry 1", "option respawn_timeout 0"),
    service("waiting", echo_command("waiting", 7005), *takes(7005, "nosuch0")),
]
STATES = {name: name for name in ("healthy", "bypassed", "stopped", "disabled", "failed", "waiting")}


def test_no_service_that_has_nothing_to_do_wakes_the_agent(lab):
    made = Resting(lab, GLOBALS % 3600 + service("healthy", echo_command("healthy", 7000), *TAKES, *QUICK))
    made.says("healthy: healthy")
    made.reload(GLOBALS % 3600 + "".join(RESTING))  # before its sockets were looked at again
    made.says("failed: failed")
    made.call("bypass", name="bypassed", on=True)
    made.call("stop", name="stopped")
    made.become(**STATES)
    made.sleeps()
    made.reload(GLOBALS % 3600)
    made.become()
    made.sleeps()


@pytest.mark.parametrize("datapath", BY_TIME[:1])
@pytest.mark.usefixtures("datapath")
def test_without_a_redirect_no_deadline_is_put_off_and_the_next_redirect_takes_clients_at_once(lab):
    lab.serve_cloud(7000)
    made = Resting(lab, GLOBALS % 3 + unchecked("echo", 7000))
    made.becomes("echo")
    assert made.wakes() >= 1
    made.call("bypass", name="echo", on=True)
    made.become(echo="bypassed")
    made.sleeps()
    made.call("bypass", name="echo", on=False)
    made.redirects(device="vsc-echo")
    assert made.who() == "echo"
