"""What uhttpd with its ubus plug-in is to LuCI: pages, files, and JSON-RPC in front of the real agent's ubus socket.

Only what is no part of this project is imitated: uhttpd (this file, from its ubus.c), rpcd (rpcd.py) and LuCI's runtime
in the browser (runtime/). The views, the menu, the rights and the agent are the real ones.
"""

import contextlib
import html
import http.server
import json
import os
import threading
from pathlib import Path

from lab import ROOT
from rpcd import NOBODY, Sessions, Status, Uci

from viscum_agent.ubus.caller import Caller
from viscum_agent.ubus.codes import UbusError

HERE = Path(__file__).resolve().parent
RUNTIME = HERE / "runtime"
# The style sheets of a theme: LuCI's own, where a folder with them is named (themes/luci-theme-bootstrap/htdocs/...).
THEME = Path(os.environ.get("VISCUM_THEME") or HERE / "theme")
PACKAGE = ROOT / "package/luci-app-viscum"
CGI = "/cgi-bin/luci"
RESOURCES = "/luci-static/resources"
LARGEST = 65536  # bytes of a request (UH_UBUS_MAX_POST_SIZE)
TIMEOUT = 60.0  # seconds (uhttpd's script_timeout)
KINDS = {"js": "text/javascript", "css": "text/css"}
# json_errors in uhttpd's ubus.c
ERRORS = {
    -32700: "Parse error",
    -32601: "Method not found",
    -32000: "Object not found",
    -32002: "Access denied",
}


class RpcError(Exception):
    def __init__(self, number):
        super().__init__(ERRORS[number])
        self.code = number


class Call:
    """One call that a page made, for tests that count."""

    def __init__(self, name, method, args):
        self.name, self.method, self.args = name, method, args

    def __repr__(self):
        return "%s.%s" % (self.name, self.method)


class Gateway:
    """Use as a context manager. `listener` is a socket that listens already, so that it may be in any namespace.

    `calls` are all that came so far, `answered` the answers as text. `objects` answers for what else runs on a router:
    {(object, method): function}. `instead` are files of the application as a test wants them: {path: bytes}; `theme` is
    None, "light" or "dark".
    """

    def __init__(self, listener, confdir, ubus, objects=None):
        self.sessions = Sessions()
        self.uci = Uci(confdir, self.sessions, self._reload)
        self.calls, self.answered = [], []
        self._ubus = ubus
        self.objects = objects or {}
        self.instead = {}
        self.theme = None
        self._caller = None
        self._lock = threading.Lock()  # uhttpd has one connection to ubus
        self._server = _Server(listener, self)
        self.url = "http://127.0.0.1:%d" % listener.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self.uci.close()
        self._hang_up()

    def page(self, path):
        return "%s%s/%s" % (self.url, CGI, path)

    # JSON-RPC

    def answer(self, body):
        """The answer to the body of a request, both as bytes."""
        try:
            asked = json.loads(body) if len(body) <= LARGEST else None
        except ValueError:
            asked = None
        found = [self._answer(each) for each in asked] if isinstance(asked, list) else self._answer(asked)
        self.answered.append(json.dumps(found))
        return self.answered[-1].encode()

    def _answer(self, request):
        whole = {"jsonrpc": "2.0", "id": request.get("id") if isinstance(request, dict) else None}
        try:
            whole["result"] = self._result(request)
        except RpcError as error:
            whole["error"] = {"code": error.code, "message": str(error)}
        return whole

    def _result(self, request):
        if not isinstance(request, dict) or request.get("jsonrpc") != "2.0":
            raise RpcError(-32700)
        if request.get("method") == "list":
            return self._list()
        if request.get("method") != "call":
            raise RpcError(-32601)
        params = request.get("params")
        if not isinstance(params, list) or list(map(type, params)) != [str, str, str, dict]:
            raise RpcError(-32700)
        if "ubus_rpc_session" in params[3]:
            raise RpcError(-32700)
        return self._call(*params)

    def _call(self, sid, name, method, args):
        self.calls.append(Call(name, method, args))
        with self._lock:
            if not self._is_there(name):
                raise RpcError(-32000)
            if not self.sessions.allows(sid, "ubus", name, method):
                raise RpcError(-32002)
            try:
                reply = self._invoke(name, method, {**args, "ubus_rpc_session": sid})
            except (Status, UbusError) as error:
                # What came with the status, as the agent's own message.
                message = getattr(error, "message", "")
                return [error.code, {"message": message}] if message else [error.code]
        return [0, reply] if reply else [0]

    def _is_there(self, name):
        own = {"session", "uci"} | {each for each, _ in self.objects}
        return name in own or name in self._names()

    def _invoke(self, name, method, args):
        if name == "session":
            return self.sessions.call(method, args)
        if name == "uci":
            return self.uci.call(method, args)
        if (name, method) in self.objects:
            return self.objects[name, method](args)
        return self._connected().call(name, method, args, TIMEOUT)

    # The agent

    def _connected(self):
        if self._caller is None:
            self._caller = Caller(self._ubus)
        return self._caller

    def _names(self):
        """The objects at the broker, which is asked each time, as uhttpd does."""
        for _ in range(2):  # the connection may have ended since the last call
            try:
                return [each.path for each in self._connected().lookup()]
            except UbusError:
                self._hang_up()
        return []

    def _hang_up(self):
        if self._caller:
            self._caller.close()
        self._caller = None

    def _list(self):
        with self._lock:
            return sorted({"session", "uci"} | {each for each, _ in self.objects} | set(self._names()))

    def _reload(self, configs):
        """What procd and the init script do when rpcd tells them of a changed file (`config.change`)."""
        if "viscum" in configs:
            with contextlib.suppress(UbusError), Caller(self._ubus) as caller:  # an agent that starts reads it anyway
                caller.call("viscum", "reload", {})

    # Pages

    def file(self, path):
        """A file below RESOURCES: the runtime's, or the application's; None if there is none."""
        for root in (RUNTIME, THEME, PACKAGE / "htdocs" / RESOURCES[1:]):
            if ".." not in path and (root / path).is_file():
                return self.instead.get(path, (root / path).read_bytes())
        return None

    def html(self, path, cookie):
        """A page of the menu for who is logged in, else the form to log in."""
        sid = cookie.partition("sysauth=")[2].partition(";")[0]
        if not self.sessions.knows(sid):
            return _page({"sessionid": NOBODY, "login": True}, self.theme)
        entry = MENU.get(path) or _menu().get(path)
        if not entry:
            return None
        groups = entry.get("depends", {}).get("acl", [])
        granted = {mode: all(self._has(sid, group, mode) for group in groups) for mode in ("read", "write")}
        if not granted["read"]:
            return None
        return _page(
            {
                "sessionid": sid,
                "view": "view." + entry["action"]["path"].replace("/", "."),
                "requestpath": path.split("/"),
                "nodespec": {"satisfied": True, "readonly": not granted["write"]},
                "includes": _includes(),
            },
            self.theme,
        )

    def _has(self, sid, group, mode):
        return self.sessions.allows(sid, "access-group", group, mode)


