"""Small races for single-use tokens; `python -m tests.races` runs large ones."""

from __future__ import annotations

import pytest

from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.testing.servers import Server

from .. import races  # noqa: TID252 - tests are no package that could be named


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["redis", "valkey", "cluster"])
async def test_four_processes_spend_a_thousand_tokens(kind: str, request: pytest.FixtureRequest) -> None:
    server: Server = request.getfixturevalue(f"guardrail_{kind}")
    server.flush()
    raced = await races.among_processes(kind, server.url, 1000, 4)
    assert raced.spent == dict.fromkeys(range(1000), 1)
    assert raced.once
    assert sum(won > 0 for won in raced.won) > 1, "they ran side by side"


def test_sixteen_threads_spend_a_thousand_tokens() -> None:
    raced = races.among_threads(1000, 16, MemoryStore())
    assert raced.spent == dict.fromkeys(range(1000), 1)
    assert raced.once


class Unlocked(MemoryStore):
    """The same without its lock."""

    async def spend(self, token: str, ttl: int, epoch: str) -> bool:
        return epoch == await self.epoch(token) and self._tokens.spend(token, ttl, self._clock.now())


def test_a_token_that_is_spent_twice_is_found() -> None:
    raced = races.among_threads(1000, 16, Unlocked())
    assert not raced.once
    assert sum(raced.won) > 1000
    assert "twice 0" not in str(raced)


def test_a_token_that_nobody_spent_is_found() -> None:
    raced = races.result("redis", 3, [[0], [2]], 2.0)
    assert not raced.once
    assert str(raced).startswith(
        "redis     2 racers         6 tries     2.0 s         3/s   once 2, twice 0, never 1; won 1 to 1"
    )


def test_everybody_has_the_same_blocks_in_an_order_of_their_own() -> None:
    one, other = (list(races.course(1500, racer)) for racer in range(2))
    assert [len(block) for block in one] == [1000, 500]
    assert one != other
    assert [sorted(block) for block in one] == [sorted(block) for block in other]
    assert sorted(number for block in one for number in block) == list(range(1500))


def test_servers_that_there_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        races.main(["memcached"])
    assert "no such server: memcached. There are redis, valkey, cluster, memory." in capsys.readouterr().err


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert races.main(["memory", "--tokens", "500", "--threads", "3"]) == 0
    assert "once 500, twice 0, never 0" in capsys.readouterr().out
