"""`python -m tests.pages.look FOLDER`: pictures of every page into it, and how long solving takes, printed."""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from .browser import PLAIN, Site, Tab, chromium

DEVICES = {"desktop": (1280, 860, False), "phone": (390, 844, True)}
LONG = {"cost": 2000, "prefix": "0000"}
RUNS = 10


def pictures(tab: Tab, site: Site, folder: Path) -> None:
    """Each page in each look."""
    for device, (width, height, phone) in DEVICES.items():
        for dark in (False, True):
            tab.look(dark=dark, width=width, height=height, phone=phone)
            name = f"{device}-{'dark' if dark else 'light'}"
            for state, settings in STATES.items():
                site.settings = {**LONG, **settings}
                tab.call("Network.clearBrowserCookies")
                tab.go(site.url("/wanted"))
                if state == "working":
                    tab.until("performance.now() > 4000")
                tab.picture(folder / f"{state}-{name}.png")
            site.settings = {"cost": 1}
            tab.go(site.url("/before"))
            tab.run("document.forms[0].submit()")
            tab.until("document.querySelector('form[action=\"/form\"] button') && !document.links.length")
            tab.picture(folder / f"resend-{name}.png")


STATES: dict[str, dict[str, object]] = {
    "working": {},
    "again": {"again": "cookies"},
    "german": {"languages": "de", "method": "POST", "fields": [("a", "b")]},
}


def measure(tab: Tab, site: Site, host: str) -> list[float]:
    """Seconds from the page's load to the answer."""
    took = []
    for _ in range(RUNS):
        tab.call("Network.clearBrowserCookies")
        site.settings = {"cost": 2000, "prefix": "00"}
        tab.events.clear()
        tab.go(site.url("/wanted", host))
        assert site.posts.get(timeout=60).verified
        tab.until("document.links.length")
        sent = [event["params"] for event in tab.events if event["method"] == "Network.requestWillBeSent"]
        first, posted = (next(each for each in sent if each["request"]["method"] == method) for method in ("GET", "POST"))
        took.append(posted["timestamp"] - first["timestamp"])
    return took


def main(folder: Path) -> None:
    """Pictures, and figures."""
    folder.mkdir(parents=True, exist_ok=True)
    site = Site()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, chromium(Path(profile)) as tabs:
        pictures(tabs(), site, folder)
        for name, host in {"WebCrypto": "localhost", "fallback": PLAIN}.items():
            took = sorted(measure(tabs(), site, host))
            print(f"{name}: median {statistics.median(took):.2f} s, {took[0]:.2f} to {took[-1]:.2f}")  # noqa: T201 - its purpose
    site.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
