"""What rules say, written into the configuration: of a service that is there its traffic and `enabled`, and nothing
else in the file; a new one below all others. What means the same already is left as it was written."""

from collections import namedtuple

from ... import compat
from ...config import document as documents
from ...config import schema, service, uci
from ...errors import ConfigError
from ...plan import clients
from ...plan.skip import Skip
from ...records import with_
from .. import rollout, sections
from ..verbs import say
from . import exported, imported, model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...config.service import Configuration
    from ...config.uci import _Section as Section
    from ...errors import Problem
    from ..words import Arguments
    from .imported import Said

# A statement of a file: from which line to which, what it says (config, option, list), its name (of an option), and the
# number of its section.
Statement = namedtuple("Statement", ("first", "last", "command", "name", "section"))

ONE_LINE = "%s:%d: has more than one statement, and not all of them change: write each on a line of its own"
NONE_NEW = "OPTION=VALUE is for a new service, and all of these are there: leave it out"
NEW = "is new here (%s), and rules name no program: import one at a time, with command='/usr/bin/...' for it"
SAME = "is so already"
LAN = "lan"  # where clients are, as in OpenWrt's own configuration


def take(arguments: "Arguments") -> int:
    """`viscum import`."""
    file, path = arguments.names[0], arguments.confdir + "/viscum"
    name, given = sections.given(arguments)
    said, problems = _read(file, name)
    made = None
    if not problems:
        plan = Plan(path, said, given)
        problems, made = sections.change(path, [each.name for each in said], plan.make)
    if made is None:
        say(problems)
        return 1
    for each in said:
        print("viscum.%s: %s" % (each.name, plan.done[each.name]))
    if any(text != SAME for text in plan.done.values()):
        rollout.tell(arguments.socket)
    return 0


def _read(path: str, name: str) -> "tuple[list[Said], list[Problem]]":
    """(what a file says, problems) of anybody's file, and of a pipe."""
    try:
        data = compat.read_file(path, imported.MOST + 1)
    except OSError as error:
        compat.unless_spent(error)
        raise ConfigError("%s can't be read: %s" % (path, compat.strerror(error.args[0])))
    reader = imported.Reader(path, name)
    return reader.services(documents.parse(data, path, imported.MOST)), reader.problems


class Plan:
    """`make` changes a file's bytes as rules say; `done` is then what that was, by service."""

    def __init__(self, path: str, said: "list[Said]", given: "list[tuple[str, str]]") -> None:
        self._path = path
        self._said = said
        self._given = given
        self.done: dict[str, str] = {}

    def make(self, before: bytes) -> bytes:
        parsed = uci.parse(before, self._path)
        there = {section.name: section for section in parsed if section.type == "service"}
        new = [each.name for each in self._said if each.name not in there]
        if self._given and not new:
            raise ConfigError(NONE_NEW)
        if len(new) > 1 or (new and not [value for name, value in self._given if name in ("command", "bundle")]):
            raise ConfigError(NEW % ", ".join(new))
        was, data = service.read(parsed, files=False), before
        for each in self._said:
            sections.refuse_staged(each.name)
            if each.name in there:
                data = self._changed(data, _completed(each, parsed, there[each.name]), there[each.name], was)
            else:
                data = sections.behind(data, self._added(each))
        return data

    def _added(self, said: "Said") -> str:
        """A new service, with what was given for it."""
        options = _options(said)
        given: dict[str, list[str]] = {}
        for option, value in self._given:
            given.setdefault(option, []).append(value)
        options.update(given)
        if not options.get("interface") and not options.get("device"):
            options["interface"] = [LAN]
        options["enabled"] = ["0" if said.on is False else "1"]
        self.done[said.name] = "is new, enabled '%s'" % options["enabled"][0]
        order = ["enabled", "command"] + sorted(given) + list(model.TRAFFIC)
        return "config service '%s'\n%s" % (said.name, _lines(options, order)) + _redirects(said)

    def _changed(self, data: bytes, said: "Said", section: "Section", was: "Configuration") -> bytes:
        """The bytes with what changes of a service: its traffic, only if that is another one, and whether it is on."""
        switch = [] if said.on in (None, schema.check(section)[0]["enabled"]) else ["enabled"]
        others = _others(section, _options(said))
        after = self._edited(data, said, switch + others, True)
        now = service.read(uci.parse(after, self._path), files=False)
        is_same = _may_mean_the_same(others) and traffic(said.name, was) == traffic(said.name, now)
        done = ([] if is_same else ["other traffic"]) + ["enabled '%d'" % said.on for _ in switch]
        self.done[said.name] = ", ".join(done) or SAME
        return self._edited(data, said, switch, False) if is_same else after

    def _edited(self, data: bytes, said: "Said", going: "list[str]", whole: bool) -> bytes:
        """The bytes with other values for options of a service, and if `whole` with other redirect sections."""
        parsed = uci.parse(data, self._path)
        here = [i for i, each in enumerate(parsed) if each.type == "service" and each.name == said.name][0]
        extra = exported.redirects_of(said.name, parsed) if whole else []
        whole = whole and not _are_same(extra, said)
        gone = [i for i, each in enumerate(parsed) if whole and each in extra]
        options = dict(_options(said), enabled=["%d" % (said.on or 0)])
        texts = {name: _lines(options, [name]) for name in going}
        lines = data.split(b"\n")
        kept: list[bytes] = []
        at = 0
        chunks = _chunks(data, self._path, parsed)
        there = [each.name for chunk in chunks for each in chunk if each.section == here]
        for chunk in chunks:
            goes = [each.section in gone or (each.section == here and each.name in going) for each in chunk]
            # New ones come where the old ones were, or below the section's first line.
            new = [each.name for each in chunk if each.section == here]
            if "" in new:
                new = [name for name in going if name not in there]
            new = [name for name in new if texts.get(name)]
            if any(goes) != all(goes) or (new and chunk[-1].section != here):
                raise ConfigError(ONE_LINE % (self._path, chunk[0].first))
            kept += lines[at : chunk[0].first - 1 if any(goes) else chunk[0].last]
            at = chunk[0].last
            for name in new:
                kept += texts.pop(name, "").encode().split(b"\n")[:-1]
        data = b"\n".join(kept + lines[at:])
        return data + _redirects(said).encode() if whole else data


