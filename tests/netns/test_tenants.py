"""Third parties on a router: each steers his own services, by an object of his own at ubus, and nothing else.

The agent, its access lists and its objects are the real ones; what rpcd and uhttpd do with them is imitated
(tests/browser). ATTEMPTS are what a tenant may try who is logged in.
"""

import itertools
import json
import socket
import time

import pytest
from agent import QUICK, TAKES, Guest
from gateway import Gateway
from lab import HANG, echo_command, service, wait_for
from rented import TENANTS, owned, rented
from rpcd import PASSWORD

from viscum_agent.config import uci
from viscum_agent.config.schema import OWN_ACCOUNTS
from viscum_agent.records.objects import name_hash
from viscum_agent.tenancy import OTHERS as OTHERS_LOSE
from viscum_agent.ubus.caller import Caller
from viscum_agent.ubus.codes import INVALID_ARGUMENT, PERMISSION_DENIED, TIMEOUT, UbusError

WEB = rented("acme_web", 7010)
SHOP = service("shop", echo_command("shop", 7000), *TAKES, *QUICK)
WIDE = service("wide", echo_command("wide", 7050), "list device lan0", "list dest_port 7050", "list proto tcp", *QUICK)
CONFIG = TENANTS + SHOP + WIDE + owned("corp", rented("corp_x", 7001)) + owned("acme", WEB)


class Session:
    """A tenant who is logged in, at the gateway."""

    def __init__(self, gateway, name):
        self._gateway = gateway
        groups = ["luci-base", "luci-app-viscum-tenant", "viscum-tenant-" + name]
        gateway.sessions.accounts[name] = {"read": groups[:2], "write": groups[2:]}
        self.sid = gateway.sessions.login(name, PASSWORD)["ubus_rpc_session"]
        self.own = "viscum.tenant." + name

    def call(self, name, method, args=None):
        """(status, data), or (text of an error,) of JSON-RPC. Waits for his share of the agent's time."""
        found = self.once(name, method, args)
        begin = time.monotonic()
        while found[0] == TIMEOUT and time.monotonic() - begin < HANG:
            time.sleep(0.2)
            found = self.once(name, method, args)
        return found

    def once(self, name, method, args=None):
        params = [self.sid, name, method, args or {}]
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "call", "params": params}).encode()
        answer = json.loads(self._gateway.answer(body))
        return (answer["error"]["message"],) if "error" in answer else tuple(answer["result"])

    def configure(self, text):
        return self.call(self.own, "configure", {"config": text})


@pytest.fixture
def router(lab):
    """(agent, gateway): a shop and a service of the owner's, and one of each tenant."""
    lab.serve_cloud(7000, 7001, 7010, 7020, 7050)
    agent = Guest(lab, CONFIG)
    for who, port, address in (("shop", 7000, "203.0.113.10"), ("corp", 7001, "203.0.113.11")):
        agent.becomes(who, port=port, address=address)
    agent.becomes("acme", port=7010, address="203.0.113.11")
    for name in ("acme", "corp"):
        lab.viscum("tenant", "acl", name, str(lab.tmp))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        others = {("file", method): lambda args: {} for method in ("read", "exec")}
        gateway = Gateway(listener, lab.confdir, agent.socket, others)
        gateway.sessions.folders.append(lab.tmp / "usr/share/rpcd/acl.d")
        yield agent, gateway
        gateway._hang_up()
    assert "Traceback" not in agent.log.read_text(), agent.log.read_text()


