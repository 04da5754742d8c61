"""Reloading: what is noticed, what is refused, what stays."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import pytest

from guardrail_mw.errors import PolicyError
from guardrail_mw.policy import Policy, load, reload
from guardrail_mw.policy.reload import Watcher


class Told:
    """What a watcher said."""

    def __init__(self) -> None:
        self.policies: list[Policy] = []
        self.errors: list[PolicyError] = []
        self.event = asyncio.Event()

    def policy(self, policy: Policy) -> None:
        self.policies.append(policy)
        self.event.set()

    def error(self, error: PolicyError) -> None:
        self.errors.append(error)
        self.event.set()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "p.yaml"
    path.write_text("version: 1\nmode: shadow\n")
    return path


def watcher(file: Path, told: Told, interval: float = 3600.0) -> Watcher:
    return Watcher(file, told.policy, told.error, running=load(file), interval=interval)


def test_an_unchanged_file_is_not_handed_on(file: Path, told: Told) -> None:
    watching = watcher(file, told)
    assert [watching.check_now(), watching.check_now(), watching.check_now(force=True)] == [False, False, False]
    assert (told.policies, told.errors) == ([], [])


def test_a_changed_file_is(file: Path, told: Told) -> None:
    watching = watcher(file, told)
    watching.check_now()
    file.write_text("version: 1\nmode: enforce\n")
    assert watching.check_now()
    assert [policy.mode for policy in told.policies] == ["enforce"]
    assert watching.running is told.policies[0]
    assert not watching.check_now()


def test_same_size_and_time_do_not_hide_a_change(file: Path, told: Told) -> None:
    file.write_text("version: 1\nstore: {processes: 3}\n")
    watching = watcher(file, told)
    watching.check_now()
    before = file.stat()
    file.write_text("version: 1\nstore: {processes: 4}\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert watching.check_now()


def test_a_bad_file_is_refused_once_and_the_running_one_stays(file: Path, told: Told) -> None:
    watching = watcher(file, told)
    running = watching.running
    file.write_text("version: 1\nmode: on\nstor: {}\n")
    assert [watching.check_now(), watching.check_now()] == [False, False]
    assert [[problem.line for problem in error.problems] for error in told.errors] == [[2, 3]]
    assert watching.running is running
    file.write_text("version: 1\nmode: off\n")
    assert watching.check_now()


def test_a_file_that_goes_and_comes_back(file: Path, told: Told) -> None:
    watching = watcher(file, told)
    file.unlink()
    assert [watching.check_now(), watching.check_now()] == [False, False]
    assert len(told.errors) == 1
    file.write_text("version: 1\nmode: off\n")
    assert watching.check_now()


def test_what_is_extended_is_watched_too(file: Path, told: Told) -> None:
    base = file.parent / "base.yaml"
    base.write_text("version: 1\nheaders: [ietf]\n")
    file.write_text("version: 1\nextends: base.yaml\n")
    watching = watcher(file, told)
    watching.check_now()
    base.write_text("version: 1\nheaders: [dialect]\n")
    assert watching.check_now()
    assert told.policies[0].headers == ["dialect"]
    base.unlink()
    assert not watching.check_now()
    base.write_text("version: 1\nheaders: []\n")
    assert watching.check_now(), "a base that was missing is looked for"


def test_a_config_map_is_swapped_by_its_links(tmp_path: Path, told: Told) -> None:
    """Kubernetes: policy.yaml -> ..data/policy.yaml, ..data -> ..1; then ..data is renamed over."""
    for number, mode in enumerate(["shadow", "enforce"], 1):
        (tmp_path / f"..{number}").mkdir()
        (tmp_path / f"..{number}" / "policy.yaml").write_text(f"version: 1\nmode: {mode}\n")
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "policy.yaml").symlink_to("..data/policy.yaml")
    watching = watcher(tmp_path / "policy.yaml", told)
    assert not watching.check_now()
    (tmp_path / "..next").symlink_to("..2")
    (tmp_path / "..next").rename(tmp_path / "..data")
    assert watching.check_now()
    assert told.policies[0].mode == "enforce"


def test_a_policy_that_ships_changes_with_the_environment(told: Told) -> None:
    environ = {"GUARDRAIL_STORE": "memory://"}
    running = load("guardrail:watch", environ=environ)
    watching = Watcher("guardrail:watch", told.policy, told.error, running=running, environ=environ)
    assert not watching.check_now()
    environ["GUARDRAIL_STORE"] = "redis://h"
    assert watching.check_now(force=True)


@contextmanager
def running(watching: Watcher) -> Iterator[asyncio.Task[None]]:
    task = asyncio.get_running_loop().create_task(watching.run())
    yield task
    task.cancel()


@contextmanager
def hangups(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> Iterator[None]:
    before = signal.signal(signal.SIGHUP, handler)
    yield
    signal.signal(signal.SIGHUP, before)


def write(file: Path, mode: str) -> None:
    file.write_text(f"version: 1\nmode: {mode}\n")


async def told_of(told: Told) -> None:
    await asyncio.wait_for(told.event.wait(), 30)
    told.event.clear()


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.mark.anyio
@pytest.mark.parametrize("notified", [True, False])
async def test_sighup_reads_anew_and_chains(file: Path, monkeypatch: pytest.MonkeyPatch, notified: bool) -> None:
    monkeypatch.setattr(reload, "_NOTIFIED", notified)
    told, heard, passed_on = Told(), list[int](), asyncio.Event()

    def handler(number: int, _: object) -> None:
        heard.append(number)
        passed_on.set()

    with hangups(handler):
        before = signal.getsignal(signal.SIGHUP)
        watching = Watcher(file, told.policy, told.error)
        with running(watching) as task:
            await told_of(told)
            write(file, "off")
            os.kill(os.getpid(), signal.SIGHUP)
            await told_of(told)
            await asyncio.wait_for(passed_on.wait(), 30)
            await ended(task)
        assert [policy.mode for policy in told.policies] == ["shadow", "off"]
        assert heard == [signal.SIGHUP]
        assert signal.getsignal(signal.SIGHUP) is before, "whoever had the signal has it again"


@pytest.mark.anyio
async def test_two_watchers_share_the_signal(file: Path) -> None:
    first, second = Told(), Told()
    with hangups(signal.SIG_DFL):
        with (
            running(Watcher(file, first.policy, first.error)) as one,
            running(Watcher(file, second.policy, second.error)) as other,
        ):
            await told_of(first)
            await told_of(second)
            write(file, "off")
            os.kill(os.getpid(), signal.SIGHUP)
            await told_of(first)
            await told_of(second)
            await ended(one)
            write(file, "enforce")
            os.kill(os.getpid(), signal.SIGHUP)
            await told_of(second)
            await ended(other)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    assert [policy.mode for policy in second.policies] == ["shadow", "off", "enforce"]
    assert len(first.policies) == 2


@pytest.mark.anyio
@pytest.mark.parametrize("notified", [True, False])
async def test_a_written_file_is_noticed(file: Path, monkeypatch: pytest.MonkeyPatch, notified: bool) -> None:
    monkeypatch.setattr(reload, "_NOTIFIED", notified)
    told = Told()
    with running(Watcher(file, told.policy, told.error, interval=0.05)) as task:
        await told_of(told)
        write(file, "on")
        await told_of(told)
        write(file, "off")
        await told_of(told)
        await ended(task)
    assert ([policy.mode for policy in told.policies], len(told.errors)) == (["shadow", "off"], 1)


def test_outside_the_main_thread_there_is_no_signal(file: Path) -> None:
    found: list[str] = []

    async def look() -> None:
        told = Told()
        with running(Watcher(file, told.policy, told.error)) as task:
            await told_of(told)
            await ended(task)
        found.append(told.policies[0].mode)

    thread = threading.Thread(target=lambda: asyncio.run(look()))
    thread.start()
    thread.join()
    assert found == ["shadow"]
