"""What people have in common without knowing: addresses, programs, prompts, domains, cards. Every value comes from here."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from guardrail_mw.simulate.world.addresses import Addresses
from guardrail_mw.simulate.world.arrays import Ints, Rng, mix
from guardrail_mw.simulate.world.programs import POPULAR, Programs
from guardrail_mw.simulate.world.texts import LANGUAGES, Texts

__all__ = ["FREE_MAIL", "ISSUERS", "Town"]

FREE_MAIL: Final = tuple(
    f"{name}.example" for name in ("postbox", "quickmail", "mailhub", "letterbox", "freepost", "inboxly")
)
"""Domains at which anyone has an address: no evidence. Their shares fall as 1/rank."""
ISSUERS: Final = ("https://id.service.example/", "https://sso.one.example/", "https://sso.two.example/")
"""Who vouches for accounts: the service itself, and two that offices use."""
_KINDS: Final = {"payment": 3, "device": 5, "organisation": 7, "account": 11, "domain": 13}


class Town:
    """Registries of values. Numbers are handed out once; names are made from them so that they show no order."""

    def __init__(self, seed: int, rng: Rng) -> None:
        self.seed = seed
        self.addresses = Addresses(seed)
        self.programs = Programs()
        self.texts = Texts(seed)
        self.cards = self.devices = self.organisations = 0
        self.domains = len(FREE_MAIL)
        self.free = {language: self.texts.free(language) for language in LANGUAGES}
        """The family of free text, by language."""
        self.viral = self.texts.family("en", variants=1, fixed=45, slots=1, words=8)
        """A prompt that everybody passes on."""
        self.mobile = self.addresses.add("cgnat", np.full(40, 8), rng)
        """Blocks of mobile networks, which people roam in."""
        self.vendors: dict[str, tuple[int, int]] = {}
        """By name: the first address of a proxy vendor's pool, and how many it has."""
        self.banks: dict[str, int] = {}
        """By name: the family of a public collection of prompts."""
        self.programs.found(POPULAR, self.texts.system("en", 220), rng, versions=6)
        self.programs.found("codehand", self.texts.system("en", 900), rng, versions=8)
        # Its next prompt has the next number: what it turns to when a model is released.
        self.programs.found("launchpad", self.texts.systems(np.zeros(2, np.int64), np.array([150, 165])), rng, versions=4)

    def name(self, kind: str, number: int) -> str:
        """The text of a card's, a device's, an organisation's or an account's number; of a domain's its name."""
        if kind == "domain":
            return FREE_MAIL[number] if number < len(FREE_MAIL) else f"d{int(mix(number, self.seed + 13)) >> 28:09x}.example"
        return f"{kind[:3]}-{int(mix(number, self.seed + _KINDS[kind])):016x}"

    def take(self, kind: str, n: int) -> int:
        """The first of `n` new numbers of cards, devices, domains or organisations."""
        first: int = getattr(self, kind)
        setattr(self, kind, first + n)
        return first

    def vendor(self, name: str, size: int, rng: Rng) -> tuple[int, int]:
        """A proxy vendor's pool, made when it is first asked for."""
        if name not in self.vendors:
            first = self.addresses.add("proxy", np.ones(size, np.int64), rng)
            self.vendors[name] = (int(first[0]), size)
        return self.vendors[name]

    def bank(self, name: str, variants: int) -> int:
        """A collection of prompts that many know, made when it is first asked for."""
        if name == "viral":
            return self.viral
        if name not in self.banks:
            self.banks[name] = self.texts.family("en", variants=variants, fixed=70, slots=0, words=0)
        return self.banks[name]

    def roaming(self, rng: Rng, n: int) -> Ints:
        """The mobile networks' addresses that people roam to, one each."""
        return (self.mobile[rng.integers(0, len(self.mobile), n)] + rng.integers(0, 8, n)).astype(np.int32)

    def free_mail(self, rng: Rng, n: int) -> NDArray[np.int32]:
        """Free-mail domains of `n` accounts."""
        odds = 1 / np.arange(1, len(FREE_MAIL) + 1)
        return rng.choice(len(FREE_MAIL), n, p=odds / odds.sum()).astype(np.int32)
