"""What a router's owner does in the browser reaches the traffic of his clients."""

import pytest
from conftest import ECHO, FORM, OVERVIEW, STATUS
from lab import echo_command, wait_for

from viscum_agent import __version__
from viscum_agent.config import uci

ROW = "tr[data-service=echo] "
CLONE = "#cbi-viscum-echo .cbi-button-neutral"


@pytest.fixture
def echo(router):
    """A service that answers at the edge, and a cloud behind it."""
    router.lab.serve_cloud(7000, 7001)
    agent = router.runs()
    agent.becomes("edge")
    return agent


def press(page, action):
    page.click(ROW + "[data-action=%s]" % action)


def shows(page, state):
    page.until("([row, state]) => document.querySelector(row)?.innerText.includes(state)", [ROW, state])


def test_stop_sends_clients_to_the_cloud_and_start_brings_the_edge_back(echo, page):
    page.open(STATUS)
    shows(page, "healthy")
    press(page, "stop")
    echo.becomes("cloud")
    shows(page, "stopped")
    press(page, "start")
    echo.becomes("edge")
    shows(page, "healthy")


def test_bypass_sends_clients_to_the_cloud_while_the_program_goes_on(echo, router, page):
    page.open(STATUS)
    shows(page, "healthy")
    pid = router.ask("status")["services"]["echo"]["pid"]
    press(page, "bypass")
    echo.becomes("cloud")
    shows(page, "bypassed")
    press(page, "bypass")
    echo.becomes("edge")
    shows(page, "healthy")
    assert router.ask("status")["services"]["echo"]["pid"] == pid


def test_a_button_offers_the_opposite_as_soon_as_it_is_done(echo, page):
    """Not with the next poll, before which it could be pressed for what is done already."""
    page.open(STATUS)
    shows(page, "healthy")
    page.run("() => L.Poll.stop()")
    press(page, "bypass")
    echo.becomes("cloud")
    page.until(LABEL, "End bypass")
    press(page, "bypass")
    echo.becomes("edge")
    page.until(LABEL, "Bypass")
    press(page, "stop")
    page.until("() => !document.querySelector('.spinning')")
    page.until("() => document.querySelector('[data-action=stop]').disabled")


LABEL = "(label) => document.querySelector('[data-action=bypass]:not(.spinning)')?.textContent === label"


def test_traffic_of_both_directions_is_shown(echo, page):
    page.open(STATUS)
    shows(page, "healthy")
    assert echo.who() == "edge"
    for name, words in (("bytes", "in"), ("sent", "out")):
        page.until(COUNTED, [ROW + "[data-name=%s]" % name, words])


COUNTED = """([element, direction]) =>
    new RegExp(`^[1-9].* ${direction}$`).test(document.querySelector(element).innerText)"""


def test_restart_starts_the_program_anew(echo, router, page):
    page.open(STATUS)
    shows(page, "healthy")
    pid = router.ask("status")["services"]["echo"]["pid"]
    press(page, "restart")
    wait_for(lambda: router.ask("status")["services"]["echo"]["pid"] not in (0, pid))
    echo.becomes("edge")
    shows(page, "healthy")


def test_a_service_that_is_added_in_the_form_answers_clients(echo, router, page):
    page.open(FORM)
    page.sees("203.0.113.10")
    add_service(page, "second", echo_command("second", 7001))
    page.add("device", "lan0")
    page.add("dest_ip", "203.0.113.10")
    page.add("dest_port", "7001")
    assert echo.who(7001) == "cloud"
    save_dialog(page)
    save_and_apply(page)
    echo.becomes("second", port=7001)
    assert echo.who(7000) == "edge"
    page.open(STATUS)
    page.until("() => document.querySelector('tr[data-service=second]')?.innerText.includes('healthy')")


def test_the_plan_comes_before_it_is_done(echo, router, page):
    page.open(FORM)
    page.sees("203.0.113.10")
    page.click("#cbi-viscum-echo .cbi-button-remove")
    page.until("() => !document.querySelector('#cbi-viscum-echo')")
    page.click(".cbi-button-apply")
    page.sees("ip netns del viscum-echo")
    assert echo.who() == "edge"
    page.click_and_reload(".viscum-apply")
    echo.becomes("cloud")


