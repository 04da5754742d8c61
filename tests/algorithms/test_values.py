"""Values that are held once, records of the others; figures by hand."""

from __future__ import annotations

from guardrail_mw.algorithms import edges, values

ONE, TWO = edges.short("a:11111111"), edges.short("a:22222222")


def test_what_begins_in_between_is_not_found() -> None:
    bucket = bytearray(b"abcdefABCDEF" + b"fABCDEghijkl" + b"ABCDEF000000")
    assert [values.find(bucket, rest) for rest in (b"abcdef", b"fABCDE", b"ABCDEF", b"ghijkl", b"000000")] == [
        0,
        12,
        24,
        -1,
        -1,
    ]
    assert values.find(b"", b"abcdef") == -1


def test_cutting_out() -> None:
    bucket = bytearray(b"abcdefABCDEF" + b"ghijklGHIJKL")
    assert values.cut(bucket, 0) == b"ABCDEF"
    assert bucket == b"ghijklGHIJKL"
    assert values.cut(bucket, 0) == b"GHIJKL"
    assert bucket == b""


def test_a_holder_alone() -> None:
    assert values.read(ONE) == (1, "11111111", 0, ())


def test_a_record() -> None:
    record = values.bare(ONE, 2)
    assert record == ONE + b"\0\0\0\2"
    assert values.read(record) == (2, "11111111", 0, ())
    record = values.hold(record + values.said(7, [("0123456789ab", 9000), ("ba9876543210", -2)]))
    assert record[values.BARE :] == bytes.fromhex("00000007 0123456789ab 00002328 ba9876543210 fffffffe")
    assert values.read(record) == (3, "11111111", 7, (("0123456789ab", 9000), ("ba9876543210", -2)))


def test_holders_leave() -> None:
    record = values.bare(ONE, 3) + values.said(1, [])
    record = values.drop(record, TWO)
    assert values.read(record) == (2, "11111111", 1, ())
    record = values.drop(record, ONE)
    assert values.read(record) == (1, "", 1, ())
    assert values.drop(record, TWO) == b""


def test_nothing_said_takes_nothing() -> None:
    assert values.said(0, []) == b""
    assert values.said(3, []) == b"\0\0\0\3"


def test_figures_that_are_too_large_are_the_largest() -> None:
    clusters = [(f"{number:012x}", weight) for number, weight in enumerate((2**40, -(2**40), 0, 5))]
    record = values.bare(ONE, 2**32 - 1) + values.said(2**40, clusters)
    assert values.read(values.hold(record)) == (
        2**32 - 1,
        "11111111",
        2**32 - 1,
        (("0" * 12, 2**31 - 1), ("0" * 11 + "1", -(2**31)), ("0" * 11 + "2", 0)),
    )
