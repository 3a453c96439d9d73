"""What was read becomes a plate that some country has (examples/alpr/formats.py)."""

import sys

import pytest
from plates import EXAMPLE

sys.path.insert(0, str(EXAMPLE))

from formats import COUNTRIES, DIGITS, PATTERNS, fit  # noqa: E402


def read(text, gaps=None):
    """As if each character was read for sure."""
    return fit([{char: 1.0} for char in text], gaps)


@pytest.mark.parametrize(
    "text, gaps, plate, country",
    [
        ("KW640VS", {4}, "KW64OVS", "GB"),
        ("KW640VS", {2}, "KW640VS", "IT"),
        ("KW640VS", {2, 5}, "KW640VS", "FR"),
        ("7ABC1O3", set(), "7ABC103", "US"),
        ("HHO123", {2, 3}, "HHO123", "DE"),
        ("00KG57", {2, 5}, "00KGS7", "NL"),
        ("ABC", None, None, None),
        ("", None, None, None),
        ("A" * 20, None, None, None),
    ],
)
def test_o_and_0_are_what_a_place_can_have(text, gaps, plate, country):
    found = read(text, gaps)
    if country is None:
        assert found is None
    else:
        assert (found.plate, country in found.countries) == (plate, True)


def test_a_character_is_not_exchanged_where_it_may_stand():
    assert read("AB123CD").plate == "AB123CD" and set(read("AB123CD").countries) == {"FR", "IT"}


def test_the_surer_reading_counts_and_one_of_the_other_kind_only_where_it_must():
    """D was read as the likeliest letter and 0, more surely, as the likeliest digit."""
    found = fit([{"D": 0.6, "0": 0.99}, {"B": 1.0}, {"7": 0.9, "T": 0.3}], {1, 2})
    assert found.plate == "DB7"


@pytest.mark.parametrize("country", COUNTRIES)
def test_every_plate_of_a_country_fits_it_as_it_is(country):
    for pattern in PATTERNS:
        if pattern.country == country:
            plate = "".join(sorted(place)[0] for place in pattern.places)
            found = read(plate, pattern.gaps)
            assert found.plate == plate and found.good == 1.0
    letters = COUNTRIES[country][0]
    assert not set(letters) & set(DIGITS)