def test_a_disabled_service_goes_and_its_copy_is_disabled_too(echo, router, page):
    page.open(FORM)
    page.click(CLONE)
    page.until("() => document.querySelector('#cbi-viscum-echo_2')")
    page.click("#cbi-viscum-echo [data-name=enabled] input")
    save_and_apply(page)
    echo.becomes("cloud")
    found = {each.name: each.options for each in uci.load(str(router.lab.confdir), "viscum")}
    assert found["echo_2"].get("enabled", "0") == "0" and found["echo_2"]["command"] == found["echo"]["command"]
    assert found["echo"]["enabled"] == "0"


def test_the_plan_says_in_a_sentence_what_starts_and_stops_and_who_notices(echo, page):
    page.open(FORM)
    page.click(".viscum-preview")
    page.sees("No program starts, stops or restarts, and no client notices anything.")
    page.click("#modal_overlay button:has-text('Dismiss')")
    add_service(page, "second", echo_command("second", 7001))
    page.add("device", "lan0")
    page.add("dest_ip", "203.0.113.10")
    page.add("dest_port", "7001")
    save_dialog(page)
    page.click("#cbi-viscum-echo [data-name=enabled] input")
    page.click(".viscum-preview")
    page.sees("second starts, and answers its clients once it is healthy. echo stops: its clients reach the cloud.")
    page.sees("Nobody else notices anything.")
    assert echo.who() == "edge"


def test_who_thinks_better_of_it_has_saved_nothing(echo, router, page):
    page.open(FORM)
    page.click("#cbi-viscum-echo [data-name=enabled] input")
    page.click(".cbi-page-actions .cbi-button-apply")
    page.sees("ip netns del viscum-echo")
    page.click("#modal_overlay button:has-text('Cancel')")
    assert saved(router) == [] and echo.who() == "edge"
    save_and_apply(page)
    echo.becomes("cloud")


def test_a_mistake_elsewhere_in_the_form_is_said_and_nothing_is_done(echo, router, page):
    page.open(FORM)
    page.order("type", "#cbi-viscum-globals [data-name=pool] .add-item input", "192.0.2.1/33")
    for button in (CLONE, ".cbi-page-actions .cbi-button-apply", ".viscum-preview"):
        page.click(button)
        page.sees("contains an invalid input value")
        page.click(".alert-message .btn")
        page.misses("contains an invalid input value")
    assert page.count("#cbi-viscum-service .cbi-section-table-row") == 1 and saved(router) == []


def saved(router):
    """What the form has told rpcd."""
    methods = ("add", "set", "delete", "order", "apply")
    return [call for call in router.gateway.calls if call.name == "uci" and call.method in methods]


@pytest.mark.parametrize(
    "option, value, says",
    [
        ("dest_port", "70000", "a port or a range of ports (1-65535, 5000-5010)"),
        ("dest_ip", "127.0.0.1", "loopback"),
        ("dest_ip", "203.0.113.1/24", "has bits set past its length"),
    ],
)
def test_what_check_refuses_the_form_refuses_for_the_same_reason(echo, router, page, option, value, says):
    before = (router.lab.confdir / "viscum").read_bytes()
    page.open(FORM)
    page.click("#cbi-viscum-echo .cbi-button-edit")
    page.add(option, value)
    page.until(
        "([name, says]) => document.querySelector('#modal_overlay [data-name=' + name + '] .cbi-input-invalid')"
        "?.dataset.tooltip.includes(says)",
        [option, says],
    )
    page.click("#modal_overlay .cbi-button-positive")
    page.until("() => !document.querySelector('#modal_overlay .cbi-button-positive').disabled")
    assert page.has("#modal_overlay .cbi-button-positive"), "the dialog stays open"
    assert page.run(
        "(name) => document.querySelector('#modal_overlay [data-name=' + name + '] .add-item input').value", option
    )
    assert saved(router) == []
    router.lab.configure(ECHO.replace("enabled 1", "enabled 1\n\tlist %s '%s'" % (option, value)))
    assert says in router.lab.viscum("check", check=False).stdout
    (router.lab.confdir / "viscum").write_bytes(before)


