"""What becomes of the agent's Python in a package.

Both get one archive. CPython's has sources, for whatever version of Python is on the router, MicroPython's has byte
code: its format has been the same since MicroPython 1.19, on every architecture. What is not packed would be too large.
"""

import ast
import io
import subprocess
import tempfile
import tokenize
import zlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import assembled
from common import dictionary
from constants import with_constants

PACKAGE = "viscum_agent"
# The packages that have what is in none of its own.
AGENT, CPYTHONS_AGENT = "viscum", "viscum-cpython"
# Those of the others that have theirs for either interpreter. What is in the rest, viscum-cpython has itself.
FOR_BOTH = ("viscum-recipes", "viscum-metrics", "viscum-worth", "viscum-tenants", "viscum-etsi")
# What no router has a use for: it has ubusd, and the programs are assembled.
NOT_FOR_ROUTERS = ("ubus/broker.py", "ubus/monitor.py") + assembled.LEFT_OUT
# What one interpreter has no use for: the other one's half, and what needs a library of CPython's.
NOT_FOR_CPYTHON = ("compat/micropython.py",) + NOT_FOR_ROUTERS
NOT_FOR_MICROPYTHON = ("compat/cpython.py", "kernel/pyroute2_backend.py") + NOT_FOR_ROUTERS
# Bits of an integer that is no object: as many as the smallest of the routers has (32 bits wide, one for a mark).
SMALL_INT_BITS = 31
# The window that modules are packed with, 4 KiB as a power of two: what unpacking takes in memory
# (package/viscum/micropython/usr/lib/viscum/start.py has the same number); and how many bytes come before each module
# (common.py). They make the package 18 kB smaller. With 8 KiB, 4 KiB of them before each, it is 4 kB smaller still, and
# the agent 40 KiB larger.
WINDOW = 12
COMMON = 3072
# The same for sources: a router with CPython has more memory, and takes this only to compile. With half as many bytes
# before each the package would be 2 kB larger. Some of the window is deflate's own (zlib.h, deflateSetDictionary).
SOURCES_WINDOW = 15
SOURCES_COMMON = 32768 - 262


class Cut(NamedTuple):
    """What a source loses: from (line, column) to (line, column), and what stands there instead."""

    start: "tuple[int, int]"
    end: "tuple[int, int]"
    instead: str


def modules(root: Path, left_out: "tuple[str, ...]") -> "list[Path]":
    """Paths of the agent's files from the root, sorted."""
    found = sorted((root / PACKAGE).rglob("*.py"))
    return [path.relative_to(root) for path in found if path.relative_to(root / PACKAGE).as_posix() not in left_out]


def text(root: Path, path: Path) -> str:
    """The source of one of the agent's files, as a package has it but for what `bare` takes."""
    if path.relative_to(PACKAGE).as_posix() == assembled.MODULE:
        return assembled.text(root)
    return (root / path).read_text(encoding="utf-8")


@lru_cache  # for each of the packages
def sources(root: Path) -> "dict[str, bytes]":
    """The bytes of the archives for CPython, by the package that has them."""
    found = [(path, shallow(bare(text(root, path)))) for path in modules(root, NOT_FOR_CPYTHON)]
    texts = [(path.as_posix(), source.encode()) for path, source in found]
    of_both = {package: names for package, names in parts(root).items() if package in FOR_BOTH}
    return _archives(texts, of_both, CPYTHONS_AGENT, SOURCES_WINDOW, SOURCES_COMMON)


@lru_cache  # for each of the packages
def packed(root: Path, mpy_cross: str) -> "dict[str, bytes]":
    """The bytes of the archives for MicroPython, by the package that has them."""
    return _archives(compiled(root, mpy_cross), parts(root), AGENT, WINDOW, COMMON)