# The page of the runtime's own, for overview widgets.
MENU = {"admin/status/overview": {"action": {"path": "status/index"}}}


def _menu():
    found = {}
    for path in sorted(PACKAGE.glob("root/usr/share/luci/menu.d/*.json")):
        found.update({name: each for name, each in json.loads(path.read_text()).items() if "action" in each})
    return found


def _includes():
    folder = PACKAGE / "htdocs/luci-static/resources/view/status/include"
    return ["view.status.include." + path.stem for path in sorted(folder.glob("*.js"))]


def _page(env, theme):
    env = {
        "base_url": RESOURCES,
        "resource": RESOURCES,
        "scriptname": CGI,
        "ubuspath": "/ubus/",
        "pollinterval": 5,
        **env,
    }
    return (
        "<!DOCTYPE html><html%s><head><meta charset='utf-8'><title>Viscum</title>%s</head><body>"
        "<div id='maincontent' class='container'><div id='view'></div></div>"
        "<script src='%s/luci.js'></script><script type='module'>L = new LuCI(JSON.parse('%s'))</script></body></html>"
    ) % (
        " data-darkmode='true'" if theme == "dark" else "",
        _sheets() if theme else "",
        RESOURCES,
        html.escape(json.dumps(env), quote=False).replace("\\", "\\\\").replace("'", "\\'"),
    )


def _sheets():
    names = sorted(path.name for path in THEME.glob("*.css"))
    return "".join("<link rel='stylesheet' href='%s/%s'>" % (RESOURCES, name) for name in names)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, listener, gateway):
        super().__init__(listener.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_address = listener.getsockname()
        self.gateway = gateway


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.split("?")[0] not in ("/ubus", "/ubus/"):
            return self._send(404, "text/plain", b"")
        return self._send(200, "application/json", self.server.gateway.answer(body))

    def do_GET(self):
        path = self.path.split("?")[0]
        if path.startswith(CGI):
            text = self.server.gateway.html(path[len(CGI) + 1 :], self.headers.get("Cookie", ""))
            return self._send(200 if text else 404, "text/html", (text or "").encode())
        content = self.server.gateway.file(path[len(RESOURCES) + 1 :]) if path.startswith(RESOURCES) else None
        if content is None:
            return self._send(404, "text/plain", b"")
        return self._send(200, KINDS.get(path.rpartition(".")[2], "text/plain"), content)

    def _send(self, number, kind, body):
        self.send_response(number)
        self.send_header("Content-Type", kind + "; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass
