"""What goes wrong while a page is open is said on the page, and is over when it is over."""

import time

from conftest import ECHO, FORM, OVERVIEW, QUICK, STATUS
from lab import service, wait_for
from rpcd import Status

from viscum_agent.ubus import codes as code

ROW = "tr[data-service=echo]"
GONE = "The agent does not run"


def healthy(page, row=ROW):
    page.until("(row) => document.querySelector(row)?.innerText.includes('healthy')", row)


def test_without_an_agent_the_page_says_so_and_shows_services_when_it_comes(router, page):
    page.open(STATUS)
    page.sees(GONE)
    router.runs()
    healthy(page)
    page.misses(GONE)


def test_an_agent_that_dies_is_missed_and_found_again(router, page):
    agent = router.runs()
    page.open(STATUS)
    healthy(page)
    agent.kill()
    page.sees(GONE)
    assert page.has(ROW), "what was known stays on the page"
    page.click(ROW + " [data-action=stop]")
    page.sees("echo: Stop: ")
    agent.start()
    page.until("() => getComputedStyle(document.querySelector('.alert-message[role=status]')).display == 'none'")
    healthy(page)
    page.click(ROW + " [data-action=stop]")
    page.until("(row) => document.querySelector(row).innerText.includes('stopped')", ROW)


class Procd:
    """procd and rpcd's `exec`, as far as they concern Viscum: what `service list` has of it, and its init script."""

    def __init__(self, router):
        self.router, self.known, self.stderr = router, {}, ""
        self.late = lambda: None  # while the script runs
        router.gateway.objects["service", "list"] = lambda args: {args["name"]: self.known} if self.known else {}
        router.gateway.objects["file", "exec"] = self.execute

    def execute(self, args):
        words = " ".join([args["command"], *args["params"]])
        # rpc_file_exec_run in rpcd's file.c: the whole line has to be granted.
        if not self.router.gateway.sessions.allows(args["ubus_rpc_session"], "file", words, "exec"):
            raise Status(code.PERMISSION_DENIED)
        if self.stderr:
            return {"code": 1, "stderr": self.stderr}
        self.late()
        if words == "/etc/init.d/viscum start":
            self.known = {"instances": {"agent": {"running": True}}}
            self.router.agent.start()
        elif words == "/etc/init.d/viscum stop":
            self.known = {}
            self.router.agent.kill()
            self.router.lab.viscum("down")
        return {"code": 0}


def test_viscum_is_stopped_and_started_on_the_page(router, page):
    router.lab.serve_cloud(7000)
    procd, agent = Procd(router), router.runs()
    procd.known = {"instances": {"agent": {"running": True}}}
    page.open(STATUS)
    healthy(page)
    page.click("[data-init=stop]")
    page.sees("Viscum is stopped: clients reach the cloud.")
    agent.becomes("cloud")
    assert page.run("() => document.querySelector('[data-init=stop]').hidden")
    page.click("[data-init=start]")
    agent.becomes("edge")
    page.misses("Viscum is stopped")
    page.until("() => !document.querySelector('[data-init=stop]').hidden")


def test_an_init_script_that_fails_is_heard(router, page):
    procd = Procd(router)
    procd.stderr = "no space left on device"
    page.open(STATUS)
    page.click("[data-init=start]")
    page.sees("Start: no space left on device")


def test_a_browser_that_gives_up_waiting_for_the_init_script_finds_out_what_became_of_it(router, page):
    """A program may take longer to end than the 20 seconds of LuCI."""
    procd, _ = Procd(router), router.runs()
    procd.known = {"instances": {"agent": {"running": True}}}
    procd.late = lambda: time.sleep(4)
    page.open(STATUS)
    healthy(page)
    page.run("() => { L.env.rpctimeout = 2; }")
    page.click("[data-init=stop]")
    page.sees("Viscum is stopped: clients reach the cloud.")
    page.until("() => !document.querySelector('.spinning')")
    assert not page.has(".alert-message.danger")


def test_rpcd_that_gives_up_waiting_for_the_init_script_is_no_error(router, page):
    def gives_up():
        procd.known = {}
        agent.kill()
        raise Status(code.TIMEOUT)

    procd, agent = Procd(router), router.runs()
    procd.known = {"instances": {"agent": {"running": True}}}
    procd.late = gives_up
    page.open(STATUS)
    healthy(page)
    page.click("[data-init=stop]")
    page.sees("Viscum is stopped: clients reach the cloud.")
    page.until("() => !document.querySelector('.spinning')")
    assert not page.has(".alert-message.danger")


