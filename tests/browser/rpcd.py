"""What rpcd is to LuCI, as far as the views can tell: sessions with rights, and uci with changes that are staged for
each session, applied together and taken back when nobody confirms them. Made after rpcd's session.c and uci.c.

Calls raise Status (a ubus status code) where rpcd answers with one.
"""

import copy
import json
import secrets
import threading
from fnmatch import fnmatchcase
from pathlib import Path

from lab import ROOT

from viscum_agent import shell
from viscum_agent.config import uci as syntax
from viscum_agent.ubus import codes as code

PASSWORD = "password"
# `list read` and `list write` of /etc/config/rpcd: which access groups an account has.
ACCOUNTS = {"root": {"read": ["*"], "write": ["*"]}, "viewer": {"read": ["*"]}}
FOLDER = ROOT / "package/luci-app-viscum/root/usr/share/rpcd/acl.d"
# What luci-base grants everybody who is logged in, as far as it is used here.
BASE = {
    "luci-base": {
        "read": {
            "ubus": {
                "session": ["access", "destroy"],
                "uci": ["changes", "get"],
                "luci-rpc": ["getNetworkDevices"],
                "network.interface": ["dump"],
            },
            "uci": ["luci", "network"],
        },
        "write": {"ubus": {"uci": ["add", "apply", "confirm", "delete", "order", "revert", "set"]}},
    }
}
NOBODY = "00000000000000000000000000000000"
UNAUTHENTICATED = {"ubus": {("session", "access"), ("session", "login")}}
NAMED = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"


class Status(Exception):
    """A ubus status code as an answer, and what is said with it."""

    def __init__(self, number, message=""):
        super().__init__(code.text(number))
        self.code = number
        self.message = message


def acls(folders):
    """Every access group: luci-base's and those of files."""
    found = dict(BASE)
    for folder in folders:
        for path in sorted(folder.glob("*.json")):
            found.update(json.loads(path.read_text()))
    return found


def may(login, mode, group):
    """As rpc_login_test_permission: who may write may read."""
    if any(fnmatchcase(group, each) for each in login.get(mode, ())):
        return True
    return mode == "read" and may(login, "write", group)


def rights(login, folders):
    """{scope: {(object, function), ...}} of an account; names may hold `*`."""
    found = {"access-group": set()}
    for group, acl in acls(folders).items():
        for mode in ("read", "write"):
            if mode not in acl or not may(login, mode, group):
                continue
            found["access-group"].add((group, mode))
            for scope, objects in acl[mode].items():
                pairs = found.setdefault(scope, set())
                if isinstance(objects, dict):
                    pairs.update((name, each) for name, functions in objects.items() for each in functions)
                else:
                    pairs.update((name, mode) for name in objects)
    return found


class Sessions:
    """`accounts` are as ACCOUNTS, `folders` those with access lists."""

    def __init__(self):
        self.accounts, self.folders = dict(ACCOUNTS), [FOLDER]
        self._rights = {NOBODY: UNAUTHENTICATED}

    def allows(self, sid, scope, name, function):
        granted = self._rights.get(sid, {}).get(scope, ())
        return any(fnmatchcase(name, each) and fnmatchcase(function, verb) for each, verb in granted)

    def knows(self, sid):
        return sid in self._rights and sid != NOBODY

    def login(self, username, password):
        if username not in self.accounts or password != PASSWORD:
            raise Status(code.PERMISSION_DENIED)
        sid = secrets.token_hex(16)
        self._rights[sid] = rights(self.accounts[username], self.folders)
        return {"ubus_rpc_session": sid, "timeout": 300, "expires": 299, "data": {"username": username}}

    def granted(self, sid):
        """As rpc_session_dump_acls: {scope: {object: [function, ...]}}."""
        found = {}
        for scope, pairs in self._rights.get(sid, {}).items():
            for name, function in sorted(pairs):
                found.setdefault(scope, {}).setdefault(name, []).append(function)
        return found

    def expire(self):
        """As if nobody had called for 300 seconds."""
        self._rights = {NOBODY: UNAUTHENTICATED}

    def call(self, method, args):
        if method == "login":
            return self.login(args.get("username", ""), args.get("password", ""))
        if method == "access":
            if "object" not in args or "function" not in args:
                return self.granted(args["ubus_rpc_session"])
            asked = args.get("scope", "ubus"), args["object"], args["function"]
            return {"access": self.allows(args["ubus_rpc_session"], *asked)}
        if method == "destroy":
            self._rights.pop(args["ubus_rpc_session"], None)
            return {}
        raise Status(code.METHOD_NOT_FOUND)


