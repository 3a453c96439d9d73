"""Our own arithmetic against somebody else's: the standard library, or the slow and obvious way."""

import fnmatch
import ipaddress
import shlex

from hypothesis import given, settings
from hypothesis import strategies as st

from viscum_agent import address
from viscum_agent.config.service import split_words
from viscum_agent.plan import sources
from viscum_agent.plan.datapath import u32

BOUNDED = settings(max_examples=400, deadline=None)
NETWORKS = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.integers(0, 32)), st.tuples(st.ip_addresses(v=6), st.integers(0, 128))
).map(lambda pair: ipaddress.ip_network(pair, strict=False))


@BOUNDED
@given(st.one_of(st.ip_addresses(), st.text("0123456789abcdef.:/%x ", max_size=20).map(str)))
def test_addresses_are_read_and_shown_as_the_standard_library_does(given_address):
    text = str(given_address)
    try:
        wanted = ipaddress.ip_address(text)
    except ValueError:
        wanted = None
    if wanted is not None and getattr(wanted, "scope_id", None):
        wanted = None  # an address with a zone is one of a link
    try:
        packed = address.parse_address(text)
    except ValueError:
        assert wanted is None
        return
    assert packed == wanted.packed
    assert ipaddress.ip_address(address.format_address(packed)) == wanted


@BOUNDED
@given(NETWORKS, NETWORKS, st.booleans())
def test_prefixes_hold_and_overlap_as_the_standard_library_says(one, other, related):
    if related and one.prefixlen < one.max_prefixlen:
        other = next(one.subnets())
    ours, theirs = address.parse_prefix(str(one)), address.parse_prefix(str(other))
    assert address.format_prefix(ours).lower() == address.format_prefix(address.parse_prefix(one.exploded))
    assert address.overlaps(ours, theirs) == (one.version == other.version and one.overlaps(other))
    assert address.contains(ours, theirs) == (one.version == other.version and other.subnet_of(one))
    assert address.mask(one.prefixlen, one.max_prefixlen // 8) == one.netmask.packed


@BOUNDED
@given(st.ip_addresses(), st.integers(0, 128))
def test_the_network_of_an_interface(host, length):
    interface = ipaddress.ip_interface((host, min(length, host.max_prefixlen)))
    found = address.network(interface.with_prefixlen)
    assert (found.packed, found.length) == (interface.network.network_address.packed, interface.network.prefixlen)


@BOUNDED
@given(st.integers(1, 65535), st.integers(1, 65535))
def test_a_range_of_ports_is_covered_exactly_and_by_no_port_twice(one, other):
    low, high = min(one, other), max(one, other)
    blocks = u32.blocks((low, high))
    covered = []
    for value, mask in blocks:
        size = 0x10000 - mask
        assert mask & 0xFFFF == mask and size & (size - 1) == 0 and value % size == 0
        covered += range(value, value + size)
    assert covered == list(range(low, high + 1))
    assert len(blocks) <= 30


@BOUNDED
@given(st.text("ab-", max_size=10), st.text("ab-*?", max_size=10))
def test_patterns_match_as_the_shells_do(name, pattern):
    assert sources.matches_glob(name, pattern) == fnmatch.fnmatchcase(name, pattern)


@BOUNDED
@given(st.lists(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=8), max_size=5))
def test_quoted_words_are_split_as_the_shells_quotes_say(words):
    assert split_words(shlex.join(words)) == words
