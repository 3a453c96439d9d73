"""The status page on a phone, a tablet and a desktop, light and dark: nothing scrolls sideways, nothing moves when it
refreshes, all of it can be read, and curves fill their boxes from the beginning. And what the edge is worth, on it.

The agent's answers are made here, so that each poll brings figures of other widths, and all that may be long is. The
theme is the tests' own (theme/); VISCUM_THEME=FOLDER takes the style sheets of a real one. VISCUM_PICTURES=1 writes the
pictures of docs/luci.md.
"""

import math
import os

import pytest
from conftest import STATUS
from lab import ROOT
from looks import curves, moved, pale, places, too_wide
from rpcd import Status

from viscum_agent.ubus import codes as code

SIZES = {360: 740, 800: 800, 1280: 680}
PICTURES = os.environ.get("VISCUM_PICTURES")
LARGEST = 120000  # bytes of a picture
LONG = "/usr/lib/a-folder-with-a-long-name/and-another-one/" + "program-that-has-no-blank-in-its-name" * 3
NAME = "with_a_name_as_long_as_somebody_felt_like_when_he_typed_it_into_the_form"
ROW = {
    "state": "healthy",
    "reason": "",
    "pid": 700,
    "uptime": 59,
    "restarts": 0,
    "bypass": False,
    "datapath": "bpf",
    "interfaces": ["lan"],
    "from": ["br-lan"],
    "takes": ["tcp 203.0.113.10/32 port 5201", "udp 203.0.113.10/32 port 5201"],
    "stays": [],
    "packets": 0,
    "bytes": 0,
    "sent_bytes": 0,
    "connections": 0,
    "memory": 9437184,
    "worth": {"rtt": None, "cloud_rtt": None, "kept_bytes": 0, "requests": None, "bypass_seconds": 0},
}
OFF = {"pid": 0, "uptime": 0, "datapath": "", "from": [], "memory": 0}
SERVICES = {
    "iperf": ROW,
    "mqtt": {
        **ROW,
        "state": "bypassed",
        "reason": "asked for",
        "bypass": True,
        "takes": ["tcp 203.0.113.10/32 port 1883"],
    },
    "plates": {**ROW, **OFF, "state": "failed", "restarts": 7, "reason": LONG + ": no such file: opkg install it"},
    "video": {**ROW, **OFF, "state": "disabled", "takes": ["tcp 2001:db8:1234:5678:9abc:def0:1234:5678/128 port 443"]},
    NAME: {
        **ROW,
        "interfaces": ["lan", "guest", "phy0-ap0.sta1", "a-network-name"],
        "from": ["br-lan", "br-guest", "phy0-ap0.sta1", "phy1-ap0", "eth0.1234", "eth1", "eth2", "eth3"],
        "from_count": 23,
        "takes": ["tcp 2001:db8:1:2:3:4:5:%x/128 port 1000-65535 from 2001:db8:9::/48" % each for each in range(8)],
        "takes_count": 120,
        "stays": ["tcp 203.0.113.%d/32 port 443: is taken by another service, %s" % (each, NAME) for each in range(4)],
        "stays_count": 40,
    },
}
BUSY = ("iperf", "mqtt", NAME)
FINDING = {
    "id": "a-finding-of-the-doctor",
    "severity": "warning",
    "found": LONG * 2,
    "means": "Clients reach the cloud. " + LONG,
    "fix": "uci set viscum.%s.command='%s' && uci commit" % (NAME, LONG),
    "services": [NAME, "iperf"],
}
WIDEST = 10  # polls until figures are as narrow again as they were


class Answers:
    """What the gateway says in the agent's place."""

    def __init__(self, router, row):
        self.polls, self.silent, self._row = 0, False, row
        for method, answer in (
            ("status", self._status),
            ("logs", lambda _: {"lines": [{"time": 1, "severity": 6, "text": text} for text in self._said()]}),
            ("doctor", lambda _: {"findings": [FINDING]}),
            ("explain", lambda _: {"taken": True, "service": NAME, "match": LONG, "rule": LONG * 2, "reasons": [LONG]}),
        ):
            router.gateway.objects["viscum", method] = answer

    def _said(self):
        return [LONG, *("iperf: restarts, time %d" % number for number in range(self.polls))]

    def _status(self, _):
        if self.silent:
            raise Status(code.TIMEOUT)
        self.polls += 1
        rows = {name: {**row, **(self._row(self.polls) if name in BUSY else {})} for name, row in SERVICES.items()}
        return {"version": "0.1.0", "now": 100 + self.polls, "uptime": 9 ** (self.polls % WIDEST), "services": rows}


def restless(polls):
    """Figures with one digit, then with two, and so on; clients come and go."""
    width = polls % WIDEST
    many = int("9" * (width + 1))
    return {
        "uptime": 7**width * 11,
        "packets": many,
        "bytes": many * 1300,
        "sent_bytes": 11**width,
        "connections": many % 10000,
        "memory": 900000 * 5**width,
        "worth": {
            "rtt": None if width == 4 else 40 * 4**width,
            "cloud_rtt": 900 * 3**width,
            "kept_bytes": many * 777,
            "requests": many,
            "bypass_seconds": 9**width,
        },
    }


def calm(polls):
    """As on a router that has been at work for two hours."""
    wave = sum(1 + math.sin(each / 4) / 2 + math.sin(each * 1.7) / 5 for each in range(polls))
    carried = int(4e9 + 3e6 * wave)
    far = 1.1 + math.sin(polls / 3) / 5
    worth = {"rtt": int(1000 * far), "cloud_rtt": 31000, "kept_bytes": int(carried * 1.03), "bypass_seconds": 125}
    return {
        "uptime": 7300 + 2 * polls,
        "packets": carried // 1350,
        "bytes": carried,
        "sent_bytes": carried // 31,
        "connections": 12,
        "worth": {**worth, "requests": 345 + polls},
    }


def show(router, page, width, theme):
    """Opens the page and stops its polls: those are made by `poll`."""
    router.gateway.theme = theme
    page.order("setViewportSize", {"width": width, "height": SIZES[width]})
    page.open(STATUS)
    page.until("() => document.querySelector('tr[data-service]')")
    page.run(TAKE_OVER)


# A curve asks the clock how long ago the last poll was, so that is the test's as well. The first poll may still be
# under way, and what was laid out before does not count.
TAKE_OVER = """async () => {
    L.Poll.stop();
    const view = await L.require('view.viscum.status'), now = Date.now;
    let ahead = 0;
    Date.now = () => now() + ahead;
    window.poll = async (times) => {
        for (let i = 0; i < times; i++) {
            ahead += 2000;
            await view.refresh();
            await new Promise(requestAnimationFrame);
            await new Promise(requestAnimationFrame);
        }
    };
    await new Promise((done) => setTimeout(done, 300));
    window.shifts = [];
    new PerformanceObserver((list) => window.shifts.push(...list.getEntries().map((each) => each.toJSON())))
        .observe({ type: 'layout-shift' });
}"""


def poll(page, times=1):
    page.run("(times) => window.poll(times)", times)


def open_all(page):
    """Every panel, with an answer in it and a word begun."""
    for title in ("Explain a packet", "Doctor", "Log"):
        page.click("summary:has-text('%s')" % title)
    page.click("[data-action=doctor]")
    page.until("() => document.querySelector('.viscum-finding')")
    page.fill("#viscum-packet", "tcp to 203.0.113.10")
    page.order("press", "#viscum-packet", "Enter")
    page.until("() => document.querySelector('#viscum-explanation strong')")
    page.until("() => document.querySelector('#viscum-log').textContent")
    page.run("() => document.querySelector('#viscum-packet').setSelectionRange(3, 5)")


def as_it_was_left(page):
    assert page.count("details[open]") == 3 and page.has(".viscum-finding") and page.has("#viscum-explanation strong")
    return page.run(FOCUS)