class Uci:
    """The configuration directory. `reload` is called with the names of the files that an apply changed, of
    which rpcd tells procd."""

    def __init__(self, confdir, sessions, reload):
        self._confdir = Path(confdir)
        self._sessions = sessions
        self._reload = reload
        self._staged = {}  # by session: {config: ([Section], [change])}
        self._rollback = None  # (session, {config: bytes}, timer)

    def call(self, method, args):
        if method not in ("get", "set", "add", "delete", "order", "changes", "apply", "confirm", "revert"):
            raise Status(code.METHOD_NOT_FOUND)
        return getattr(self, "_" + method)(args) or {}

    # Reading

    def _get(self, args):
        sections = self._sections(args, "read")
        if "section" not in args:
            return {"values": {each.name: _shown(each, index) for index, each in enumerate(sections)}}
        section = _find(sections, args["section"])
        if "option" not in args:
            return {"values": _shown(section)}
        if args["option"] not in section.options:
            raise Status(code.NOT_FOUND)
        return {"value": section.options[args["option"]]}

    def _changes(self, args):
        staged = self._staged.get(args["ubus_rpc_session"], {})
        changes = {name: list(found) for name, (_, found) in staged.items() if found}
        if "config" in args:
            return {"changes": changes.get(args["config"], [])}
        return {"changes": changes}

    def _sections(self, args, mode):
        return self._package(args, mode)[0]

    def _package(self, args, mode):
        """(sections, changes) as the session sees them."""
        sid, name = args["ubus_rpc_session"], args.get("config")
        if not name:
            raise Status(code.INVALID_ARGUMENT)
        if not self._sessions.allows(sid, "uci", name, mode):
            raise Status(code.PERMISSION_DENIED)
        staged = self._staged.setdefault(sid, {})
        if name in staged and staged[name][1]:
            return staged[name]
        if not (self._confdir / name).is_file():
            raise Status(code.NOT_FOUND)
        try:
            staged[name] = (syntax.load(str(self._confdir), name), [])
        except syntax.ConfigError:
            raise Status(code.INVALID_ARGUMENT) from None
        return staged[name]

    # Staging

    def _add(self, args):
        sections, changes = self._package(args, "write")
        kind, name = args.get("type", ""), args.get("name")
        if not kind or (name and not _is_name(name)) or not all(map(_is_name, args.get("values") or {})):
            raise Status(code.INVALID_ARGUMENT)
        sid = name or "cfg%02x%s" % (len(sections) + 1, secrets.token_hex(2))
        sections.append(syntax.Section(kind, sid, not name, {}, 0))
        changes.append(["add", sid, kind])
        self._assign(sections[-1], args.get("values") or {}, changes)
        return {"section": sid}

    def _set(self, args):
        sections, changes = self._package(args, "write")
        section = _find(sections, args.get("section"))
        if not all(map(_is_name, args.get("values") or {})):
            raise Status(code.INVALID_ARGUMENT)
        self._assign(section, args.get("values") or {}, changes)

    def _assign(self, section, values, changes):
        for name, value in values.items():
            if value == [] or value == "":
                section.options.pop(name, None)
            else:
                text = [_text(each) for each in value] if isinstance(value, list) else _text(value)
                section.options[name] = text
            changes.append(["set", section.name, name, value])

    def _delete(self, args):
        sections, changes = self._package(args, "write")
        section = _find(sections, args.get("section"))
        names = args.get("options") or ([args["option"]] if args.get("option") else [])
        for name in names:
            section.options.pop(name, None)
            changes.append(["remove", section.name, name])
        if not names:
            sections.remove(section)
            changes.append(["remove", section.name])

    def _order(self, args):
        sections, changes = self._package(args, "write")
        wanted = [_find(sections, name) for name in args.get("sections") or []]
        sections[:] = wanted + [each for each in sections if each not in wanted]
        changes.append(["order", args["sections"][0], "0"])

    def _revert(self, args):
        self._package(args, "write")
        self._staged[args["ubus_rpc_session"]].pop(args["config"])

    # Committing

    def _apply(self, args):
        sid = args["ubus_rpc_session"]
        if self._rollback:
            raise Status(code.PERMISSION_DENIED)
        staged = {name: each for name, each in self._staged.pop(sid, {}).items() if each[1]}
        if not staged:
            raise Status(code.NO_DATA)
        before = {name: (self._confdir / name).read_bytes() for name in staged}
        for name, (sections, _) in staged.items():
            (self._confdir / name).write_text(text_of(sections))
        if args.get("rollback"):
            timer = threading.Timer(args.get("timeout", 60), self._take_back)
            timer.daemon = True
            self._rollback = (sid, before, timer)
            timer.start()
        self._reload(sorted(staged))

    def _confirm(self, args):
        if not self._rollback:
            raise Status(code.NO_DATA)
        if args["ubus_rpc_session"] != self._rollback[0]:
            raise Status(code.PERMISSION_DENIED)
        self.close()

    def _take_back(self):
        _, before, _ = self._rollback
        self._rollback = None
        for name, content in before.items():
            (self._confdir / name).write_bytes(content)
        self._reload(sorted(before))

    def close(self):
        if self._rollback:
            self._rollback[2].cancel()
        self._rollback = None


def _find(sections, name):
    for section in sections:
        if section.name == name:
            return section
    raise Status(code.NOT_FOUND)


def _shown(section, index=None):
    found = {".anonymous": section.anonymous, ".type": section.type, ".name": section.name}
    if index is not None:
        found[".index"] = index
    return {**found, **copy.deepcopy(section.options)}


def _is_name(text):
    return bool(text) and all(letter in NAMED for letter in text)


def _text(value):
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(value)


def text_of(sections):
    """The file as `uci commit` writes it."""
    lines = []
    for section in sections:
        lines.append("config %s%s" % (section.type, "" if section.anonymous else " " + shell.quote(section.name)))
        for name, value in section.options.items():
            if isinstance(value, list):
                lines.extend("\tlist %s %s" % (name, shell.quote(each)) for each in value)
            else:
                lines.append("\toption %s %s" % (name, shell.quote(value)))
        lines.append("")
    return "\n".join(lines) + "\n"