ACCOUNTS = OWN_ACCOUNTS[1] - OWN_ACCOUNTS[0] + 1
DENIED = "Access denied"
OTHERS = ("'shop'", "'wide'", "'corp_x'")  # whom no refusal may name
# What a session may not call: (object, method, arguments).
CALLS = (
    ("viscum.shop", "status", {}),
    ("viscum.shop", "stop", {}),
    ("viscum.shop", "logs", {"lines": 9}),
    ("viscum.corp_x", "status", {}),
    ("viscum.corp_x", "logs", {}),
    ("viscum.corp_x", "stats", {}),
    ("viscum.corp_x", "bypass", {"on": True}),
    ("viscum.corp_x", "restart", {}),
    ("viscum.tenant.corp", "list", {}),
    ("viscum.tenant.corp", "config", {}),
    ("viscum.tenant.corp", "configure", {"config": ""}),
    ("viscum", "status", {}),
    ("viscum", "status", {"name": "acme_web"}),
    ("viscum", "list", {}),
    ("viscum", "plan", {}),
    ("viscum", "logs", {"name": "corp_x"}),
    ("viscum", "stop", {"name": "acme_web"}),
    ("viscum", "reload", {}),
    ("viscum", "check", {"sections": []}),
    ("viscum", "doctor", {}),
    ("file", "read", {"path": "/etc/config/viscum"}),
    ("file", "exec", {"command": "/etc/init.d/viscum", "params": ["stop"]}),
    ("viscum", "explain", {"packet": "tcp from 192.168.77.2 to 203.0.113.10 port 7000"}),
)
# By the configuration itself, as LuCI's form does: (method of `uci`, arguments).
UCI = (
    ("get", {}),
    ("set", {"section": "acme_web", "values": {"user": "root"}}),
    ("add", {"type": "service", "name": "acme_b"}),
    ("delete", {"section": "shop"}),
)
# What a tenant may not configure: (the text, what he is told).
TEXTS = (
    # others' names
    (WEB + rented("shop", 7011), "shop: the name is in use"),
    (WEB + rented("corp_y", 7011), "name it 'acme_NAME'"),
    (WEB + rented("web", 7011), "name it 'acme_NAME'"),
    (WEB + rented("acme_", 7011), "name it 'acme_NAME'"),
    (WEB + rented("acme_b", 7011, "option tenant 'corp'"), "acme_b.tenant: is another one"),
    # destinations, and the router's own
    (WEB + rented("acme_b", 7011, address="0.0.0.0/0"), "is any address"),
    (WEB + rented("acme_b", 7011).replace("list dest_ip '203.0.113.11'", ""), "any IPv4 address is beyond"),
    (WEB + rented("acme_b", 7011, address="8.8.8.8"), "8.8.8.8/32 is beyond"),
    (WEB + rented("acme_b", 7011, address="203.0.0.0/16"), "203.0.0.0/16 is beyond"),
    (WEB + rented("acme_b", 7011, address="192.168.77.0/24"), "192.168.77.0/24 is beyond"),
    (WEB + rented("acme_b", 7011, address="198.51.100.1"), "198.51.100.1 is the router's own address"),
    (WEB + rented("acme_b", 7011, "list dest_host 'bank.example'"), "'bank.example' is beyond"),
    (WEB + rented("acme_b", 7011, "list device 'wan0'"), "'wan0' is beyond"),
    (WEB + rented("acme_b", 7011, "list interface 'lan'"), "'lan' is beyond"),
    # ports
    (WEB + rented("acme_b", 22), "port 22"),
    (WEB + rented("acme_b", 53), "port 53"),
    (WEB + rented("acme_b", 7011, "list dest_port '20-60'"), "port 22"),
    (WEB + rented("acme_b", 80), "TCP port 80 is beyond"),
    (WEB + rented("acme_b", 7011, "list proto 'udp'"), "UDP port 7011 is beyond"),
    (WEB + rented("acme_b", 7011).replace("list dest_port '7011'", ""), "TCP ports 1-65535 is beyond"),
    # what others take
    (WEB + rented("acme_b", 7000, address="203.0.113.10"), "takes the same traffic on lan0 as another service"),
    (WEB + rented("acme_b", 7000, address="203.0.113.0/28"), "takes the same traffic on lan0 as another service"),
    (WEB + rented("acme_b", 7050), "takes the same traffic on lan0 as another service"),
    (WEB + rented("acme_b", 7001), "takes the same traffic on lan0 as another service"),
    # more than he has
    (WEB + rented("acme_b", 7011).replace("'1mbit'", "'9.5mbit'"), "more than tenant 'acme' has left (rate 10mbit"),
    (WEB + rented("acme_b", 7011).replace("option rate '1mbit'", ""), "acme_b.rate: is missing"),
    (WEB + rented("acme_b", 7011) + rented("acme_c", 7012), "more than tenant 'acme' has left (services 2"),
    # accounts, files, powers, and how packets travel
    (WEB + rented("acme_b", 7011, "option user 'root'"), "acme_b.user: is not for tenants"),
    (WEB + rented("acme_b", 7011, "option view 'host'"), "acme_b.view: is not for tenants"),
    (WEB + rented("acme_b", 7011, "list writable '/etc'"), "acme_b.writable: is not for tenants"),
    (WEB + rented("acme_b", 7011, "list visible '/etc/config'"), "acme_b.visible: is not for tenants"),
    (WEB + rented("acme_b", 7011, "option root '/'"), "acme_b.root: is not for tenants"),
    (WEB + rented("acme_b", 7011, "option bundle '/tmp/x'"), "acme_b.bundle: is not for tenants"),
    (WEB + rented("acme_b", 7011, "list capability 'all'"), "acme_b.capability: is not for tenants"),
    (WEB + rented("acme_b", 7011, "list egress 'any'"), "acme_b.egress: is not for tenants"),
    (WEB + rented("acme_b", 7011, "option health_command '/bin/sh'"), "acme_b.health_command: is not for tenants"),
    (WEB + rented("acme_b", 7011, "list client 'kids'"), "acme_b.client: is not for tenants"),
    # other sections, by name or hidden in a value
    ("config tenant 'acme'\n\tlist dest '0.0.0.0/0'\n", "config tenant is not for tenants"),
    ("config globals\n\toption enabled '0'\n", "config globals is not for tenants"),
    ("config redirect\n\toption service 'shop'\n\tlist dest_port '9'\n", "config redirect is not for tenants"),
    (WEB.replace("'acme_web'", ""), "has no name"),
    (WEB + "\toption env 'A=1'\nconfig service 'shop'\n\toption enabled '0'\n", "shop: the name is in use"),
    (WEB + "\toption env 'A=1\nconfig globals'\n", "line break"),
    (WEB + "\toption env 'A=1'; config globals\n", "config globals is not for tenants"),
    (WEB + "\toption env 'A=1\n", "never closed"),
    ("config service '../../passwd'\n", "is no section name"),
    ("#" * 17000, "larger than"),
    (WEB + WEB.replace("'1mbit'", "'2mbit'"), "acme_web.rate: is set more than once"),
)


