"""Numbers with a name become constants of MicroPython's compiler: smaller, and faster.

`_NAME = const(1)` is a number wherever it is used: neither a name in the byte code nor an entry in the module. CPython
knows no const, so the agent's sources are without, and get it here. A number that other modules import by name is
written into each of them; one that they say in any other way (`module.NAME`) stays as it is.
"""

import ast
import io
import re
import tokenize
from collections import Counter
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container

# What stands there is another number on some machines.
NOT_FROM = ("compat",)


def with_constants(texts: "dict[PurePath, str]") -> "dict[PurePath, str]":
    """The sources ({path: text}) with constants."""
    values = {path: _values(text) for path, text in texts.items()}
    texts = {path: _without_imports(path, text, values) for path, text in texts.items()}
    said = {path: _said(ast.parse(text)) for path, text in texts.items()}
    found = {}
    for path, text in texts.items():
        found[path] = _fold(text, {name for other in texts if other != path for name in said[other]})
    return found


def _said(tree: ast.AST) -> "set[str]":
    """The names that a source asks other modules for; words of its texts too, because getattr may be given one."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.ImportFrom):
            found.update(each.name for each in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.update(re.findall(r"\w+", node.value))
    return found


def _values(text: str) -> "dict[str, int]":
    """{name: number} of a source's module."""
    tree = ast.parse(text)
    found: dict[str, int] = {}
    for node in tree.body:
        for name, value in _numbers(node, found):
            found[name] = eval(compile(ast.Expression(value), "", "eval"), {}, dict(found))
    several = _bound_twice(tree)
    return {name: found[name] for name in found if name not in several}


def _without_imports(path: PurePath, text: str, values: "dict[PurePath, dict[str, int]]") -> str:
    """A source in which the numbers of other modules are its own."""
    tree = ast.parse(text)
    several = _bound_twice(tree)
    lines = text.split("\n")
    for node in tree.body:
        if not isinstance(node, ast.ImportFrom):
            continue
        module = _module(path, node, values)
        numbers = values[module] if module else {}
        taken = [each.name for each in node.names if each.name in numbers and not each.asname]
        taken = [name for name in taken if name not in several]
        if not taken:
            continue
        left = [each.name + (" as " + each.asname if each.asname else "") for each in node.names]
        left = [name for name in left if name not in taken]
        words = ["%s = %d" % (name, numbers[name]) for name in taken]
        if left:
            words.insert(0, "from %s%s import %s" % ("." * node.level, node.module or "", ", ".join(left)))
        end = node.end_lineno or node.lineno
        lines[node.lineno - 1 : end] = ["; ".join(words)] + [""] * (end - node.lineno)
    return "\n".join(lines)


def _module(path: PurePath, node: ast.ImportFrom, known: "Container[PurePath]") -> "PurePath | None":
    """The path of the module that an import is from, None for none of ours."""
    folder = path.parent
    for _ in range(node.level - 1):
        folder = folder.parent
    name = (node.module or "").replace(".", "/")
    if not node.level or name.split("/")[0] in NOT_FROM:
        return None
    for found in (folder / (name + ".py"), folder / name / "__init__.py"):
        if found in known:
            return found
    return None


def _fold(text: str, others: "set[str]") -> str:
    """A source whose numbers are constants, but for those that other modules say."""
    names: list[str] = []
    tree = ast.parse(text)
    lines = text.split("\n")
    taken = others | _bound_twice(tree) | _imported(tree)
    used = _first_lines(tree)
    for node in tree.body:
        pairs = _numbers(node, names)
        # In functions that stand before an assignment, the compiler does not know its constants yet.
        own = [name for name, _ in pairs if name not in taken and used[name] >= node.lineno]
        own = [name for name in own if not re.search(r"\b_%s\b" % name, text)]
        if not own:
            continue
        names += own
        # More than one statement may be in a line by now.
        lines[node.lineno - 1] = _assigned(lines[node.lineno - 1], node, pairs, own, text)
        for line in range(node.lineno, node.end_lineno or node.lineno):
            lines[line] = ""
    return _renamed("\n".join(lines), {name for name in names if not name.startswith("_")})


def _first_lines(tree: ast.Module) -> "dict[str, int]":
    """The line in which each name stands first."""
    found: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            found[node.id] = min(found.get(node.id, node.lineno), node.lineno)
    return found


def _imported(tree: ast.Module) -> "set[str]":
    """What a source still imports, by the names that other modules have for it: `NAME as OTHER` is not its own NAME."""
    return {each.name for node in tree.body if isinstance(node, ast.ImportFrom) for each in node.names}


def _assigned(line: str, node: ast.stmt, pairs: "list[tuple[str, ast.expr]]", own: "list[str]", text: str) -> str:
    words = []
    for name, value in pairs:
        form = "%s = const(%s)" if name in own else "%s = %s"
        words.append(form % (name, ast.get_source_segment(text, value)))
    whole = ast.get_source_segment(text, node)
    assert whole is not None  # it comes from this text
    return line.replace(whole.split("\n")[0], "; ".join(words), 1)


def _bound_twice(tree: ast.AST) -> "set[str]":
    """Names that mean more than one thing in a source: set again, attributes of a class, arguments."""
    nodes = list(ast.walk(tree))
    found = [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    # The keyword of `**values` has no name.
    found += 2 * [node.arg for node in nodes if isinstance(node, (ast.arg, ast.keyword)) and node.arg]
    counts = Counter(found)
    return {name for name in counts if counts[name] > 1}


def _numbers(node: ast.stmt, constants: "Container[str]") -> "list[tuple[str, ast.expr]]":
    """[(name, value)] of an assignment of nothing but numbers, which may be made of constants; [] for any other."""
    if not isinstance(node, ast.Assign) or len(node.targets) != 1:
        return []
    target, value = node.targets[0], node.value
    pairs = [(target, value)]
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        pairs = list(zip(target.elts, value.elts))
    named = [(name.id, one) for name, one in pairs if isinstance(name, ast.Name) and name.id.isupper()]
    return named if len(named) == len(pairs) and all(_is_number(one, constants) for _, one in named) else []


def _is_number(node: ast.expr, constants: "Container[str]") -> bool:
    if isinstance(node, ast.Constant):
        return type(node.value) is int
    if isinstance(node, ast.Name):
        return node.id in constants
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub, ast.BitOr, ast.LShift, ast.Mult)):
        return _is_number(node.left, constants) and _is_number(node.right, constants)
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and _is_number(node.operand, constants)


def _renamed(text: str, names: "set[str]") -> str:
    """A source in which these names begin with an underscore: the compiler forgets such constants."""
    lines = text.split("\n")
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    for before, token in reversed(list(zip([""] + [token.string for token in tokens], tokens))):
        if token.type == tokenize.NAME and token.string in names and before != ".":
            (row, start) = token.start
            lines[row - 1] = lines[row - 1][:start] + "_" + lines[row - 1][start:]
    return "\n".join(lines)
