"""What licence plates of some countries look like: which places have letters, which have digits, and which letters.

The recogniser needs it because a plate's O and 0, I and 1, B and 8 are told apart by their place alone, and the test
pictures are made from it. Plates are compared without blanks and hyphens. These are the ordinary plates of cars: of
Germany (at most 8 characters), France since 2009, Great Britain since 2001, Italy since 1994, the Netherlands
(sidecodes 7 to 10), California and New York. Others are a row more.
"""

from collections import namedtuple

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = "0123456789"
LONGEST = 8  # characters of a plate
SHORTEST = 3

# country: which letters it uses, and patterns: A is a letter, 9 a digit, 1 a digit but not 0; the rest is shown only.
COUNTRIES = {
    "DE": (
        ALPHABET,
        tuple(
            "A" * area + " " + "A" * letters + " 1" + "9" * digits
            for area in (1, 2, 3)
            for letters in (1, 2)
            for digits in (0, 1, 2, 3)
            if area + letters + 1 + digits <= LONGEST
        ),
    ),
    "FR": ("ABCDEFGHJKLMNPQRSTVWXYZ", ("AA-999-AA",)),
    "GB": ("ABCDEFGHJKLMNOPRSTUVWXYZ", ("AA99 AAA",)),
    "IT": ("ABCDEFGHJKLMNPRSTVWXYZ", ("AA 999AA",)),
    "NL": ("BDFGHJKLMNPRSTVWXZ", ("99-AAA-9", "9-AAA-99", "AA-999-A", "A-999-AA")),
    "US": ("ABCDEFGHJKLMNPRSTUVWXYZ", ("1AAA999", "AAA-9999")),
}

# What one cannot tell apart on most plates, and what a reader takes for one another.
SAME = ("0O", "1I")
LOOK_ALIKE = ("0ODQ", "1ILT", "2Z", "4A", "5S", "6G", "7TZ", "8B", "CG")

# What a wrong gap weighs, and how much of a reading counts for characters that look the same or alike, when a sure
# character is 1.
GAP = 0.6
AS_SAME, AS_ALIKE = 0.95, 0.5

# What fits best: how well (at most 1), the plate, and the countries that have such plates.
Fit = namedtuple("Fit", ("good", "plate", "countries"))
# One way in which plates are written: what each place may have, and after how many characters there are gaps.
Pattern = namedtuple("Pattern", ("country", "places", "gaps"))


def _pattern(country, letters, written):
    sets = {"A": letters, "9": DIGITS, "1": DIGITS[1:]}
    places, gaps = [], set()
    for place in written:
        if place in sets:
            places.append(sets[place])
        else:
            gaps.add(len(places))
    return Pattern(country, places, gaps)


PATTERNS = [_pattern(country, letters, one) for country, (letters, written) in COUNTRIES.items() for one in written]


def fit(readings, gaps=None):
    """The Fit of what was read, or None if no country has such a plate.

    `readings` has for each place {character: how sure}, from 0 to 1. Others that look like one of them count less, so
    they are taken only where a country's pattern demands it. `gaps` are the numbers of characters after which one was
    seen: they tell AB12 OCD of Great Britain from AB 120CD of Italy."""
    readings = [_with_alike(reading) for reading in readings]
    best = None
    for pattern in PATTERNS:
        if len(pattern.places) != len(readings):
            continue
        chosen = [_surest(reading, allowed) for reading, allowed in zip(readings, pattern.places, strict=True)]
        if None in chosen:
            continue
        wrong = 0 if gaps is None else len(gaps ^ pattern.gaps)
        good = (sum(sure for sure, _ in chosen) - GAP * wrong) / len(chosen)
        plate = "".join(char for _, char in chosen)
        if best is None or good > best.good:
            best = Fit(good, plate, (pattern.country,))
        elif (good, plate) == best[:2] and pattern.country not in best.countries:
            best = best._replace(countries=(*best.countries, pattern.country))
    return best


def _with_alike(reading):
    """With those that look the same, unless one of their kind, letter or digit, was read as well, and those alike."""
    found = dict(reading)
    kinds = {char.isdigit() for char in reading}
    for char, sure in reading.items():
        for other in "".join(group for group in SAME if char in group):
            counts = AS_ALIKE if other.isdigit() in kinds else AS_SAME
            found[other] = max(found.get(other, 0), counts * sure)
        for other in "".join(group for group in LOOK_ALIKE if char in group):
            found[other] = max(found.get(other, 0), AS_ALIKE * sure)
    return found


def _surest(reading, allowed):
    """(how sure, character) of those that a place may have, or None."""
    return max(((sure, char) for char, sure in reading.items() if char in allowed), default=None)
