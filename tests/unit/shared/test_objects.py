"""Names that are the same on every machine, every time."""

from viscum_agent.kernel.commands import RENDER
from viscum_agent.records import objects
from viscum_agent.records.objects import KINDS, Sysctl, device_name, kind_of, mac_of, name_hash, prio_of


def test_the_hash_is_fnv_1a():
    """Test vectors of the FNV reference code (http://www.isthe.com/chongo/src/fnv/test_fnv.c, fnv1a_32)."""
    vectors = {"": 0x811C9DC5, "a": 0xE40C292C, "b": 0xE70C2DE5, "foobar": 0xBF9CF968, "chongo was here!\n": 0xD49930D5}
    for text in vectors:
        assert name_hash(text) == vectors[text], text


def test_a_device_has_the_service_in_its_name_and_never_more_than_15_characters():
    assert device_name("iperf") == "vsc-iperf"
    assert device_name("elevenchars") == "vsc-elevenchars"
    assert device_name("twelve_chars") == "vsc-twelve-%04x" % (name_hash("twelve_chars") & 0xFFFF)
    assert len(device_name("x" * 64)) == 15


def test_a_shortened_name_is_nobody_elses():
    """A section's name has no hyphen (uci.py), so no short name looks like a shortened one."""
    assert "-" in device_name("twelve_chars")[4:]
    assert device_name("twelve_chars_a") != device_name("twelve_chars_b")


def test_a_mac_is_unicast_and_locally_administered_and_another_for_each_end():
    for service in ("a", "b", "iperf"):
        first = int(mac_of(service, "host").split(":")[0], 16)
        assert first & 3 == 2  # IEEE 802, section 8.2: bit 0 is multicast, bit 1 local
        assert mac_of(service, "host") != mac_of(service, "inner")
    assert mac_of("a", "host") != mac_of("b", "host")


def test_one_prio_holds_one_family_and_all_are_before_everybody_elses():
    prios = [prio_of(level, family) for level in (1, 3, 5, 5 + objects.NEXT) for family in (4, 6)]
    assert tuple(prios) == objects.PRIOS
    assert max(prios) < objects.MARK_PRIO < 10  # sqm-scripts' filter for everything has prio 10


# The table of kinds


def test_what_the_table_has_commands_have_too():
    records = [record for record in KINDS if not isinstance(record, str)]
    assert sorted([record.__name__ for record in records]) == sorted(RENDER)


def test_sysctls_of_the_namespace_come_before_its_devices_and_those_of_the_pair_after_it():
    inner, host = kind_of(Sysctl("viscum-a", "x", "1")), kind_of(Sysctl("", "x", "1"))
    assert inner.rank < KINDS[objects.Pair].rank < host.rank
    assert inner.alone and not host.alone, "without the pair only one of them is there"


def test_a_redirect_is_made_last_and_leaves_the_namespace_as_it_is():
    for kind in KINDS.values():
        assert not kind.redirect or (kind.late and kind.outside and kind.outlives)


def test_what_is_late_is_made_after_all_that_is_not():
    made = [kind for record, kind in KINDS.items() if record not in (objects.Mark, objects.Prio)]
    assert max([kind.rank for kind in made if not kind.late]) < min([kind.rank for kind in made if kind.late])
