"""Chromium without a window, driven through a pipe (driver.mjs), in a namespace that has nothing but loopback."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from lab import HANG, ROOT, ip, kill, pids_in, wait_for

from viscum_agent import compat

HERE = Path(__file__).resolve().parent
LIBRARY = ROOT / "node_modules/playwright-core"
CHROMIUM = "/usr/bin/chromium"
SIZE = {"width": 1200, "height": 900}


class Failed(AssertionError):
    """What Playwright says of an order that it could not carry out."""


class Browser:
    """Use as a context manager."""

    def __init__(self):
        self.ns = "browser%x" % os.getpid()
        self._profile = tempfile.mkdtemp(prefix="viscum-browser-")
        self._driver = None

    def __enter__(self):
        ip("netns", "add", self.ns)
        ip("-n", self.ns, "link", "set", "lo", "up")
        words = ("node", HERE / "driver.mjs", CHROMIUM, self._profile)
        self._driver = subprocess.Popen(
            ["nsenter", "--net=/run/netns/" + self.ns, *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_):
        try:
            with contextlib.suppress(BrokenPipeError):  # a driver that failed: Chromium may be left all the same
                self._driver.stdin.close()
            self._driver.wait()
        finally:
            kill(self._driver)
            wait_for(self._cleared)
            ip("netns", "del", self.ns)
            shutil.rmtree(self._profile, ignore_errors=True)

    def _cleared(self):
        """Chromium has helpers that outlive it, or that it starts while it ends."""
        left = pids_in(self.ns)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    def listener(self):
        """A socket that pages can reach, at 127.0.0.1."""
        with open("/proc/self/ns/net") as here, open("/run/netns/" + self.ns) as there:
            compat.setns(there.fileno())
            try:
                found = socket.socket()
            finally:
                compat.setns(here.fileno())
        found.bind(("127.0.0.1", 0))
        found.listen(50)
        return found

    def order(self, name, *args):
        self._driver.stdin.write(json.dumps({"do": name, "args": args}) + "\n")
        self._driver.stdin.flush()
        line = self._driver.stdout.readline()
        answer = json.loads(line) if line else {"error": "the browser is gone"}
        if "error" in answer:
            raise Failed("%s %s: %s" % (name, args, answer["error"]))
        return answer["value"]


class Page:
    """A page that shares nothing with others. Selectors are Playwright's: CSS, `text=`, `>>`, `:has-text()`."""

    def __init__(self, browser, gateway):
        self._browser = browser
        self._gateway = gateway
        self.order = browser.order

    def __enter__(self):
        self.order("new", SIZE)
        return self

    def __exit__(self, *_):
        self.order("end")

    def open(self, path, account="root"):
        """Opens a page of the menu; logs in where that is asked for, as a person does."""
        self.order("goto", self._gateway.page(path))
        self.until("() => document.querySelector('[name=luci_password]') || (window.L && L.loaded)")
        if self.has("[name=luci_password]"):
            self.log_in(account)
            self.until("() => window.L && L.loaded")

    def log_in(self, account="root", password="password"):
        self.order("fill", "[name=luci_username]", account)
        self.order("fill", "[name=luci_password]", password)
        self.order("click", "text=Log in")

    def sees(self, text):
        """Waits until the page shows a text."""
        self.until("(text) => document.body?.innerText.includes(text)", text)

    def misses(self, text):
        """Waits until the page does not show a text."""
        self.until("(text) => document.body && !document.body.innerText.includes(text)", text)

    def until(self, function, argument=None):
        """Waits for what a function in the page says; fails with what the page shows."""
        try:
            self.order("waitForFunction", {"function": function}, argument, {"timeout": 1000 * HANG, "polling": 50})
        except Failed as error:
            raise Failed("%s\n%s\nThe page:\n%s" % (error, self.order("noise"), self.text("body"))) from None

    def run(self, function, argument=None):
        return self.order("evaluate", {"function": function}, argument)

    def text(self, selector):
        return self.order("innerText", selector)

    def count(self, selector):
        return self.run("(selector) => document.querySelectorAll(selector).length", selector)

    def has(self, selector):
        return self.count(selector) > 0

    def click(self, selector):
        self.order("click", selector)

    def click_and_reload(self, selector):
        """Clicks what makes the page load itself anew a moment later, and waits for that: it ends any other loading."""
        self.run("() => { window.before = true; }")
        self.click(selector)
        self.until("() => !window.before && window.L && L.loaded")

    def fill(self, selector, text):
        self.order("fill", selector, text)

    def type(self, option, text):
        """Types into the dialog's field for a new item, or for what a menu does not have, key by key: that is when LuCI
        looks at it. Returns the field."""
        place = "#modal_overlay [data-name=%s] " % option
        if self.has(place + ".cbi-dropdown"):
            self.click(place + ".cbi-dropdown")
            self.click(place + ".create-item-input")
        field = place + ":is(.add-item > input, .create-item-input)"
        self.order("type", field, text)
        return field

    def add(self, option, text):
        """An item for a list of the dialog."""
        self.order("press", self.type(option, text), "Enter")

    def hide(self):
        """Another tab in front of this one."""
        self.order("hide")
        self.until_hidden(True)

    def show(self):
        self.order("show")
        self.until_hidden(False)

    def until_hidden(self, hidden):
        wait_for(lambda: self.run("() => document.hidden") == hidden)

    def noise(self):
        """What went wrong in the page's code, and dialogs that it opened."""
        return self.order("noise")


def there():
    """Whether all that the tests need is installed."""
    return Path(CHROMIUM).exists() and LIBRARY.is_dir() and shutil.which("node")