FOCUS = """() => {
    const { id, value, selectionStart, selectionEnd } = document.activeElement;
    return [ id, value, selectionStart, selectionEnd ];
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", SIZES)
def test_the_page_fits_stays_as_it_is_and_can_be_read(router, page, width, theme):
    answers = Answers(router, restless)
    show(router, page, width, theme)
    assert len(curves(page)) == 2 * len(SERVICES)
    assert all(each["level"] and each["broad"] for each in curves(page)), "there was one answer"
    assert too_wide(page) == []

    open_all(page)
    before = places(page)
    assert len(before) > 100
    page.run("() => { window.shifts.length = 0; }")
    for _ in range(WIDEST):
        poll(page)
        assert moved(before, places(page)) == {}
        assert too_wide(page) == []
        assert {(each["first"], each["last"]) for each in curves(page)} == {(0, 1)}
    assert max(each["samples"] for each in curves(page)) == WIDEST
    assert as_it_was_left(page) == ["viscum-packet", "tcp to 203.0.113.10", 3, 5]
    assert pale(page) == []

    page.order("focus", "tr[data-service=mqtt] [data-action=bypass]")
    for answers.silent, message in ((True, "the message is there"), (False, "it has gone")):
        poll(page)
        assert page.run(SEEN, "[role=status].alert-message") == answers.silent
        assert moved(before, places(page)) == {}, message
        assert too_wide(page) == [] and pale(page) == [], message
    assert page.run("() => document.activeElement.dataset.action") == "bypass"
    assert page.run("() => window.shifts") == []


@pytest.mark.parametrize("width", SIZES)
def test_a_page_without_services_fits(router, page, width):
    router.runs("")
    router.gateway.theme = "light"
    page.order("setViewportSize", {"width": width, "height": SIZES[width]})
    page.open(STATUS)
    page.sees("There are no services")
    assert too_wide(page) == []
    place = page.run("() => document.querySelector('.placeholder').getBoundingClientRect().toJSON()")
    heading = page.run("() => document.querySelector('h2').getBoundingClientRect().toJSON()")
    assert place["height"] > 18 and place["top"] >= heading["bottom"]


def test_a_curve_gets_denser_until_its_oldest_sample_leaves(router, page):
    Answers(router, calm)
    show(router, page, 1280, "light")
    counts = []
    for times in (1, 1, 1, 88):
        poll(page, times)
        counts.append(max(each["samples"] for each in curves(page)))
        assert {(each["first"], each["last"]) for each in curves(page)} == {(0, 1)}
    assert counts == [2, 3, 4, 90]
    assert "The last 3 minutes, at most " in page.run("() => document.querySelector('.viscum-curve title').textContent")


WORTH = {"rtt": 1100, "cloud_rtt": 31000, "kept_bytes": 12 << 20, "requests": 345, "bypass_seconds": 125}


def told(page):
    """What a row says of the worth of its service, line by line."""
    return page.run("() => document.querySelector('tr[data-service=echo] .viscum-worth').innerText").splitlines()


def test_what_the_edge_is_worth_is_said_to_people(router, page):
    """The agent's own answer, with given figures: those of a test are too small to read."""
    router.runs()
    router.gateway.objects["viscum", "status"] = lambda _: with_worth(router.ask("status"), WORTH)
    page.open(STATUS)
    page.sees("345 requests")
    kept = ["12.0 MiB kept off the uplink", "2m 5s with the cloud", "345 requests"]
    assert [line for line in told(page) if line] == [*kept, "1.1 ms here", "31 ms to the cloud"]


def test_what_is_not_known_of_the_worth_leaves_no_gap_and_stays_once_it_was_known(router, page):
    worth = {**WORTH, "rtt": None, "cloud_rtt": None, "requests": None}
    router.runs()
    router.gateway.objects["viscum", "status"] = lambda _: with_worth(router.ask("status"), worth)
    page.open(STATUS)
    page.sees("kept off the uplink")
    assert not {"here", "to the cloud", "requests"} & {line.partition(" ")[2] for line in told(page)}
    assert not page.run(SEEN, "tr[data-service=echo] .viscum-worth svg")
    worth["rtt"] = 900
    page.sees("0.90 ms here")
    assert page.run(SEEN, "tr[data-service=echo] .viscum-worth svg")
    worth["rtt"] = None
    page.sees("- here")


SEEN = "(node) => document.querySelector(node).checkVisibility({ visibilityProperty: true })"


def test_the_agents_own_worth_is_shown_or_nothing_of_it(router, page):
    """Without the package viscum-worth a row has no such key."""
    router.lab.serve_cloud(7000)
    agent = router.runs()
    agent.becomes("edge")
    known = "worth" in router.ask("status")["services"]["echo"]
    page.open(STATUS)
    page.sees("packets")
    assert page.run(SEEN, ".viscum-worth") == known
    assert ("Worth" in page.text("#viscum-services")) == known
    if known:
        page.until("() => /^[1-9][0-9]* requests?$/m.test(document.querySelector('td.viscum-worth').innerText)")


def with_worth(answer, worth):
    for row in answer["services"].values():
        row["worth"] = worth
    return answer


@pytest.mark.skipif(not PICTURES, reason="writes the pictures of docs/luci.md: VISCUM_PICTURES=1")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", SIZES)
def test_pictures(router, page, width, theme):
    Answers(router, calm)
    show(router, page, width, theme)
    page.order("addStyleTag", {"content": "::-webkit-scrollbar { display: none }"})
    poll(page, 95)
    path = ROOT / ("docs/luci-status-%d-%s.png" % (width, theme))
    page.order("screenshot", {"path": str(path)})
    assert path.stat().st_size < LARGEST