def test_without_an_enabled_service_the_page_leads_to_the_form_and_offers_no_start(router, page):
    Procd(router).known = {"triggers": []}
    router.lab.configure(ECHO.replace("enabled 1", "enabled 0"))
    page.open(STATUS)
    page.sees("The agent does not run, because no service is enabled.")
    assert not page.has("[data-init=start]")
    page.click("text=Enable in the configuration")
    page.until("() => document.querySelector('#cbi-viscum-echo')")


def test_who_may_only_look_can_not_start_or_stop_viscum_and_nobody_runs_anything_else(router, page):
    Procd(router)
    router.runs()
    page.open(STATUS, "viewer")
    healthy(page)
    assert page.run("() => document.querySelector('[data-init=stop]').hidden")
    stop = {"command": "/etc/init.d/viscum", "params": ["stop"]}
    assert "-32002" in page.run(TRY, ["file", "exec", stop])
    page.order("goto", "about:blank")
    owner = router.gateway.sessions.login("root", "password")["ubus_rpc_session"]
    for line in ("/etc/init.d/viscum disable", "/etc/init.d/firewall stop", "/etc/init.d/viscum", "/bin/sh -c reboot"):
        assert not router.gateway.sessions.allows(owner, "file", line, "exec")


def test_the_overview_lives_without_an_agent(router, page):
    page.open(OVERVIEW)
    page.sees(GONE)


def test_the_form_can_be_saved_without_an_agent(router, page):
    router.lab.configure(ECHO.replace("enabled 1", "enabled 0"))
    page.open(FORM)
    page.click("#cbi-viscum-echo [data-name=enabled] input")
    page.click(".cbi-page-actions .cbi-button-apply")
    page.sees(GONE)
    page.click_and_reload(".viscum-apply")
    assert "option enabled '1'" in (router.lab.confdir / "viscum").read_text()


def test_no_services_is_said_and_the_first_one_appears(router, page):
    agent = router.runs("")
    page.open(STATUS)
    page.sees("There are no services")
    agent.reload(ECHO)
    healthy(page)
    page.misses("There are no services")


def test_a_service_that_was_away_and_comes_back_as_it_was_is_shown_whole(router, page):
    off = ECHO.replace("enabled 1", "enabled 0")
    agent = router.runs(off)
    page.open(STATUS)
    router.polls(5)
    agent.reload("")
    page.sees("There are no services")
    agent.reload(off)
    page.until("(row) => document.querySelector(row)?.innerText.includes('203.0.113.10')", ROW)


def test_two_hundred_services_are_all_there_and_the_page_stays_quick(router, page):
    off = service("echo", "/bin/true", "list device lan0", "list dest_ip 203.0.113.10", *QUICK)
    off = off.replace("enabled 1", "enabled 0")
    one = off.rstrip() + "\n\tlist dest_port %d\n\n"
    router.runs("".join(one.replace("'echo'", "'s%03d'" % number) % (7000 + number) for number in range(200)))
    page.open(STATUS)
    page.until("() => document.querySelectorAll('tr[data-service]').length == 200")
    kept = page.run("() => { window.kept = document.querySelector('tr[data-service=s150]'); return true; }")
    before = len(router.calls("status"))
    wait_for(lambda: len(router.calls("status")) > before + 1)
    assert kept and page.run("() => window.kept === document.querySelector('tr[data-service=s150]')"), "no flicker"
    page.open(FORM)
    page.until("() => document.querySelectorAll('#cbi-viscum-service .cbi-section-table-row').length == 200")


def test_a_poll_of_two_hundred_busy_services_is_drawn_quickly(router, page):
    """With each poll every row has other numbers."""
    count = [0]

    def told(_):
        count[0] += 1
        busy = {**ROW_OF_STATUS, "packets": 7 * count[0], "bytes": 7000 * count[0], "uptime": count[0]}
        return {"version": "1", "services": {"s%03d" % number: busy for number in range(200)}}

    router.gateway.objects["viscum", "status"] = told
    page.open(STATUS)
    page.until("() => document.querySelectorAll('tr[data-service]').length == 200")
    longest = page.run(MEASURE)
    print("a poll of 200 busy services: %.0f ms in the page" % longest)
    assert count[0] > 3 and longest < 1000, "half of the time between two polls"


ROW_OF_STATUS = {
    "state": "healthy",
    "reason": "",
    "pid": 7,
    "restarts": 2,
    "bypass": False,
    "datapath": "bpf",
    "interfaces": ["lan"],
    "from": ["br-lan"],
    "takes": ["tcp 203.0.113.10/32 port 7000", "udp 203.0.113.10/32 port 7000"],
    "drops": 0,
    "overlimits": 0,
    "sent_packets": 5,
    "sent_bytes": 2048,
    "connections": 3,
}