def test_nothing_that_a_tenant_tries_comes_about_and_each_time_he_is_told_why(router, lab):
    agent, gateway = router
    acme = Session(gateway, "acme")
    before = (lab.confdir / "viscum").read_bytes()
    for call in CALLS:
        assert acme.call(*call) == (DENIED,), call
    for method, args in UCI:
        assert acme.call("uci", method, {"config": "viscum", **args})[0] in (DENIED, PERMISSION_DENIED), method
    for text, says in TEXTS:
        answer = acme.configure(text)
        assert answer[0] == INVALID_ARGUMENT and says in answer[1]["message"], (text[-200:], answer)
        assert not any(name in answer[1]["message"] for name in OTHERS), answer
    assert (lab.confdir / "viscum").read_bytes() == before
    assert agent.who(7000) == "shop" and agent.who(7001, "203.0.113.11") == "corp"
    assert agent.who(7050) == "wide" and agent.who(7010, "203.0.113.11") == "acme"
    agent.has_done_all()


def test_a_tenant_configures_and_steers_what_is_his_own(router, lab):
    agent, gateway = router
    acme = Session(gateway, "acme")
    assert acme.call(acme.own, "list")[1]["services"] == ["acme_web"]
    assert acme.call("viscum.acme_web", "status")[1]["state"] == "healthy"
    answer = acme.call(acme.own, "check", {"config": WEB + rented("acme_mail", 7020)})
    assert answer == (0, {"problems": []}) and "acme_mail" not in (lab.confdir / "viscum").read_text()
    assert acme.configure(WEB + rented("acme_mail", 7020)) == (0,)
    agent.becomes("acme", port=7020, address="203.0.113.11")
    wait_for(lambda: acme.call("viscum.acme_mail", "status")[1]["state"] == "healthy")
    assert sorted(acme.call(acme.own, "status")[1]["services"]) == ["acme_mail", "acme_web"]
    lines = acme.call("viscum.acme_mail", "logs", {"lines": 9})[1]["lines"]
    assert "acme_mail: healthy" in [line["text"] for line in lines]
    assert acme.call("viscum.acme_mail", "bypass", {"on": True})[0] == 0
    agent.becomes("cloud", port=7020, address="203.0.113.11")
    assert acme.call("viscum.acme_mail", "stats")[1]["packets"] > 0
    assert acme.configure(acme.call(acme.own, "config")[1]["config"]) == (0,), "what he has may stay"
    assert acme.configure(WEB) == (0,)
    agent.becomes("cloud", port=7020, address="203.0.113.11")
    wait_for(lambda: acme.call("viscum.acme_mail", "status") == ("Object not found",))
    assert sections(lab.confdir / "viscum") == sections(CONFIG)
    assert agent.who(7000) == "shop" and agent.who(7010, "203.0.113.11") == "acme"
    (lab.confdir / "viscum").write_text(CONFIG + "secret words\n")
    for method, says in (("config", "can't be read"), ("check", "not in force"), ("configure", "not in force")):
        answer = str(acme.call(acme.own, method, {"config": WEB}))
        assert says in answer and "secret" not in answer, method
    assert "a bug" not in agent.log.read_text()


def sections(source):
    data = source.encode() if isinstance(source, str) else source.read_bytes()
    return [(each.type, each.name, each.options) for each in uci.parse(data, "viscum")]


