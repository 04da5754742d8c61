"""`python -m tests.pages.look FOLDER`: pictures of every page into it, and how long solving takes, printed."""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from .browser import PLAIN, Site, Tab, chromium, stand_in
from .states import PAGES, VerifyingSite

DEVICES = {"desktop": (1280, 860, False), "phone": (390, 844, True)}
LONG = {"cost": 2000, "prefix": "0000"}
RUNS = 10


def pictures(tab: Tab, site: Site, folder: Path) -> None:
    """Each page in each look."""
    for device, (width, height, phone) in DEVICES.items():
        for dark in (False, True):
            tab.look(dark=dark, width=width, height=height, phone=phone)
            name = f"{device}-{'dark' if dark else 'light'}"
            for state, settings in states(site).items():
                site.settings = {**LONG, **settings}
                shown = False
                while not shown:  # who is lucky has solved it before it is looked at
                    tab.call("Network.clearBrowserCookies")
                    tab.go(site.url("/wanted"))
                    tab.until("performance.now() > 4000")
                    shown = tab.run("Boolean(document.getElementById('work'))")
                tab.picture(folder / f"{state}-{name}.png")
            site.settings = {"cost": 1}
            tab.go(site.url("/before"))
            tab.run("document.forms[0].submit()")
            tab.until("document.querySelector('form[action=\"/form\"] button') && !document.links.length")
            tab.picture(folder / f"resend-{name}.png")


def verifying(tab: Tab, site: VerifyingSite, folder: Path) -> None:
    """Each page of verification and appeals in each look, from its top to its end."""
    for device, (width, _, phone) in DEVICES.items():
        for dark in (False, True):
            for name in PAGES:
                tab.look(dark=dark, width=width, height=400, phone=phone)
                tab.go(site.url(f"/{name}"))
                tab.look(dark=dark, width=width, height=tab.run("document.documentElement.scrollHeight + 40"), phone=phone)
                tab.picture(folder / f"{name}-{device}-{'dark' if dark else 'light'}.png")


def states(site: Site) -> dict[str, dict[str, object]]:
    """What is looked at, by name: what the page is made of."""
    return {
        "working": {},
        "again": {"again": "cookies"},
        "german": {"languages": "de", "method": "POST", "fields": [("a", "b")]},
        "service": {"service": stand_in(site.url("", "127.0.0.1"))},
    }


def measure(tab: Tab, site: Site, host: str, slower: int) -> list[float]:
    """Seconds from asking for the page to posting the answer, where scripts run as many times slower."""
    tab.call("Emulation.setCPUThrottlingRate", rate=slower)
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
    site, other = Site(), VerifyingSite()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, chromium(Path(profile)) as tabs:
        verifying(tabs(), other, folder)
        pictures(tabs(), site, folder)
        for name, host in {"WebCrypto": "localhost", "without": PLAIN}.items():
            for slower in (1, 6):
                took = sorted(measure(tabs(), site, host, slower))
                figures = f"median {statistics.median(took):.2f} s, {took[0]:.2f} to {took[-1]:.2f}"
                print(f"{name}, {slower} times slower: {figures}")  # noqa: T201 - its purpose
    site.close()
    other.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