def _archives(
    agents: "list[tuple[str, bytes]]", parts: "dict[str, tuple[str, ...]]", agent: str, window: int, size: int
) -> "dict[str, bytes]":
    """{package: archive} of those parts and of the agent, which has what is common: `size` bytes."""
    others = {}
    for package, names in parts.items():
        others[package] = [each for each in agents if _is_of(each[0], names)]
        agents = [each for each in agents if not _is_of(each[0], names)]
    common = dictionary([code for _, code in agents], size)
    stamp = _stamp(agents, common)
    found = {package: archive(others[package], window, common, of=stamp) for package in others}
    found[agent] = archive(agents, window, common)
    return found


def parts(root: Path) -> "dict[str, tuple[str, ...]]":
    """PARTS of viscum_agent/optional.py, read and not imported: what that imports need not run where this does."""
    body = ast.parse((root / PACKAGE / "optional.py").read_text(encoding="utf-8")).body
    values = [node.value for node in body if isinstance(node, ast.Assign) and _name_of(node.targets[0]) == "PARTS"]
    found: dict[str, tuple[str, ...]] = ast.literal_eval(values[0])
    return found


def _name_of(target: ast.expr) -> str:
    return target.id if isinstance(target, ast.Name) else ""


def _is_of(path: str, names: "tuple[str, ...]") -> bool:
    """Whether a file is one of those modules, or below one."""
    module = path[len(PACKAGE) + 1 :].rsplit(".", 1)[0].replace("/", ".") + "."
    return any(module.startswith(name + ".") for name in names)


def archive(modules: "list[tuple[str, bytes]]", window: int, common: bytes, of: str = "") -> bytes:
    """In the form that package/viscum/micropython/usr/lib/viscum/start.py tells; `of` is the stamp of the archive that
    has what is common, if that is another one."""
    first = b"" if of else _deflated(common, window)
    lines, data = [], b""
    for name, code in modules:
        deflated = _deflated(code, window, common)
        lines.append("%s %d %d\n" % (name, len(data), len(deflated)))
        data += deflated
    listed = "".join(lines).encode()
    return b"%d %d %s\n" % (len(listed), len(first), (of or _stamp(modules, common)).encode()) + listed + first + data


def _stamp(modules: "list[tuple[str, bytes]]", common: bytes) -> str:
    """What tells an archive from that of another version."""
    return "%08x" % zlib.crc32(common + repr(modules).encode())