def test_what_is_typed_into_a_list_and_not_added_is_not_lost(echo, router, page):
    page.open(FORM)
    page.click("#cbi-viscum-echo .cbi-button-edit")
    page.order("type", "#modal_overlay [data-name=dest_port] .add-item input", "7001")
    save_dialog(page)
    save_and_apply(page)
    wait_for(lambda: {"7000", "7001"} <= set(ports(router)))


@pytest.mark.parametrize(
    "tab, option, text, kept",
    [("general", "device", "phy*-ap0", ["lan0", "phy*-ap0"]), ("program", "user", "4711", "4711")],
)
def test_what_is_typed_into_a_menu_and_not_chosen_is_not_lost(router, page, tab, option, text, kept):
    edit(router, page, ECHO, tab)
    page.type(option, text)
    save_dialog(page)
    assert staged(router) == {option: kept}


def test_a_menu_that_closes_takes_what_was_typed_into_it_and_lets_the_focus_go(router, page):
    edit(router, page, ECHO, "program")
    page.type("user", "4711")
    page.click("#modal_overlay [data-name=workdir] input")
    assert page.text(USER + " li[selected]") == "4711"
    assert page.run("() => document.activeElement.closest('[data-name]').dataset.name") == "workdir"
    page.click(TAB % "general")
    page.type("device", "phy*-ap0")
    page.click("#modal_overlay h4")
    assert page.text("#modal_overlay [data-name=device] .item:nth-child(2)") == "phy*-ap0"
    save_dialog(page)
    assert staged(router) == {"device": ["lan0", "phy*-ap0"], "user": "4711"}


def test_what_is_typed_into_a_menu_goes_when_something_is_chosen_or_with_escape(router, page):
    edit(router, page, ECHO, "program")
    page.type("user", "4711")
    page.click(USER + " li[data-value=nobody]")
    page.click("#modal_overlay h4")
    assert page.text(USER + " li[selected]") == "nobody"
    page.order("press", page.type("user", "4712"), "Escape")
    page.click("#modal_overlay h4")
    assert page.text(USER + " li[selected]") == "nobody"
    save_dialog(page)
    assert staged(router) == {"user": "nobody"}


@pytest.mark.parametrize("tab, option, text", [("general", "device", "br/lan"), ("program", "user", "a:b")])
def test_what_is_typed_into_a_menu_and_wrong_is_refused(router, page, tab, option, text):
    edit(router, page, ECHO, tab)
    page.type(option, text)
    page.click("#modal_overlay h4")
    page.click("#modal_overlay .cbi-button-positive")
    page.until("() => !document.querySelector('#modal_overlay .cbi-button-positive').disabled")
    assert page.has("#modal_overlay .cbi-button-positive") and saved(router) == []


USER = "#modal_overlay [data-name=user]"
TAB = "#modal_overlay .cbi-tabmenu [data-tab=%s] a"


def edit(router, page, config, tab="general"):
    """Opens the dialog of `echo`; there is no agent."""
    router.lab.configure(config)
    page.open(FORM)
    page.click("#cbi-viscum-echo .cbi-button-edit")
    page.click(TAB % tab)


def staged(router):
    """The values that the form has told rpcd."""
    found = {}
    for call in saved(router):
        found.update(call.args.get("values") or {})
    return found


def test_a_command_of_several_lines_is_shown_and_stays(router, page):
    command = "/bin/sh -c 'true\nexec %s'" % COMMAND
    edit(router, page, ECHO.replace(COMMAND, command))
    field = "#modal_overlay [data-name=command] :is(input, textarea)"
    assert page.run("(field) => document.querySelector(field).value", field) == command
    page.click("#modal_overlay [data-name=enabled] input")
    save_dialog(page)
    assert staged(router) == {"enabled": "0"}


