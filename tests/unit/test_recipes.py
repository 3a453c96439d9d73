"""What recipes are (files/usr/share/viscum/recipes), and what `viscum add` does to a configuration."""

import fcntl
import json
import os
import resource

import pytest
from lab import ROOT
from recipes import FOLDER, NAMES

from viscum_agent import optional
from viscum_agent.cli import recipes, sections, verbs
from viscum_agent.config import schema, service, uci

# What only a user can know.
NEEDS = {"dest_ip": "203.0.113.10", "interface": "guest"}
BEFORE = b"# Ours.\nconfig globals globals ; option\tenabled 1\n\nconfig service web\n\toption command /bin/x # \xff\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of configurations, with what this machine has installed and staged out of the way."""
    monkeypatch.setattr(recipes, "RECIPES", str(FOLDER))
    monkeypatch.setattr(sections, "STAGED", str(tmp_path / "staged"))
    monkeypatch.setattr(optional, "MANAGERS", ())
    made = tmp_path / "config"
    made.mkdir(mode=0o755)
    (made / "viscum").write_bytes(BEFORE)
    return made


def viscum(folder, *words):
    return verbs.main(["-c", str(folder), *words])


def content(folder):
    return (folder / "viscum").read_bytes()


@pytest.fixture
def refused(folder, capsys):
    """What `viscum` says when it refuses words, and changes nothing."""

    def ask(*words, code=1):
        assert viscum(folder, *words) == code
        assert content(folder) == BEFORE and os.listdir(folder) == ["viscum"]
        return capsys.readouterr().err

    return ask


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_a_section_of_at_most_eight_lines_below_a_sentence(name):
    text = (FOLDER / name).read_text()
    comment, section = text.split("config ", 1)
    assert len(("config " + section).splitlines()) <= 8
    assert all(line.startswith("# ") and len(line) <= 120 for line in comment.splitlines())
    assert section.startswith("service '%s'\n" % name) and len(text) < recipes.LARGEST
    (found,) = uci.parse(text.encode(), name)
    assert found.options["enabled"] == "1"
    assert [option for option in found.options if not schema.option_named("service", option)] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_what_it_needs_and_is_then_a_good_section(name, folder, refused):
    recipe = recipes._recipe(name)
    assert recipe.package
    given = ["%s=%s" % (option, NEEDS[option]) for option in recipe.needs]
    for left_out in given:
        option = left_out.split("=")[0]
        words = [word for word in given if word != left_out]
        assert "viscum.%s.%s: is missing: add %s=..., " % (name, option, option) in refused("add", name, *words)
    (folder / "viscum").write_bytes((ROOT / "files/etc/config/viscum").read_bytes())
    assert viscum(folder, "add", name, *given) == 0
    read = service.read(uci.load(str(folder), "viscum"))
    (made,) = [each for each in read.services if each.name == name]
    assert made.enabled and "{" not in content(folder).decode("latin-1")


def test_the_list_has_a_sentence_a_package_and_what_is_missing(folder, capsys):
    assert viscum(folder, "recipes", "--json") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert sorted(rows) == NAMES
    assert rows["dns"]["package"] == "dnsmasq" and rows["dns"]["options"]["dest_port"] == ["53"]
    assert rows["iperf3"]["needs"] == ["dest_ip"]
    assert rows["dns"]["missing"] == ([] if os.path.exists("/usr/sbin/dnsmasq") else ["/usr/sbin/dnsmasq"])
    assert viscum(folder, "recipes") == 0
    assert "iperf3     A speed test" in capsys.readouterr().out


def test_the_section_comes_last_and_every_byte_before_it_stays(folder, capsys):
    os.chmod(folder / "viscum", 0o600)
    assert viscum(folder, "add", "iperf3", "dest_ip=203.0.113.10") == 0
    section = (FOLDER / "iperf3").read_text().replace("# Package: iperf3\n# Needs: dest_ip\n", "")
    section += "\tlist dest_ip '203.0.113.10'\n"
    assert content(folder) == BEFORE + b"\n" + section.encode()
    assert os.stat(folder / "viscum").st_mode & 0o777 == 0o600
    said = capsys.readouterr().out
    assert section in said and "reload_config" in said


def test_what_is_given_takes_the_place_of_what_the_recipe_has(folder):
    ports = ["dest_port=5201", "dest_port=5202-5204"]
    words = ["dest_ip=203.0.113.10", "dest_ip=2001:db8::1", *ports, "dynamic_ports=", "env=A=it's", "command=/x -y"]
    assert viscum(folder, "add", "iperf3", "speed", *words) == 0
    assert content(folder)[len(BEFORE) :].decode().splitlines()[2:] == [
        "config service 'speed'",
        "\toption enabled '1'",
        "\toption command '/x -y'",
        "\tlist interface 'lan'",
        "\tlist dest_port '5201'",
        "\tlist dest_port '5202-5204'",
        "\toption healthcheck 'listen'",
        "\tlist dest_ip '203.0.113.10'",
        "\tlist dest_ip '2001:db8::1'",
        "\tlist env 'A=it'\\''s'",
    ]
    (_, _, made) = uci.load(str(folder), "viscum")
    assert made.options["env"] == ["A=it's"]