def _deflated(data: bytes, window: int, before: bytes = b"") -> bytes:
    """`before` is what an unpacker has already seen."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -window, zdict=before)
    return packer.compress(data) + packer.flush()


def compiled(root: Path, mpy_cross: str) -> "list[tuple[str, bytes]]":
    """(path, bytes) of each of the agent's modules as MicroPython's byte code."""
    found = []
    paths = modules(root, NOT_FOR_MICROPYTHON)
    texts = with_constants({path: bare(text(root, path)) for path in paths})
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            output, plain = Path(folder, "module.mpy"), Path(folder, "module.py")
            plain.write_text(texts[path], encoding="utf-8")
            # -O3 leaves line numbers out, a sixteenth of all: flash is what routers have least of.
            command = [mpy_cross, "-O3", "-msmall-int-bits=%d" % SMALL_INT_BITS]
            command += ["-s", path.relative_to(PACKAGE).with_suffix("").as_posix(), "-o", str(output), str(plain)]
            subprocess.check_call(command)
            found.append((path.with_suffix(".mpy").as_posix(), output.read_bytes()))
    return found


def bare(text: str) -> str:
    """A source without comments, docstrings, what is only for mypy, and the help of options, which the manual and the
    form have: in a tenth less memory, and no line changes its number."""
    text = _without_types(text)
    lines = text.split("\n")
    for (row, start), (last, end), instead in sorted(_cuts(text) + _help_cuts(text) + _type_cuts(text), reverse=True):
        tail = lines[last - 1][end:]
        lines[row - 1] = (lines[row - 1][:start] + instead + (tail if last == row else "")).rstrip()
        for between in range(row, last):
            lines[between] = ""
    return "\n".join(lines)


def shallow(text: str) -> str:
    """A source with one space for each level of indentation, none where a statement goes on in the next line, and
    between words only."""
    text = _tight(text)
    lines = text.split("\n")
    level, done, begins = 0, 0, True
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.INDENT, tokenize.DEDENT):
            level += 1 if token.type == tokenize.INDENT else -1
        elif token.type not in (tokenize.NL, tokenize.COMMENT, tokenize.ENDMARKER):
            row, column = token.start
            if row > done:  # and not in a string of several lines
                lines[row - 1] = " " * (level if begins else 0) + lines[row - 1][column:]
            done = token.end[0]
            begins = token.type == tokenize.NEWLINE
    return "\n".join(lines)


def _tight(text: str) -> str:
    """A source without spaces where none has to be: a word needs one before another word, a number or a string."""
    lines = text.split("\n")
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    for token, following in reversed(list(zip(tokens, tokens[1:]))):
        (row, end), (next_row, start) = token.end, following.start
        needed = _is_of_word(token.string[-1:]) and (_is_of_word(following.string[:1]) or following.string[:1] in "\"'")
        if token.type not in _OF_LINES and row == next_row and not needed:
            lines[row - 1] = lines[row - 1][:end] + lines[row - 1][start:]
    return "\n".join(lines)


def _is_of_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _without_types(text: str) -> str:
    """A source without `TYPE_CHECKING = False` and the imports `if TYPE_CHECKING:`, in empty lines."""
    lines = text.split("\n")
    for node in ast.parse(text).body:
        if lines[node.lineno - 1] in ("TYPE_CHECKING = False", "if TYPE_CHECKING:"):
            end = node.end_lineno or node.lineno
            lines[node.lineno - 1 : end] = [""] * (end - node.lineno + 1)
    return "\n".join(lines)


def _cuts(text: str) -> "list[Cut]":
    """What goes with comments and docstrings."""
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    cuts: list[Cut] = []
    before = tokenize.ENCODING
    for token, following in zip(tokens, tokens[1:] + tokens[-1:]):
        if token.type == tokenize.COMMENT:
            cuts.append(Cut(token.start, token.end, ""))
        elif token.type == tokenize.STRING and before in _BEGINNINGS and following.type == tokenize.NEWLINE:
            # What is left may be all that a function or class has.
            cuts.append(Cut(token.start, token.end, '""' if before == tokenize.INDENT else ""))
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            before = token.type
    return cuts


def _help_cuts(text: str) -> "list[Cut]":
    """The same for the last argument of each Option(...) (config/schema.py) and the `help` of each kind of check
    (plan/checks.py)."""
    cuts = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            words = [each.value for each in node.keywords if each.arg == "help"]
            if getattr(node.func, "id", "") == "Option":
                words += node.args[4:]
            cuts += [Cut((each.lineno, each.col_offset), _end(each), '""') for each in words]
    return cuts


def _type_cuts(text: str) -> "list[Cut]":
    """The same for annotations of parameters, results, and what gets a value. One of several lines stays: what follows
    it would change its line."""
    lines = text.split("\n")
    cuts: list[Cut] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.arg) and node.annotation:
            cuts.append(Cut((node.lineno, node.col_offset + len(node.arg)), _end(node.annotation), ""))
        elif isinstance(node, ast.FunctionDef) and node.returns:
            start = lines[node.returns.lineno - 1].rindex(" -> ", 0, node.returns.col_offset)
            cuts.append(Cut((node.returns.lineno, start), _end(node.returns), ""))
        elif isinstance(node, ast.AnnAssign) and node.value:
            cuts.append(Cut(_end(node.target), _end(node.annotation), ""))
    return [cut for cut in cuts if cut.start[0] == cut.end[0]]


def _end(node: ast.expr) -> "tuple[int, int]":
    assert node.end_lineno is not None and node.end_col_offset is not None  # it was parsed, not made
    return node.end_lineno, node.end_col_offset


_OF_LINES = (tokenize.INDENT, tokenize.DEDENT, tokenize.NEWLINE, tokenize.NL)
_BEGINNINGS = (tokenize.ENCODING, tokenize.INDENT, tokenize.NEWLINE, tokenize.DEDENT)
