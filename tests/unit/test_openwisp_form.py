"""OpenWISP's form and its templates are what the agent's table and recipes make them."""

import json
import sys

import pytest
from lab import ROOT

sys.path.insert(0, str(ROOT / "tools"))

import openwisp  # noqa: E402

from viscum_agent.config import schema  # noqa: E402


@pytest.mark.parametrize("path", openwisp.made(), ids=lambda path: path.name)
def test_the_files_are_what_the_generator_makes(path):
    assert openwisp.made()[path] == path.read_text(), "run tools/openwisp.py"


def test_the_form_has_every_option_of_every_section():
    made = openwisp.form()["items"]["oneOf"]
    assert {each["title"]: set(each["properties"]) - {"config_name", "config_value"} for each in made} == {
        name: {option.name for option in options} for name, options in schema.SECTIONS.items()
    }


def test_every_recipe_is_a_template():
    names = {file.name for file in openwisp.RECIPES.iterdir() if "." not in file.name}
    assert set(json.loads((openwisp.PACKAGE / "templates.json").read_text())) == names