def test_a_file_without_a_last_newline_and_an_empty_one_are_continued(folder):
    for before in (b"config globals 'globals'", b"config globals 'globals' # \\", b""):
        (folder / "viscum").write_bytes(before)
        assert viscum(folder, "add", "dns") == 0
        assert content(folder).startswith(before + (b"\n\n" if before else b"\n") + b"# DNS for all")
        assert [section.name for section in uci.load(str(folder), "viscum")][-1] == "dns"


def test_what_the_user_gave_stands_where_the_recipe_needs_it(folder):
    for name, address, place in (("four", "203.0.113.10", "203.0.113.10"), ("six", "2001:db8::1", "[2001:db8::1]")):
        assert viscum(folder, "add", "http_cache", name, "dest_ip=" + address) == 0
        made = uci.load(str(folder), "viscum")[-1].options
        assert made["command"].endswith(".sh /usr/sbin/nginx " + place)
        assert (made["dest_ip"], made["egress"]) == ([address], [place + ":80"])


def test_where_there_is_no_room_nothing_changes(refused):
    """A file may have at most as many bytes as there are already, as if no more fitted."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(BEFORE), limits[1]))
    try:
        assert "can't be written (File too large): nothing has changed" in refused("add", "dns")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_what_is_wrong_is_said_with_its_remedy_and_nothing_is_written(refused):
    ip = "dest_ip=203.0.113.10"
    assert refused("add", "iperf4") == "viscum: there is no recipe 'iperf4'; there are: %s\n" % ", ".join(NAMES)
    assert refused("add", "../../etc/passwd").startswith("viscum: there is no recipe")
    assert "viscum.web: is there already: name the new one" in refused("add", "dns", "web")
    assert "viscum.dns.dest_prot: is not an option; did you mean 'dest_port'?" in refused("add", "dns", "dest_prot=1")
    assert "viscum.dns.dest_port: '70000' is not a port" in refused("add", "dns", "dest_port=70000")
    assert "viscum.iperf3.health_port: is not used" in refused("add", "iperf3", ip, "healthcheck=none", "health_port=1")
    assert "longer than 64 characters" in refused("add", "dns", "n" * 65)
    assert "enabled is given twice" in refused("add", "dns", "enabled=1", "enabled=0", code=2)
    for words in (("a-b",), ("one", "two"), ("a b=c",), ("=x",), ("x\n=y",)):
        assert "is neither a section's name nor OPTION=VALUE" in refused("add", "dns", *words, code=2)
    assert "add takes a recipe" in refused("add", code=2)
    for words in (("dest_ip=203.0.113.0/24",), (ip, "dest_ip=203.0.113.11")):
        assert "viscum.http_cache.dest_ip: has to be one address" in refused("add", "http_cache", *words)


def test_a_value_is_a_value_whatever_is_in_it(folder, refused):
    """None of it becomes another option or section."""
    bad = "203.0.113.10'\n\toption user 'root"
    assert "is not an address or prefix" in refused("add", "iperf3", "dest_ip=" + bad)
    assert viscum(folder, "add", "dns", "env=A='\n\toption user 'root'") == 0
    (_, _, made) = uci.load(str(folder), "viscum")
    assert made.options["env"] == ["A='\n\toption user 'root'"] and "user" not in made.options


def test_what_uci_has_staged_of_a_section_would_be_put_into_it(folder, refused):
    (folder.parent / "staged").write_text("viscum.dns2='service'\n-viscum.iperf3\nviscum.dns.user='root'\n")
    assert "viscum.dns: has changes that are not committed" in refused("add", "dns")
    assert viscum(folder, "add", "dns", "iperf3") == 0


def test_a_file_that_somebody_writes_to_is_left_alone(folder, refused):
    with (folder / "viscum").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "is being written by another program: try again" in refused("add", "dns")


def test_a_file_that_is_no_uci_or_too_large_or_others_may_write_is_left_alone(folder, capsys):
    large = BEFORE + b"#" * (uci.MAX_SIZE - len(BEFORE) - 1) + b"\n"
    for before, mode, text in (
        (b"config 'x\n", 0o600, "viscum:1: a quote is opened here and never closed"),
        (large, 0o600, "is larger than"),
        (BEFORE, 0o666, "can be written by others than root"),
    ):
        (folder / "viscum").write_bytes(before)
        os.chmod(folder / "viscum", mode)
        assert viscum(folder, "add", "dns") == 1
        assert text in capsys.readouterr().err and content(folder) == before


def test_a_link_stays_one_and_what_a_killed_one_left_is_in_nobodys_way(folder):
    (folder / "viscum").rename(folder / "real")
    (folder / "viscum").symlink_to("real")
    (folder / ".real.new").write_text("half")
    assert viscum(folder, "add", "dns") == 0
    assert (folder / "viscum").is_symlink() and not (folder / ".real.new").exists()
    assert b"config service 'dns'" in (folder / "real").read_bytes()


def test_what_is_left_to_do_is_said(folder, capsys, monkeypatch):
    monkeypatch.setattr(optional, "MANAGERS", (("apk", "/bin/sh"),))
    assert viscum(folder, "add", "dns", "command=/nowhere/dnsmasq -k") == 0
    said = capsys.readouterr().out
    assert "install what has /nowhere/dnsmasq: apk add dnsmasq\n" in said and "firewall" in said
    assert viscum(folder, "add", "iperf3", "command=/bin/sh", "dest_ip=203.0.113.10") == 0
    assert "install" not in capsys.readouterr().out