def test_his_share_of_the_agents_time_is_his_own(router):
    _, gateway = router
    acme, corp = Session(gateway, "acme"), Session(gateway, "corp")
    answers = []
    wait_for(lambda: answers.append(acme.once(acme.own, "check", {"config": WEB})) or answers[-1][0] == TIMEOUT)
    assert "more than his share" in answers[-1][1]["message"]
    assert corp.once("viscum.corp_x", "status")[1]["state"] == "healthy"


def test_the_owners_last_word_counts(router, lab):
    """What he takes from a tenant's bounds goes, what he takes for himself is his, and the tenant is told no more."""
    agent, gateway = router
    acme = Session(gateway, "acme")
    less = CONFIG.replace("\tlist tcp_port '7000-7100'\n\tlist tcp_port '20-60'", "\tlist tcp_port '7020'")
    agent.reload(less)
    agent.becomes("cloud", port=7010, address="203.0.113.11")
    wait_for(lambda: "TCP port 7010 is beyond" in acme.call("viscum.acme_web", "status")[1]["reason"])
    agent.reload(CONFIG)
    agent.becomes("acme", port=7010, address="203.0.113.11")
    agent.reload(CONFIG + service("mine", echo_command("mine", 7010), "list device lan0", "list dest_port 7010"))
    agent.becomes("mine", port=7010, address="203.0.113.11")
    wait_for(lambda: "as another service" in acme.call("viscum.acme_web", "status")[1]["reason"])
    told = acme.call("viscum.acme_web", "status"), acme.call("viscum.acme_web", "logs", {"lines": 99})
    assert "mine" not in str(told)


def test_a_tenants_redirect_never_has_an_address_of_the_routers(lab):
    lab.serve(lab.router, "router", 7010)
    wide = rented("acme_web", 7010, address="198.51.100.0/24")
    agent = Guest(lab, TENANTS + owned("acme", wide))
    agent.becomes("acme", port=7010, address="198.51.100.9")
    assert agent.who(7010, "198.51.100.1") == "router"
    lab.run(lab.router, "ip", "addr", "add", "198.51.100.77/32", "dev", "lo")
    agent.becomes("router", port=7010, address="198.51.100.77")


def test_the_command_says_what_the_object_would(lab, tmp_path):
    lab.configure(CONFIG)
    for text, code, says in (
        (WEB, 0, ""),
        (rented("acme_b", 22), 1, "viscum.acme_b.dest_port: TCP port 22"),
        (rented("acme_b", 7000, address="203.0.113.10"), 1, "takes the same traffic on lan0 as another service"),
    ):
        (tmp_path / "his").write_text(text)
        found = lab.viscum("tenant", "check", "acme", str(tmp_path / "his"), check=False)
        assert found.returncode == code and says in found.stdout and "shop" not in found.stdout, found
    # Accounts go by names: without the first of two with the same number the second one's would be another.
    names = ("acme_%d" % number for number in itertools.count())
    same = next(name for name in names if name_hash(name) % ACCOUNTS == name_hash("corp_x") % ACCOUNTS)
    lab.configure(TENANTS + owned("acme", rented(same, 7010)) + owned("corp", rented("corp_x", 7001)))
    (tmp_path / "his").write_text("")
    found = lab.viscum("tenant", "check", "acme", str(tmp_path / "his"), check=False)
    assert (found.returncode, found.stdout) == (1, OTHERS_LOSE + "\n")
    missing = lab.viscum("tenant", "acl", "nobody", check=False)
    assert missing.returncode == 1 and "there is no tenant 'nobody'" in missing.stderr


def test_three_hundred_services_have_an_object_each_and_one_table_of_methods(lab):
    """At ubusd as well: a type is kept once for all that have it."""
    off = "".join(OFF % (number, number + 1) for number in range(300))
    agent = Guest(lab, off)
    agent.says("is on ubus")
    with Caller(agent.socket) as caller:
        wait_for(lambda: len(objects(caller, "viscum.s*")) == 300)
        assert all(sorted(each.methods) == OF_A_SERVICE for each in objects(caller, "viscum.s*"))
        assert caller.call("viscum.s299", "status")["state"] == "disabled"
        with pytest.raises(UbusError):
            caller.call("viscum.s299", "plan")
        agent.reload(off.replace("'s7'", "'seven'"))
        wait_for(lambda: [each.path for each in objects(caller, "viscum.sev*")] == ["viscum.seven"])
        assert "viscum.s7" not in [each.path for each in objects(caller, "viscum.s*")]


def objects(caller, pattern):
    """What is there at ubus."""
    try:
        return caller.lookup(pattern)
    except UbusError:
        return []


OFF = "config service 's%d'\n\toption command '/bin/true'\n\tlist device 'lan0'\n\tlist dest_port '%d'\n\n"
OF_A_SERVICE = ["bypass", "logs", "restart", "start", "stats", "status", "stop"]