# The longest of three polls, from the question to the next frame that is drawn.
MEASURE = """async () => {
    const view = await L.require('view.viscum.status');
    let longest = 0;
    for (let i = 0; i < 3; i++) {
        const begin = performance.now();
        await view.refresh();
        await new Promise(requestAnimationFrame);
        longest = Math.max(longest, performance.now() - begin);
    }
    return longest;
}"""


def test_a_session_that_expires_is_said_and_a_new_login_goes_on(router, page):
    router.runs()
    page.open(STATUS)
    healthy(page)
    router.gateway.sessions.expire()
    page.sees("Session expired")
    page.click("text=Log in…")
    page.until("() => document.querySelector('[name=luci_password]')")
    page.log_in()
    healthy(page)


def test_a_session_that_expires_under_the_form_saves_nothing(router, page):
    router.runs()
    page.open(FORM)
    page.click("#cbi-viscum-echo [data-name=enabled] input")
    before = (router.lab.confdir / "viscum").read_bytes()
    router.gateway.sessions.expire()
    page.click(".cbi-page-actions .cbi-button-apply")
    page.sees("can not be told beforehand: The session has expired")
    page.click(".viscum-apply")
    page.sees("Login session is expired")
    assert (router.lab.confdir / "viscum").read_bytes() == before


def test_a_message_is_made_once_while_it_holds(router, page):
    """It is read aloud when it changes, and its button may be about to be pressed."""

    def refuse(_):
        raise Status(code.PERMISSION_DENIED)

    router.gateway.objects["viscum", "status"] = refuse
    page.open(STATUS)
    page.sees("Access denied")
    page.run("() => { window.kept = document.querySelector('.alert-message[role=status] .btn'); }")
    assert router.polls(5) > 1
    assert page.run("() => window.kept && window.kept.isConnected")


def test_a_wrong_password_is_refused(router, page):
    page.order("goto", router.gateway.page(STATUS))
    page.until("() => document.querySelector('[name=luci_password]')")
    page.log_in(password="guess")
    page.sees("Invalid username and/or password")


def test_who_may_only_look_sees_all_and_can_change_nothing(router, page):
    router.runs()
    page.open(STATUS, "viewer")
    healthy(page)
    assert page.count(ROW + " button") == 0
    page.click("summary:has-text('Log')")
    page.sees("echo: healthy")
    page.open(FORM)
    page.sees("203.0.113.10")
    assert page.count("#view input:enabled, #view select:enabled") == 0
    assert page.count(".cbi-page-actions button:enabled, .cbi-button-remove:enabled, .cbi-button-add:enabled") == 0
    assert not page.has(".viscum-preview")


def test_who_may_only_look_is_refused_by_the_gateway_as_well(router, page):
    """Whatever a page offers: rpcd decides by the ACL of the package."""
    router.runs()
    page.open(STATUS, "viewer")
    healthy(page)
    for method in ("start", "stop", "restart", "bypass", "reload"):
        assert "-32002" in page.run(TRY, ["viscum", method, {"name": "echo"}])
    for method in ("set", "add", "delete", "order", "apply", "confirm"):
        assert "-32002" in page.run(TRY, ["uci", method, {"config": "viscum", "section": "echo", "values": {}}])
    assert router.state() == "healthy"


TRY = """async ([object, method, args]) => {
    const body = { jsonrpc: '2.0', id: 1, method: 'call', params: [L.env.sessionid, object, method, args] };
    const reply = await fetch('/ubus/', { method: 'POST', body: JSON.stringify(body) });
    return JSON.stringify(await reply.json());
}"""


def test_without_the_doctors_package_the_page_says_what_to_install(router, page):
    """As the agent of that package answers (tests/package/test_start.py)."""
    text = "the package viscum-doctor is not installed, or of another version than viscum: apk add viscum-doctor"

    def refuse(_):
        raise Status(code.NOT_SUPPORTED, text)

    router.runs()
    router.gateway.objects.update({("viscum", method): refuse for method in ("doctor", "explain")})
    page.open(STATUS)
    for title, action, place in (
        ("Doctor", "doctor", "#viscum-findings"),
        ("Explain a packet", "explain", "#viscum-explanation"),
    ):
        page.click("summary:has-text('%s')" % title)
        page.click("[data-action=%s]" % action)
        page.until("([place, text]) => document.querySelector(place).innerText.includes(text)", [place, text])