def _chunks(data: bytes, path: str, parsed: "list[Section]") -> "list[list[Statement]]":
    """The statements of a file, those of the same lines together. It is read as uci.parse does."""
    reader = uci.Reader(data, path)
    found: list[list[Statement]] = []
    known: dict[str, int] = {}
    section, count = -1, 0
    while reader.next_line():
        first, words = reader.line, []
        reader.skip_space()
        command = reader.command()
        while command:
            name = ""
            if command == b"config":
                reader.required("section type")
                given = str(reader.word(), "ascii")
                if given not in known or not given:
                    section, count = count, count + 1
                    known.setdefault(parsed[section].name, section)
                else:
                    section = known[given]
            elif command == b"package":
                reader.required("package name")
            else:
                name = str(reader.required("option name"), "ascii")
                reader.word()
            reader.end_of_statement()
            words.append((str(command, "ascii"), name, section))
            command = reader.command()
        if words:
            found.append([Statement(first, reader.line, command, name, section) for command, name, section in words])
    return found


def traffic(name: str, configuration: "Configuration") -> object:
    """What a service's matches come to, in a form that is the same however they are written; None for one with a
    mistake."""
    found = [each for each in configuration.services if each.name == name and name not in configuration.bad]
    if not found:
        return None
    made, only = found[0], None
    try:
        made = clients.of_clients(made, "viscum")
    except Skip:
        only = made.clients
    named = [(set(each.hosts), {tuple(match) for match in each.matches}) for each in made.named]
    return {tuple(match) for match in made.matches}, named, only, set(made.client_hosts)


# What rules say, as options


def _options(said: "Said") -> "dict[str, list[str]]":
    """{option: texts} of the service's own section."""
    found = dict(said.options or {})
    found.update(said.parts[0])
    for option in said.left_out:
        found[option] = found.get(option, []) + said.left_out[option]
    return found


def _others(section: "Section", options: "dict[str, list[str]]") -> "list[str]":
    """The options of model.TRAFFIC that are to have another value than in a section, or a wrong one."""
    now, wanted = schema.check(section)[0], _section(section.type, section.name, options)
    values, problems = schema.check(wanted)
    wrong = [problem.where.split(".")[-1] for problem in problems]
    return [name for name in model.TRAFFIC if name in wrong or not _is_same(values[name], now[name])]


def _is_same(one: object, other: object) -> bool:
    """Whether two values mean the same: the order of a list is nobody's matter."""
    if not isinstance(one, list) or not isinstance(other, list):
        return one == other
    return len(one) == len(other) and all(each in other for each in one)


def _may_mean_the_same(others: "list[str]") -> bool:
    """Whether what is other may come to the same matches: the only clients are in `src_ip` or in `client`."""
    return not [name for name in others if name not in model.MATCH + ("client",)]


def _are_same(redirects: "list[Section]", said: "Said") -> bool:
    """Whether redirect sections are what rules say."""
    wanted = [_section("redirect", "", _of_redirect(part, said)) for part in said.parts[1:]]
    return [schema.check(each)[0] for each in redirects] == [schema.check(each)[0] for each in wanted]


def _section(kind: str, name: str, options: "dict[str, list[str]]") -> "Section":
    """A section as it would be read."""
    found: dict[str, Any] = {}
    for option in [each for each in options if options[each]]:
        row = schema.option_named(kind, option)
        found[option] = options[option] if row is None or row.many else options[option][0]
    return uci.Section(kind, name, False, found, 0)


def _completed(said: "Said", parsed: "list[Section]", section: "Section") -> "Said":
    """With what the models have no word for as it is, where the rules come from somebody who does not know ours."""
    if said.options is not None:
        return said
    options = _texts(section, model.OF_RULE)
    options["exclude_client"] = [text for text in options.get("exclude_client", []) if not exported.is_address(text)]
    parts, before = [], exported.parts_of(section, parsed)
    for number, part in enumerate(said.parts):
        known = _texts(before[number], ("dest_host", "target_port")) if number < len(before) else {}
        parts.append(dict(known, **part))
    return with_(said, options=options, parts=parts)


def _texts(section: "Section", names: "tuple[str, ...]") -> "dict[str, list[str]]":
    found = exported.options_of(section, names)
    return {name: [found[name]] if isinstance(found[name], str) else found[name] for name in found}


def _lines(options: "dict[str, list[str]]", order: "list[str]") -> str:
    lines: list[str] = []
    for number, name in enumerate(order):
        if name not in order[:number]:
            lines += sections.lines(name, options.get(name, []))
    return "".join([line + "\n" for line in lines])


def _redirects(said: "Said") -> str:
    """The sections for all parts but the first."""
    order = [row.name for row in schema.REDIRECT]
    return "".join(["\nconfig redirect\n" + _lines(_of_redirect(part, said), order) for part in said.parts[1:]])


def _of_redirect(part: "dict[str, list[str]]", said: "Said") -> "dict[str, list[str]]":
    return dict(part, service=[said.name])
