"""docs/kernels.md names tests: each is there."""

import re

from lab import ROOT

PAGE = (ROOT / "docs/kernels.md").read_text()


def test_every_test_that_the_page_names_exists():
    names = re.findall(r"`(tests/[\w/.-]+)(?:::(\w+))?[ `]", PAGE)
    assert len(names) > 15
    for path, function in names:
        text = (ROOT / path).read_text()
        assert "def %s(" % function in text if function else text, (path, function)
