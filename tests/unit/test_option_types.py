"""What mypy sees of the records that options become is made from the table of options."""

import subprocess
import sys

import pytest
from lab import ROOT

sys.path.insert(0, str(ROOT / "tools"))

import option_types  # noqa: E402

from viscum_agent.config import service, uci  # noqa: E402

CONFIG = """
config globals globals
config service s
    option enabled 1
    option command '/bin/x y'
    list env A=1
    option group g
    option mtu 1500
    list device lan0
    list dest_port 1-2
    option healthcheck exec
    option health_command /bin/z
"""


def test_the_types_are_what_the_generator_makes(capsys):
    assert option_types.main(["--check"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong, said", [("health.rose", "rose"), ("program.workdir + 1", "operand"), ("mtu + 1", "int")]
)
def test_mypy_knows_the_fields_and_their_types(tmp_path, wrong, said):
    code = tmp_path / "code.py"
    line = 'def use(service: "Service") -> None:\n    print(service.%s)\n' % wrong
    code.write_text("from viscum_agent.config.service import Service\n\n\n" + line)
    words = [
        sys.executable,
        "-m",
        "mypy",
        "--cache-dir",
        str(tmp_path / "cache"),
        "--follow-imports",
        "silent",
        str(code),
    ]
    result = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1 and said in result.stdout, result.stdout + result.stderr


def test_a_value_is_of_the_type_that_mypy_is_told():
    read = service.read(uci.parse(CONFIG.encode(), "viscum"))
    assert read.problems == []
    (found,) = read.services
    for record in (read.settings, found, found.program, found.health, found.respawn):
        for name, option in option_types.fields.OPTIONS[type(record)]:
            assert _is(option_types._type(option), getattr(record, name)), (name, getattr(record, name))


def _is(words, value):
    """Whether a value is of a type, in the few words that the generator has."""
    if words.endswith(" | None"):
        return value is None or _is(words[: -len(" | None")], value)
    if words.startswith("tuple[") and words.endswith(", ...]"):
        return isinstance(value, tuple) and all(_is(words[len("tuple[") : -len(", ...]")], each) for each in value)
    if words in ("Prefix", "Destination"):
        return type(value).__name__ == words
    return type(value) is {"str": str, "int": int, "bool": bool}[words]
