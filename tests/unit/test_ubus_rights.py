"""Who may call which ubus method is the same in the agent's table, in both access lists and in docs/luci.md."""

import json
import re
import sys

import pytest
from lab import ROOT

sys.path.insert(0, str(ROOT / "tools"))

import ubus_rights  # noqa: E402

from viscum_agent.ubus_object import methods  # noqa: E402
from viscum_agent.ubus_object.methods import PUBLIC, READ, WRITE  # noqa: E402

FILES = (ubus_rights.UBUSD, ubus_rights.RPCD, ubus_rights.LUCI)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_rights_are_what_the_generator_makes(path):
    assert ubus_rights.made()[path] == path.read_text(), "run tools/ubus_rights.py"


def test_every_row_of_the_table_has_its_function_and_a_known_word():
    assert len({entry.name for entry in methods.METHODS}) == len(methods.METHODS)
    for entry in methods.METHODS:
        assert callable(getattr(methods.Bus, "_" + entry.name)), entry
        assert entry.who in (PUBLIC, READ, WRITE, methods.ROOT), entry


def test_a_method_goes_where_its_word_says_and_one_for_root_nowhere():
    ubusd = json.loads(ubus_rights.UBUSD.read_text())["access"][methods.OBJECT]["methods"]
    rpcd = json.loads(ubus_rights.RPCD.read_text())[ubus_rights.APPLICATION]
    read, write = (rpcd[right]["ubus"][methods.OBJECT] for right in ("read", "write"))
    for entry in methods.METHODS:
        places = (entry.name in ubusd, entry.name in read, entry.name in write)
        wanted = {PUBLIC: (True, True, False), READ: (False, True, False), WRITE: (False, False, True)}
        assert places == wanted.get(entry.who, (False, False, False)), entry
    assert set(ubusd + read + write) <= {entry.name for entry in methods.METHODS}


@pytest.fixture
def changed(monkeypatch, tmp_path):
    """Copies of the files, which a right that is changed in the table makes stale."""
    monkeypatch.setattr(ubus_rights, "ROOT", tmp_path)
    for name in ("UBUSD", "RPCD", "LUCI"):
        copy = tmp_path / getattr(ubus_rights, name).name
        copy.write_text(getattr(ubus_rights, name).read_text())
        monkeypatch.setattr(ubus_rights, name, copy)
    rows = [entry._replace(who=WRITE) if entry.name == "plan" else entry for entry in methods.METHODS]
    monkeypatch.setattr(methods, "METHODS", rows)


def test_a_right_that_is_changed_in_the_table_alone_is_told(changed, capsys):
    assert ubus_rights.main(["--check"]) == 1
    told = "".join("%s is not up to date: run tools/ubus_rights.py\n" % path.name for path in FILES)
    assert capsys.readouterr().err == told
    assert ubus_rights.main([]) == 0 and ubus_rights.main(["--check"]) == 0


def test_what_else_is_in_the_files_stays(changed):
    before = [path.read_text() for path in FILES]
    assert ubus_rights.main([]) == 0
    ubusd, rpcd, document = [path.read_text() for path in (ubus_rights.UBUSD, ubus_rights.RPCD, ubus_rights.LUCI)]
    assert ubusd == before[0].replace(', "plan"', "")
    assert rpcd == before[1].replace(', "plan"', "").replace('[ "start"', '[ "plan", "start"')
    assert document == before[2].replace(", `plan`", "").replace("also `start`", "also `plan`, `start`")


def test_a_document_without_a_place_for_the_rights_is_an_error(changed):
    ubus_rights.LUCI.write_text(ubus_rights.LUCI.read_text().replace(ubus_rights.END, ""))
    with pytest.raises(ValueError, match="0 places"):
        ubus_rights.made()


def test_what_the_pages_call_is_in_the_table_with_its_arguments():
    text = (ROOT / "package/luci-app-viscum/htdocs/luci-static/resources/viscum/agent.js").read_text()
    called = re.findall(r"declare\('(\w+)'(?:, \[([^]]*)\])?\)", text)
    assert len(called) > 5
    table = {entry.name: {name for name, _ in entry.args} for entry in methods.METHODS}
    for name, words in called:
        assert name in table and set(re.findall(r"'(\w+)'", words)) <= table[name], name