def test_a_word_that_only_another_version_knows_is_shown_and_stays(router, page):
    other = ECHO.replace("enabled 1", "enabled 1\n\toption rewrite 'twice'")
    edit(router, page, "config globals 'globals'\n\toption datapath 'xdp'\n\n" + other)
    assert chosen(page, "#cbi-viscum-globals [data-name=datapath]") == "xdp (unknown)"
    assert chosen(page, "#modal_overlay [data-name=rewrite]") == "twice (unknown)"
    page.click("#modal_overlay [data-name=enabled] input")
    save_dialog(page)
    save(page)
    assert staged(router) == {"enabled": "0"}


def chosen(page, place):
    return page.run("(place) => document.querySelector(place + ' select').selectedOptions[0].text", place)


def save(page):
    page.click(".cbi-page-actions .cbi-button-save")
    page.until("() => !document.querySelector('.cbi-page-actions .cbi-button-save').disabled")


def test_a_section_for_all_services_is_made_when_something_is_set_in_it(router, page):
    router.lab.configure(ECHO)
    page.open(FORM)
    page.click("#cbi-viscum-echo [data-name=enabled] input")
    save(page)
    assert [call.method for call in saved(router)] == ["set"]
    page.fill("#cbi-viscum-globals [data-name=bypass_load] input", "90")
    page.click(".viscum-preview")
    page.click("#modal_overlay button:has-text('Dismiss')")
    page.fill("#cbi-viscum-globals [data-name=bypass_load] input", "")
    save(page)
    assert [call.method for call in saved(router)] == ["set"]
    page.order("selectOption", "#cbi-viscum-globals [data-name=datapath] select", "u32")
    save(page)
    assert [call.method for call in saved(router)] == ["set", "add"]
    made = saved(router)[-1].args
    assert (made["type"], made["name"], made["values"]) == ("globals", "globals", {"datapath": "u32"})


def test_the_name_of_the_section_for_all_services_is_refused_before_there_is_one(router, page):
    router.lab.configure(ECHO)
    page.open(FORM)
    page.order("type", ".cbi-section-create-name", "globals")
    page.click(".cbi-section-create .cbi-button-add")
    page.sees('There is a section "globals" already.')
    assert saved(router) == []


def ports(router):
    (found,) = (each for each in uci.load(str(router.lab.confdir), "viscum") if each.name == "echo")
    return found.options["dest_port"]


def test_the_name_of_another_service_is_refused(echo, router, page):
    page.open(FORM)
    page.order("type", ".cbi-section-create-name", "echo")
    page.click(".cbi-section-create .cbi-button-add")
    page.sees('There is a section "echo" already.')
    assert not page.has("#modal_overlay .cbi-button-positive") and saved(router) == []


def test_an_apply_that_nobody_confirms_is_taken_back(echo, router):
    """The gateway's own: what the form relies upon. rpcd does so when the browser has lost the router."""
    before = (router.lab.confdir / "viscum").read_bytes()
    sid = router.gateway.sessions.login("root", "password")["ubus_rpc_session"]
    call = router.gateway.uci.call
    call("set", {"ubus_rpc_session": sid, "config": "viscum", "section": "echo", "values": {"enabled": "0"}})
    assert (router.lab.confdir / "viscum").read_bytes() == before, "staged and no more"
    call("apply", {"ubus_rpc_session": sid, "rollback": True, "timeout": 1})
    echo.becomes("cloud")
    echo.becomes("edge")


def test_a_service_that_is_disabled_has_a_way_to_the_form_and_no_button_that_can_only_fail(echo, page):
    echo.reload(ECHO.replace("enabled 1", "enabled 0"))
    page.open(STATUS)
    shows(page, "disabled")
    assert page.run("(row) => document.querySelectorAll(row + 'button:not([hidden])').length", ROW) == 0
    page.click(ROW + "[data-action=enable]")
    page.until("() => document.querySelector('#cbi-viscum-echo')")


def test_each_page_leads_to_the_other(echo, page):
    page.open(STATUS)
    page.click("text=Configure services")
    page.until("() => document.querySelector('#cbi-viscum-echo')")
    page.click("text=What the services do now")
    shows(page, "healthy")


