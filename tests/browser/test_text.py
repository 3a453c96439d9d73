"""Text that comes from elsewhere is shown as text: what a service or its section says can't become part of the page."""

import pytest
from browser import Failed
from conftest import ECHO, FORM, OVERVIEW, STATUS
from rpcd import Status

from viscum_agent import __version__
from viscum_agent.ubus import codes as code

BAIT = "<img src=x onerror=alert(1)><b class=bait>bold</b>"
ROW = {
    "state": "failed",
    "reason": "",
    "pid": 0,
    "uptime": 0,
    "restarts": 0,
    "bypass": False,
    "datapath": "",
    "interfaces": [],
    "from": [],
    "takes": [],
    "packets": 0,
    "bytes": 0,
    "sent_packets": 0,
    "sent_bytes": 0,
    "drops": 0,
    "overlimits": 0,
    "connections": 0,
}


def innocent(page):
    """No bait became an element; the page's fixture sees to it that nothing was run."""
    assert page.count(".bait, img") == 0


def test_a_program_whose_path_is_markup_is_shown_with_it(router, page):
    """The reason of a service that can't start names its program; the log does, too."""
    router.runs(ECHO.replace("/usr/bin/python3", "/" + BAIT.replace(" ", "")))
    page.open(STATUS)
    page.click("summary:has-text('Log')")
    page.sees("<b")
    innocent(page)
    page.open(FORM)
    page.sees("<b")
    page.click("#cbi-viscum-echo .cbi-button-edit")
    page.until("() => document.querySelector('#modal_overlay [data-name=command] textarea')")
    innocent(page)


@pytest.mark.parametrize("field", ["reason", "state", "datapath", "interfaces", "from", "takes"])
def test_no_field_of_a_row_becomes_markup(router, page, field):
    answers(router, status={BAIT: {**ROW, field: [BAIT] if isinstance(ROW[field], list) else BAIT}})
    page.open(STATUS)
    page.until("(bait) => document.body.innerText.split(bait).length > 2", BAIT)
    innocent(page)
    page.open(OVERVIEW)
    page.until("() => window.L && L.loaded")
    innocent(page)


def test_no_log_line_becomes_markup(router, page):
    answers(router, logs=[{"time": 1, "severity": 3, "text": BAIT}])
    page.open(STATUS)
    page.click("summary:has-text('Log')")
    page.sees(BAIT)
    innocent(page)


def test_no_finding_of_the_doctor_becomes_markup(router, page):
    words = dict.fromkeys(("id", "severity", "found", "means", "fix"), BAIT)
    answers(router, findings=[{**words, "services": [BAIT]}])
    page.open(STATUS)
    page.click("summary:has-text('Doctor')")
    page.click("[data-action=doctor]")
    page.until("(bait) => document.body.innerText.split(bait).length > 5", BAIT)
    innocent(page)


def test_no_message_of_an_error_becomes_markup(router, page):
    answers(router, status={"echo": {**ROW, "state": "failed"}}, refusal=BAIT)
    page.open(STATUS)
    page.click("tr[data-service=echo] [data-action=start]")
    page.sees(BAIT)
    innocent(page)


def test_no_line_of_a_plan_becomes_markup(router, page):
    lists = ("problems", "starts", "stops", "restarts", "changes", "commands")
    answers(router, check=dict.fromkeys(lists, [BAIT]))
    router.lab.configure(ECHO)
    page.open(FORM)
    page.click(".viscum-preview")
    page.until("(bait) => document.body.innerText.split(bait).length > 6", BAIT)
    innocent(page)


def test_these_tests_would_notice_markup(router, page):
    """The same page with one text put into it as LuCI puts strings that are no children of a list."""
    whole = router.gateway.file("view/viscum/status.js").decode()
    hole = whole.replace("this.node.textContent = text;", "E(this.node, {}, text);")
    assert hole != whole
    router.gateway.instead["view/viscum/status.js"] = hole.encode()
    answers(router, status={"echo": {**ROW, "reason": BAIT}})
    page.open(STATUS)
    page.until("() => document.querySelector('.bait')")
    with pytest.raises(AssertionError):
        innocent(page)
    assert "dialog: 1" in waits_for_noise(page)
    page.run("() => { window.alert = () => {}; }")  # the page polls, and what it shows anew runs anew
    page.noise()


def waits_for_noise(page):
    for _ in range(50):
        found = page.noise()
        if found:
            return found
        page.run("() => new Promise((done) => setTimeout(done, 100))")
    raise Failed("nothing was run")


def answers(router, status=None, logs=(), findings=(), refusal=None, check=None):
    """Has the gateway answer in the agent's place, with what no agent of ours should ever say."""
    told = {
        "status": {"version": __version__, "services": status or {}},
        "logs": {"lines": list(logs)},
        "doctor": {"findings": list(findings), "trouble": False},
        "check": check or {},
    }

    def refuse(_):
        raise Status(code.INVALID_ARGUMENT, refusal)

    for method, answer in told.items():
        router.gateway.objects["viscum", method] = lambda _, answer=answer: answer
    router.gateway.objects["viscum", "start"] = refuse
