"""fleet/ansible as it stands, by the real ansible-playbook: each router has dropbear and busybox, as OpenWrt has."""

import hashlib
import json
import os
import re
import threading

import pytest
from lab import HANG, ROOT, wait_for
from routers import answers, mute

ANSIBLE = ROOT / ".cache/ansible/bin/ansible-playbook"  # tools/setup.sh ansible
ROLE = ROOT / "fleet/ansible"
TRIAL = 60  # seconds; the role's own is 120
WAIT = 15


class Ansible:
    """Steers the routers from the Internet, with an inventory of theirs."""

    def __init__(self, routers, tmp):
        self.routers, self.tmp = routers, tmp
        self.template = tmp / "viscum.j2"
        hosts = {router.name: {"ansible_host": router.address} for router in routers.all}
        ssh = "-F /dev/null -i %s -o UserKnownHostsFile=%s/known_hosts" % (routers.key, routers.tmp)
        given = {
            "ansible_user": "root",
            "ansible_ssh_common_args": ssh,
            "ansible_control_path_dir": "/run/ansible",  # a socket's path has at most 107 bytes
            "viscum_template": str(self.template),
            "viscum_trial": TRIAL,
            "viscum_wait": WAIT,
        }
        (tmp / "inventory.json").write_text(json.dumps({"viscum_routers": {"vars": given, "hosts": hosts}}))

    def start(self, text, *words):
        self.template.write_text(text)
        env = {**os.environ, "HOME": str(self.tmp), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCAL_TEMP": str(self.tmp)}
        words = (ANSIBLE, "-i", self.tmp / "inventory.json", "rollout.yml", *words)
        self.log = self.tmp / "ansible.log"
        with self.log.open("w") as stream:
            return self.routers.start(*words, cwd=ROLE, env=env, stdout=stream, stderr=stream)

    def run(self, text, *words):
        """(exit code, what it did with each router: {name: {"ok": 5, "changed": 1, ...}})"""
        process = self.start(text, *words)
        code = process.wait(HANG)
        return code, self.recap()

    def recap(self):
        lines = re.findall(r"^(router\d+) +: (.*)$", self.log.read_text(), re.MULTILINE)
        return {name: {key: int(n) for key, n in re.findall(r"(\w+)=(\d+)", counts)} for name, counts in lines}


@pytest.fixture
def ansible(routers, tmp_path):
    return Ansible(routers, tmp_path)


def generations(routers):
    return routers.each(lambda router: router.told()["generation"])


def configured(routers):
    return {router.config.read_text() for router in routers.all}


def test_a_good_configuration_reaches_all_and_each_answers_its_client_at_the_edge(ansible, routers):
    code, recap = ansible.run(answers("at-{{ inventory_hostname }}"))
    assert code == 0, ansible.log.read_text()
    assert {name: row["changed"] for name, row in recap.items()} == {router.name: 1 for router in routers.all}
    assert routers.each(lambda router: router.who()) == ["at-" + router.name for router in routers.all]
    assert routers.each(lambda router: router.told()["trial"]) == [None] * len(routers.all), "confirmed"
    # Once more: nothing is done.
    before = generations(routers)
    code, recap = ansible.run(answers("at-{{ inventory_hostname }}"))
    assert code == 0 and {row["changed"] for row in recap.values()} == {0}, ansible.log.read_text()
    assert generations(routers) == before


def test_a_bad_configuration_reaches_one_canary_which_gets_back_what_it_had(ansible, routers):
    before = generations(routers)
    code, recap = ansible.run(mute())
    canary, *others = routers.all
    assert code != 0 and list(recap) == [canary.name], ansible.log.read_text()
    assert "It has the configuration from before again. echo: " in ansible.log.read_text()
    assert canary.who() == "before" and canary.told()["missing"] == []
    assert configured(routers) == {answers("before")}
    assert generations(routers) == [before[0] + 2, *before[1:]], "the canary took it and had it taken back"
    assert {router.who() for router in others} == {"before"}


def test_a_wrong_file_changes_nothing_at_all(ansible, routers):
    before = generations(routers)
    code, recap = ansible.run(answers("wrong").replace("dest_port 7000", "dest_port 70000"))
    assert code != 0 and list(recap) == [routers.all[0].name]
    assert "It has what it had. viscum.echo.dest_port: '70000' is not a port" in ansible.log.read_text()
    assert generations(routers) == before and configured(routers) == {answers("before")}


def test_with_check_it_says_what_it_would_do_and_does_nothing(ansible, routers):
    before = generations(routers)
    few = ",".join(router.name for router in routers.all[:3])
    code, recap = ansible.run(answers("checked"), "--check", "--limit", few)
    assert code == 0 and [row["changed"] for row in recap.values()] == [1, 1, 1], ansible.log.read_text()
    assert generations(routers) == before and configured(routers) == {answers("before")}
    assert not any(list(router.path("/tmp").glob("viscum.*")) for router in routers.all), "no copy is left"
    code, recap = ansible.run(answers("wrong").replace("dest_port 7000", "dest_port 70000"), "--check")
    assert code != 0 and "'70000' is not a port" in ansible.log.read_text()


def test_a_router_that_is_cut_off_while_it_applies_comes_back_to_what_it_had(ansible, routers):
    """The rollout stops at it: its group and the canary have the new configuration, the others the old one."""
    canary, lost = routers.all[:2]
    group = max(1, len(routers.all) // 5)
    process = ansible.start(answers("new"))
    cut = threading.Thread(target=lambda: (wait_for(lambda: lost.config.read_text() == answers("new")), lost.cut()))
    cut.start()
    code = process.wait(HANG)
    cut.join()
    assert code != 0 and "Cut off: it takes the configuration back by itself" in ansible.log.read_text()
    assert lost.who() in ("new", "before"), "its clients are answered all the time"
    wait_for(lambda: lost.config.read_text() == answers("before"), TRIAL + 10)
    lost.becomes("before")
    lost.cut(off=False)
    assert {router.who() for router in (canary, *routers.all[2 : group + 1])} == {"new"}
    assert {router.who() for router in routers.all[group + 1 :]} == {"before"}, "further routers are not touched"
    code, _ = ansible.run(answers("new"))
    assert code == 0 and routers.each(lambda router: router.who()) == ["new"] * len(routers.all)


def test_a_run_that_was_ended_in_the_middle_is_finished_by_the_next_one(ansible, routers):
    """What is on trial is what it wants: it is judged, and confirmed."""
    canary = routers.all[0]
    process = ansible.start(answers("new"))
    wait_for(lambda: canary.config.read_text() == answers("new"))
    process.kill()
    process.wait(HANG)
    assert canary.told()["trial"]
    code, _ = ansible.run(answers("new"), "--limit", canary.name)
    assert code == 0, ansible.log.read_text()
    assert canary.told()["trial"] is None and canary.who() == "new"


def test_what_somebody_else_tries_is_left_alone(ansible, routers):
    canary = routers.all[0]
    (canary.own / "config/theirs").write_text(answers("theirs"))
    assert canary.viscum("apply", "--confirm", "300", "/etc/config/theirs").returncode == 0
    canary.becomes("theirs")
    code, _ = ansible.run(answers("new"), "--limit", canary.name)
    assert code != 0 and "a configuration is on trial already" in ansible.log.read_text()
    assert canary.config.read_text() == answers("theirs") and canary.told()["trial"]
    canary.viscum("rollback")


# What a shell, printf, ssh, Jinja2 or Ansible could read in it.
HOSTILE = "'\"\\`$(touch /tmp/run)${HOME}%s%%!;&|<>~*?[]#\t\\n\\047 äß漢字🦠 k=v \\"


def test_every_character_arrives_as_it_is(ansible, routers):
    text = answers("new") + "# %s\n" % HOSTILE * 400 + "# the last line has no end"
    assert len(text.encode()) > 3 * 9000, "more than dropbear takes in one command"
    canary = routers.all[0]
    code, _ = ansible.run("{% raw %}" + text + "{% endraw %}", "--limit", canary.name)
    assert code == 0, ansible.log.read_text()
    assert canary.told()["hash"] == hashlib.sha256(text.encode()).hexdigest()
    assert canary.config.read_text() == text
    assert not canary.path("/tmp/run").exists()


def test_the_template_that_comes_with_it_is_right(ansible, routers):
    code, _ = ansible.run((ROLE / "templates/speedtest.j2").read_text(), "--check", "--limit", routers.all[0].name)
    assert code == 0, ansible.log.read_text()


def test_the_role_needs_nothing_on_a_router():
    """Every task is `raw`, or is done where Ansible runs."""
    text = (ROLE / "roles/viscum/tasks/main.yml").read_text()
    modules = set(re.findall(r"ansible\.builtin\.(\w+):", text))
    assert modules == {"raw", "set_fact", "debug", "fail", "meta"}