def test_what_is_not_taken_and_which_agent_that_is_are_on_the_page(echo, page):
    echo.reload(ECHO.replace("list dest_port 7000", "list dest_port 7000-7001"))
    page.open(STATUS)
    page.sees("Not taken: tcp 203.0.113.10/32 ports 7000-7001: only where the program listens")
    page.sees("Viscum %s, the agent has run for " % __version__)


def test_the_curve_begins_at_the_left(echo, page):
    page.open(STATUS)
    page.until("() => document.querySelector('.viscum-curve polyline')?.getAttribute('points')?.startsWith('0.0,')")


def test_the_overview_counts_services_by_state_and_names_those_that_are_not_well(echo, router, page):
    page.open(OVERVIEW)
    page.sees("1 healthy")
    assert "echo" not in page.text("#view")
    router.ask("bypass", name="echo", on=True)
    page.sees("1 bypassed: echo")


def test_the_log_and_the_doctor_are_on_the_page(echo, page):
    page.open(STATUS)
    page.click("summary:has-text('Log')")
    page.sees("echo: healthy")
    page.click("summary:has-text('Doctor')")
    page.click("[data-action=doctor]")
    page.until("() => document.querySelectorAll('.viscum-finding').length")


def test_a_packet_is_explained_on_the_page(echo, page):
    page.open(STATUS)
    page.click("summary:has-text('Explain a packet')")
    page.fill("#viscum-packet", "dev lan0 tcp from 192.168.77.2 to 203.0.113.10 port 7000")
    page.click("[data-action=explain]")
    page.sees("echo takes it")
    assert "tcp 203.0.113.10/32 port 7000" in page.text("#viscum-explanation")
    page.fill("#viscum-packet", "dev lan0 tcp from 192.168.77.2 to 203.0.113.10 port 7001")
    page.order("press", "#viscum-packet", "Enter")
    page.sees("No service takes it")
    page.fill("#viscum-packet", "<b>quic</b>")
    page.click("[data-action=explain]")
    page.sees("the packet '<b>quic</b>' is not understood")


COMMAND = echo_command("edge", 7000)
PRINTS = ECHO.replace(COMMAND, "/bin/sh -c 'echo The pump is primed.; exec %s'" % COMMAND)


def test_the_log_of_one_service_has_what_its_program_printed(echo, page):
    echo.reload(PRINTS)
    page.open(STATUS)
    page.click("summary:has-text('Log')")
    page.sees("echo: healthy")
    assert "The pump is primed." not in page.text("#viscum-log")
    page.order("selectOption", "#viscum-whose", "echo")
    page.sees("viscum-echo: The pump is primed.")
    page.order("selectOption", "#viscum-whose", "")
    page.misses("The pump is primed.")


def test_a_service_s_row_leads_to_its_log(echo, page):
    echo.reload(PRINTS)
    page.open(STATUS)
    press(page, "log")
    page.sees("viscum-echo: The pump is primed.")
    assert page.run("() => document.querySelector('#viscum-whose').value") == "echo"
    page.order("selectOption", "#viscum-whose", "")
    page.misses("The pump is primed.")
    press(page, "log")
    page.sees("The pump is primed.")


def test_who_was_chosen_for_the_log_stays_chosen(echo, router, page):
    page.open(STATUS)
    page.click("summary:has-text('Log')")
    page.order("selectOption", "#viscum-whose", "echo")
    echo.reload(ECHO.replace("'echo'", "'other'"))
    page.until("() => [ ...document.querySelector('#viscum-whose').options ].some((each) => each.value === 'other')")
    assert page.run("() => document.querySelector('#viscum-whose').value") == "echo"


def add_service(page, name, command):
    page.fill("#cbi-viscum-service .cbi-section-create-name", name)
    page.click("#cbi-viscum-service .cbi-button-add")
    page.click("#modal_overlay [data-name=enabled] input")
    page.fill("#modal_overlay [data-name=command] textarea", command)


def save_dialog(page):
    page.click("#modal_overlay .cbi-button-positive")
    page.until("() => document.querySelector('#modal_overlay').hidden")


def save_and_apply(page):
    page.click(".cbi-page-actions .cbi-button-apply")
    page.click_and_reload(".viscum-apply")
