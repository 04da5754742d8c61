"""When a scorer that keeps being slow is left alone, and when it is asked again."""

from __future__ import annotations

from guardrail_mw.risk.fuse import Fuse

SECOND = 1_000_000


def blown(at: int = 0) -> Fuse:
    fuse = Fuse()
    assert [fuse.slow(at - 250_000) for _ in range(4)] == [False] * 4
    assert fuse.slow(at)
    return fuse


def test_five_in_a_row_blow_it() -> None:
    fuse = Fuse()
    for start in (0, SECOND, 2 * SECOND):
        assert not any([fuse.slow(start + each * SECOND) for each in range(4)])
        fuse.quick()
    assert not fuse.until
    assert blown(7).until == 30 * SECOND + 7


def test_one_pause_does_not_however_many_wait() -> None:
    fuse = Fuse()
    assert not any([fuse.slow(each) for each in range(1000)])
    assert not fuse.slow(249_999)
    assert fuse.slow(250_000)


def test_after_half_a_minute_one_asks() -> None:
    fuse = blown()
    assert not fuse.probe(30 * SECOND - 1)
    assert fuse.probe(30 * SECOND)
    assert not fuse.probe(30 * SECOND)
    assert not fuse.probe(60 * SECOND - 1)
    assert fuse.probe(60 * SECOND), "the one that asked never came back"


def test_its_answer_decides() -> None:
    fuse = blown()
    assert fuse.probe(30 * SECOND)
    assert fuse.slow(31 * SECOND), "one slow answer is enough"
    assert not fuse.probe(61 * SECOND - 1)
    assert fuse.probe(61 * SECOND)
    fuse.quick()
    assert not fuse.until
    assert not fuse.slow(62 * SECOND), "and then it takes five again"
