"""docs/architecture.md names every file of the agent, and nothing that is not there."""

import ast
import re

from lab import ROOT

AGENT = ROOT / "viscum_agent"
TEXT = (ROOT / "docs/architecture.md").read_text()


def rows():
    """The table of rooms: {what a row is about: what it says}."""
    table = TEXT[TEXT.index("| room, file | does |") :].split("\n\n")[0]
    cells = [line.split("|")[1:3] for line in table.splitlines()[2:]]
    return dict(cells)


def rooms():
    """{folder: names of what is in it}."""
    folders = [path for path in AGENT.iterdir() if (path / "__init__.py").exists()]
    inside = {path.name: {each.stem for each in path.iterdir() if each.suffix == ".py"} for path in folders}
    inside["plan"].add("datapath")
    return {name: inside[name] - {"__init__"} for name in inside}


def members():
    """Classes and functions of the agent, with those of classes: "health.Check._verdict" and "Check._verdict"."""
    found = set()
    for path in AGENT.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                inside = [each.name for each in node.body if isinstance(each, ast.FunctionDef)]
                names = [node.name, *("%s.%s" % (node.name, name) for name in inside)]
                found.update(names, ("%s.%s" % (path.stem, name) for name in names))
            elif isinstance(node, ast.Assign):
                found.update(each.id for each in node.targets if isinstance(each, ast.Name))  # records
    return found


def test_each_file_is_in_its_rooms_row():
    for room, names in rooms().items():
        (text,) = [words for about, words in rows().items() if "`%s/`" % room in about]
        missing = [name for name in names if not re.search(r"`%s/?`" % name, text)]
        assert not missing, (room, missing)
    base = {path.name for path in AGENT.glob("*.py")} - {"__init__.py", "__main__.py"}
    assert not [name for name in base if not any("`%s`" % name in about for about in rows())]


def test_what_it_names_of_classes_is_there():
    """`Instance.become`, `rtnl.Near`: a word with a class in it."""
    named = set(re.findall(r"`((?:[a-z_]+\.)?[A-Z][a-z]\w*(?:\.\w+)?)`", TEXT))
    assert {"Instance.become", "Agent.withdraw"} <= named
    assert named - members() == set()
