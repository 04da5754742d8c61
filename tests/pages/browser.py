"""A real Chromium, driven through its DevTools protocol, and the little site that it visits."""

from __future__ import annotations

import base64
import json
import os
import queue
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl
from urllib.request import Request, urlopen

import altcha
import pytest
from websockets.sync.client import ClientConnection, connect

from guardrail_mw.asgi.pages import Widget, challenge_page, resend_page

HMAC = "0123456789abcdef"
PLAIN = "plain.example"
"""A name that leads here, and to which browsers grant no WebCrypto over plain http."""
PATIENCE = 60
"""Seconds until a test is given up."""


def find() -> str | None:
    """The browser's program."""
    return os.environ.get("GUARDRAIL_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def missing(what: str) -> None:
    """Skip a test; where CI runs, fail it."""
    reason = f"needs {what}, not installed here"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def make(cost: int = 50, prefix: str = "00", case: str = "CASE") -> dict[str, Any]:
    """The member `challenge` of a refusal, with the library's own challenge."""
    challenge = altcha.create_challenge(
        algorithm="PBKDF2/SHA-256", cost=cost, key_prefix=prefix, data={"case": case}, hmac_secret=HMAC
    )
    return {"type": "altcha", "url": "/.guardrail/challenge", "case": case, **challenge.to_dict()}


class Post(NamedTuple):
    """What was posted to the site."""

    path: str
    headers: dict[str, str]
    fields: list[tuple[str, str]]
    verified: bool

    @property
    def form(self) -> dict[str, str]:
        """By name."""
        return dict(self.fields)


class Site:
    """`/wanted` and `/form` are given only after a challenge; the library verifies its answers.

    `settings` go to `challenge_page`, but `cost`, `prefix` and `algorithm` are the challenge's.
    `posts` has what was posted, in its order.
    """

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}
        self.posts: queue.Queue[Post] = queue.Queue()
        self.accepts = True
        site = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as inherited
                pass

            def do_GET(self) -> None:
                site.get(self)

            def do_POST(self) -> None:
                site.post(self)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def url(self, path: str, host: str = "localhost") -> str:
        return f"http://{host}:{self.port}{path}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def page(self, back: str, **settings: Any) -> tuple[list[tuple[bytes, bytes]], bytes]:
        every: dict[str, Any] = {
            "decision": "d-7f3a9c2e41",
            "action": "/.guardrail/challenge",
            "nonce": "bm9uY2Ugb2YgYSB0ZXN0",
            "back": back,
        }
        every |= {**self.settings, **settings}
        challenge = make(every.pop("cost", 50), every.pop("prefix", "00"))
        challenge["parameters"] |= {key: every.pop(key) for key in ("algorithm",) if key in every}
        return challenge_page(challenge, **every)

    def get(self, request: BaseHTTPRequestHandler) -> None:
        if request.path == "/wanted" and "cleared=1" not in request.headers.get("cookie", ""):
            self.answer(request, 403, *self.page(request.path))
        elif request.path == "/widget.js":
            self.answer(request, 200, [(b"content-type", b"text/javascript")], WIDGET.encode())
        else:
            body = f"<!doctype html><title>site</title><h1>{request.path}</h1><a href=/wanted>on</a>{FORM}"
            self.answer(request, 200, [(b"content-type", b"text/html; charset=utf-8")], body.encode())

    def post(self, request: BaseHTTPRequestHandler) -> None:
        text = request.rfile.read(int(request.headers["content-length"])).decode()
        fields = parse_qsl(text, keep_blank_values=True)
        headers = {name.lower(): value for name, value in request.headers.items()}
        form = dict(fields)
        verified = altcha.verify_solution(form["answer"], HMAC).verified if "answer" in form else False
        if request.path == "/form" and "cleared=1" not in request.headers.get("cookie", ""):
            self.answer(request, 403, *self.page("/form", method="POST", fields=fields))
            return
        self.posts.put(Post(request.path, headers, fields, verified))
        if request.path == "/form":
            self.answer(request, 200, [(b"content-type", b"text/html")], b"<!doctype html><title>sent</title>")
        elif not verified or not self.accepts:
            self.answer(request, 403, *self.page(form["return"], again="failed"))
        elif "form" in form:
            kept = parse_qsl(form["form"], keep_blank_values=True)
            headers_, body = resend_page(back=form["return"], fields=kept, nonce="bm9uY2Ugb2YgYSB0ZXN0")
            self.answer(request, 200, [*headers_, (b"set-cookie", b"cleared=1; Path=/")], body)
        else:
            self.answer(request, 303, [(b"location", form["return"].encode()), (b"set-cookie", b"cleared=1; Path=/")], b"")

    def answer(self, request: BaseHTTPRequestHandler, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        request.send_response(status)
        for name, value in headers:
            if name != b"content-length":
                request.send_header(name.decode(), value.decode())
        request.send_header("content-length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)


FORM = """<form method=post action=/form><input name=q value="a&amp;b"><textarea name=text>
one
two &quot;ü&quot; </textarea><input name=q value=""><button>go</button></form>"""
WIDGET = """
const box = document.querySelector(".stand-in")
const frame = document.createElement("iframe")
frame.title = "question"
frame.src = document.querySelector("script[src]").src.replace("widget.js", "frame")
frame.onload = () => { box.dataset.loaded = "yes" }
box.append(frame)
fetch("http://127.0.0.1:9/elsewhere").catch(() => { box.dataset.fetched = "no" })
"""
"""A stand-in for a service's script: a frame of its own; and it tries to reach what its service does not name."""


def stand_in(origin: str) -> Widget:
    """A widget of a service that lives at `origin`."""
    return Widget(
        "Stand-in", f"{origin}/widget.js", "stand-in", {"script-src": [origin], "frame-src": [origin]}, {"sitekey": "k"}
    )


class Tab:
    """One page of the browser."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = count(1)
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Network", "Log", "Accessibility"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command."""
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(timeout=PATIENCE))
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            self.events.append(message)

    def wait(self, method: str) -> None:
        """Until something happens that has not happened since `events` was emptied."""
        while not any(event["method"] == method for event in self.events):
            self.events.append(json.loads(self._socket.recv(timeout=PATIENCE)))

    def go(self, url: str) -> None:
        """Visit an address, until it has loaded."""
        self.events = [event for event in self.events if event["method"] != "Page.loadEventFired"]
        self.call("Page.navigate", url=url)
        self.wait("Page.loadEventFired")

    def run(self, expression: str) -> Any:
        """What an expression comes to, promises too."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def until(self, condition: str) -> None:
        """Until it holds, looked at in each frame; a document that is left meanwhile gives way to the next."""
        while True:
            self.call("Runtime.enable")
            expression = (
                f"new Promise(done => {{ const look = () => {{ if ({condition}) done(true);"
                " else setTimeout(look, 10) }; look() })"
            )
            number = next(self._ids)
            params = {"expression": expression, "awaitPromise": True, "returnByValue": True}
            self._socket.send(json.dumps({"id": number, "method": "Runtime.evaluate", "params": params}))
            while True:
                message = json.loads(self._socket.recv(timeout=PATIENCE))
                if message.get("id") == number:
                    break
                self.events.append(message)
            if "error" not in message and "exceptionDetails" not in message["result"]:
                return

    def key(self, name: str, code: int, text: str = "") -> None:
        """Press a key."""
        press = {"key": name, "code": name, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **press)
        self.call("Input.dispatchKeyEvent", type="keyUp", **press)

    def look(
        self, *, dark: bool = False, width: int = 1280, height: int = 800, phone: bool = False, calm: bool = False
    ) -> None:
        """As which device it is seen."""
        scale = 2 if phone else 1
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def picture(self, file: Path) -> None:
        """What is seen."""
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    @property
    def requests(self) -> list[str]:
        """The address of every request so far."""
        return [event["params"]["request"]["url"] for event in self.events if event["method"] == "Network.requestWillBeSent"]

    @property
    def complaints(self) -> list[str]:
        """What the browser had to say against a page, but that a 403 is one."""
        texts = [event["params"]["entry"]["text"] for event in self.events if event["method"] == "Log.entryAdded"]
        thrown = [str(event["params"]) for event in self.events if event["method"] == "Runtime.exceptionThrown"]
        return [text for text in texts if "403" not in text] + thrown


LOOKS = [
    {"dark": dark, "width": width, "height": height, "phone": phone}
    for dark in (False, True)
    for width, height, phone in ((1280, 800, False), (320, 640, True))
]
"""As which devices pages are checked."""


def checked(tab: Tab, axe_core: str) -> None:
    """Every rule of axe-core, best practices too; and nothing is cut off at the side."""
    tab.run(f"{axe_core}; undefined")
    found = json.loads(tab.run("axe.run(document).then(found => JSON.stringify([found.violations, found.passes.length]))"))
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found[0]] == []
    assert found[1] > 10
    assert tab.run("document.documentElement.scrollWidth <= innerWidth") is True


@contextmanager
def chromium(folder: Path, *more: str) -> Iterator[Callable[[], Tab]]:
    """A browser with a profile of its own, and `more` options; calling what it gives opens a tab."""
    program = find()
    if program is None:
        missing("Chromium (`apt-get install chromium`)")
    command = [
        str(program),
        "--headless=new",
        "--no-sandbox",
        "--no-first-run",
        "--disable-gpu",
        "--disable-background-networking",
        "--remote-debugging-port=0",
        f"--user-data-dir={folder}",
        f"--host-resolver-rules=MAP {PLAIN} 127.0.0.1",
        *more,
        "about:blank",
    ]
    with ExitStack() as open_things:
        process = open_things.enter_context(
            subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        )
        open_things.callback(process.terminate)
        assert process.stderr is not None
        address = next(line for line in process.stderr if "DevTools listening" in line)
        port = address.rpartition("/devtools")[0].rpartition(":")[2]
        threading.Thread(target=process.stderr.read, daemon=True).start()  # or it would fill up

        def tab() -> Tab:
            with urlopen(Request(f"http://127.0.0.1:{port}/json/new?about:blank", method="PUT"), timeout=PATIENCE) as answer:
                address = json.load(answer)["webSocketDebuggerUrl"]
            return Tab(open_things.enter_context(connect(address, max_size=None, compression=None)))

        yield tab


def axe(folder: Path) -> str:
    """The text of axe-core, packed by npm; it is not ours, and stays out of the project."""
    npm = shutil.which("npm")
    if npm is None:
        missing("npm, for axe-core")
    done = subprocess.run(
        [str(npm), "pack", "--silent", "axe-core@4"], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        missing(f"axe-core, which npm could not get ({done.stderr.strip()[-200:]})")
    with tarfile.open(folder / done.stdout.strip()) as archive:
        file = archive.extractfile("package/axe.min.js")
        assert file is not None
        return file.read().decode()
