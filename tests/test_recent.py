"""The bounded cache."""

from __future__ import annotations

from guardrail_mw.recent import Recent


def test_what_is_used_outlives_what_is_not() -> None:
    cache: Recent[int, str] = Recent(3)
    for number in range(3):
        cache.put(number, str(number))
    cache.put(3, "3")  # a new generation begins; 0, 1 and 2 are old
    assert cache.get(0) == "0"  # moves up
    cache.put(4, "4")  # the new generation is full: 3, 0, 4
    cache.put(5, "5")  # the third begins; 1 and 2 are gone
    assert [cache.get(number) for number in range(6)] == ["0", None, None, "3", "4", "5"]


def test_never_more_than_two_generations() -> None:
    cache: Recent[int, int] = Recent(10)
    for number in range(1000):
        cache.put(number, number)
        cache.get(number - 15)
        assert len(cache) <= 20


def test_weight_bounds_a_generation_and_the_heaviest_is_not_kept() -> None:
    cache: Recent[bytes, int] = Recent(100, weigh=len, most=10, heaviest=6)
    cache.put(b"7654321", 1)
    assert cache.get(b"7654321") is None
    for key in (b"aaaaaa", b"bbbb", b"cccc"):  # 6 + 4 fill the first generation
        cache.put(key, 1)
    assert len(cache) == 3
    cache.put(b"ddddddd"[:6], 1)  # 4 + 6 fill the second
    cache.put(b"e", 1)  # the third begins and the first is gone
    assert cache.get(b"aaaaaa") is None
    assert cache.get(b"cccc") == 1


def test_what_moves_up_weighs_too() -> None:
    cache: Recent[bytes, int] = Recent(100, weigh=len, most=8, heaviest=4)
    keys = [bytes([97 + number]) * 4 for number in range(20)]
    for key in keys:
        cache.put(key, 1)
        for other in keys:
            cache.get(other)
        assert len(cache) <= 4


def test_pop_and_clear() -> None:
    cache: Recent[str, int] = Recent(1)
    cache.put("a", 1)
    cache.put("b", 2)
    cache.pop("a")
    assert (cache.get("a"), cache.get("b")) == (None, 2)
    cache.clear()
    assert cache.get("b") is None
