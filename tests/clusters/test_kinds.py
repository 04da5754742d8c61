"""The kinds of evidence, built in and a policy's own."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from guardrail_mw.algorithms import keys
from guardrail_mw.clusters.kinds import BUILT_IN, Kind, Kinds, default_code
from guardrail_mw.clusters.settings import ClustersSettings
from guardrail_mw.values import Family

BOUND = {"payment", "domain", "organisation", "device", "network"}


def own(**kinds: dict[str, Any]) -> Kinds:
    return ClustersSettings.model_validate({"kinds": kinds}).known()


def test_those_that_are_built_in() -> None:
    """Their codes never change: they are in every key that a store has."""
    assert [(kind.code, kind.name) for kind in BUILT_IN] == [
        (1, "payment"),
        (2, "domain"),
        (3, "organisation"),
        (4, "email_domain"),
        (5, "issuer"),
        (6, "device"),
        (7, "device_seen"),
        (8, "network"),
        (9, "network_wide"),
        (10, "tls"),
        (11, "system"),
        (12, "agent"),
        (13, "shingle"),
        (14, "release"),
        (15, "coactive"),
    ]
    assert {kind.name for kind in BUILT_IN if kind.bound} == BOUND
    assert {kind.family for kind in BUILT_IN} <= set(get_args(Family))


def test_what_one_program_fixes_is_one_family() -> None:
    assert {kind.name for kind in BUILT_IN if kind.family == "client"} == {"device_seen", "tls", "system", "agent"}


@pytest.mark.parametrize(("holders", "bound"), [(1, True), (19, True), (20, False), (2_000, False)])
def test_a_network_is_bound_while_few_hold_it(holders: int, bound: bool) -> None:
    kinds = Kinds()
    assert kinds.is_bound(keys.join(keys.NETWORK, 7), holders) is bound
    assert kinds.is_bound(keys.join(keys.PAYMENT, 7), holders)
    assert not kinds.is_bound(keys.join(keys.SHINGLE, 7), holders)


def test_a_key_of_a_kind_that_nobody_has_named_is_nothing() -> None:
    kinds = Kinds()
    assert kinds.of(keys.join(40, 7)) is None
    assert not kinds.is_bound(keys.join(40, 7), 1)


def test_a_policys_own() -> None:
    kinds = own(badge={"family": "reputation", "bound": True}, desk={"family": "network", "code": 63})
    badge = kinds.by_name["badge"]
    assert badge == Kind(default_code("badge"), "badge", "reputation", bound=True)
    assert kinds.by_name["desk"].code == 63
    assert kinds.of(keys.join(badge.code, 7)) is badge


def test_the_code_of_an_own_kind_hangs_on_its_name_alone() -> None:
    """`printf badge | sha256sum` begins with 88, and 0x88 % 32 is 8."""
    assert default_code("badge") == 40
    kinds = {"desk": {"family": "network"}, "badge": {"family": "payment"}, "shift": {"family": "timing"}}
    assert own(**kinds).by_name["badge"].code == 40
    assert {32 <= default_code(f"kind{number}") <= 63 for number in range(500)} == {True}
