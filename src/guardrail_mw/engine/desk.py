"""`Operator`: what whoever runs a guarded server may see and do. The command line and the operator's port both speak to it.

What changes something needs a reason. It is kept in the account's standing, the last 20 as `did.<µs>`, and logged by
`guardrail_mw.operators`. What is answered is what JSON can hold; times are the store's µs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from inspect import signature
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from guardrail_mw.clusters.binding import APART
from guardrail_mw.engine import naming
from guardrail_mw.engine.accounts import MisuseError, decode, home_of, line_of, moment, named, slug_of
from guardrail_mw.engine.casework import Casework
from guardrail_mw.engine.noting import log, note
from guardrail_mw.errors import StoreError
from guardrail_mw.limits.cluster_budget import NAME, cluster_budget
from guardrail_mw.quantities import Duration
from guardrail_mw.stores.base import Change, Desk, Switches

if TYPE_CHECKING:
    from guardrail_mw.engine.guardrail import Guardrail
    from guardrail_mw.engine.peeking import Peeked
    from guardrail_mw.limits.limit import Limit

__all__ = ["ACTS", "MisuseError", "Operator"]

logger = logging.getLogger("guardrail_mw.operators")

ACTS: Final = ("reset", "refill", "tier", "label", "unlabel", "override", "erase")
"""What changes an account: methods of `Operator`, and words of `Operator.act`."""
Until: TypeAlias = Duration | str | None
"""For how long: `7d`, from now by the store's clock. None is for good."""

_MODES: Final = ("shadow", "enforce", "off")
_SPARED: Final = ("override", "override.why", "cluster", "verdict", "budget", "counters")
"""Fields of a standing that erasing leaves where they hold something against the account: it is no amnesty."""


class Operator:
    """What an operator may do.

    Every method raises `MisuseError` for what it is given and cannot use (its text may be shown; nothing was changed), and
    `StoreError` where the store fails or has no such feature.

    Args:
        guardrail: whose accounts, policy and store these are.
    """

    def __init__(self, guardrail: Guardrail) -> None:
        self._guardrail = guardrail
        self.casework = Casework(guardrail)
        """Cases of verification, and appeals."""

    # Seeing

    async def show(self, account: str) -> dict[str, Any]:
        """All that is remembered of an account, in words and figures, and its latest decisions in this process.

        `account`, `now`, `known`, `proved`, `since`, `verified`, `verdict`, `cluster`, `tier` (an operator's,
        not what its credential says; empty for none), `tier_until`, `tier_why`, `acr`, `ial`, `verifications` (`[{case, provider,
        state, at, until, counts}]`, the newest first; `counts` says whether the policy names their provider and level now);
        `risk` (what is remembered, 0 to 100), `rung` (`{name, since, met}` or null), `rungs` (`[{name, do, at, shadow}]`, the
        thresholds of this account), `override` (`{what, until, why}` or null), `labels` (`[{label, until, why}]`), `done`
        (`[{at, verb, what, why}]`, the newest first), `decisions` (events, the newest first). `until` is null for good.
        """
        peeked = await self._peek(account)
        ladder = self._guardrail.engine.judge.ladder
        thresholds = ladder.thresholds(account)
        rungs = [
            {"name": rung.name, "do": rung.do, "at": round(at, 2), "shadow": rung.shadow}
            for rung, at in zip(ladder.rungs, thresholds, strict=True)
        ]
        said = named(decode(peeked.standing.fields, peeked.now, self._guardrail.engine.terms), ladder.rungs)
        recent = self.latest(account)
        head = {"account": account, "now": peeked.now, "known": bool(peeked.standing.seen or peeked.standing.version)}
        return {**head, **said, "risk": round(peeked.risk, 2), "rungs": rungs, "decisions": recent}

    async def limits(self, account: str, route: str = "") -> list[dict[str, Any]]:
        """The limits that would hold for an account's next request on a route: the policy's main one, or that of a path or name.

        Each is `{name, unit, kind, amount, per, model, remaining, reset_ms, wait_ms, ok, shadow, whose}`: `amount` as the policy
        writes it, `remaining` in the limit's unit (micro-dollars for usd), `model` null where it does not matter. Where it is
        counted for something that is not known here (the account's network), `remaining` is null.
        """
        peeked = await self._peek(account, route)
        return [held.told() for held in peeked.limits]

    async def export(self, account: str) -> dict[str, Any]:
        """All that the store keeps of an account; with `cases` and `appeals` where it has some."""
        home = home_of(account)
        return {**await self._desk().export(home), **await self.casework.export(home)}

    async def identify(self, credential: str, source: str | None = None) -> dict[str, Any]:
        """The account of a credential: a key, a token, a proxy's name for the account. `{"account", "source"}`.

        `source` is whose it must be; whichever recognises it unless given. The credential is kept nowhere.
        """
        for argument, text in (("credential", credential), ("source", source)):
            if not isinstance(text, str) and not (argument == "source" and text is None):
                raise MisuseError(argument, "is not text.")
        return (await naming.name(self._guardrail, credential, source))._asdict()

    def find(self, decision: str) -> dict[str, Any] | None:
        """The event of a decision, if it is among this process's latest."""
        return self._guardrail.recorder.find(decision)

    def latest(self, account: str, n: int = 20) -> list[dict[str, Any]]:
        """The latest `n` events of an account in this process, the newest first."""
        return self._guardrail.recorder.of(account, n)

    async def modes(self) -> dict[str, Any]:
        """`mode` (what runs here), `policy` (what the policy says), `switches` (`{rule: mode}`, "" is everything), `rules`."""
        guardrail = self._guardrail
        switches = await self._switches().read_switches()
        return {
            "mode": guardrail.engine.mode,
            "policy": guardrail.policy.mode,
            "switches": switches,
            "rules": list(self.rules()),
        }

    def rules(self) -> tuple[str, ...]:
        """Names that can be switched: limits, scorers and rungs of the policy."""
        engine = self._guardrail.engine
        limits = [limit.name for limit in engine.planner.limits]
        return tuple(dict.fromkeys([*limits, *engine.judge.panel.names, *engine.policy.friction.names()]))

    def tiers(self) -> tuple[str, ...]:
        """Tiers that rules of the policy ask for, in its order."""
        policy = self._guardrail.policy
        whens = [*(limit.when for limit in policy.limits), *(rule.when for rule in policy.velocity)]
        asked = [*whens, *(when for _, when in policy.friction.whens())]
        return tuple(dict.fromkeys(tier for when in asked if when is not None for tier in when.tier or ()))

    # Doing

    async def act(self, verb: str, account: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Do one of `ACTS` with arguments by name, as JSON brings them."""
        if verb not in ACTS:
            raise MisuseError("verb", f"{verb!r} is nothing that can be done to an account. {_near(verb, ACTS)}")
        method: Callable[..., Any] = getattr(self, verb)
        known = [name for name in signature(method).parameters if name != "account"]
        for name, value in given.items():
            if name not in known:
                raise MisuseError(name, f"is not known here. {_near(name, known)}")
            if value is not None and not isinstance(value, str):
                raise MisuseError(name, "is not text.")
        required = [name for name, each in signature(method).parameters.items() if each.default is each.empty]
        for name in required[1:]:
            if given.get(name) is None:
                raise MisuseError(name, "is missing.")
        done: dict[str, Any] = await method(account, **given)
        return done

    async def reset(self, account: str, reason: str, limit: str | None = None) -> dict[str, Any]:
        """Make an account's counters as new, and what is remembered of its risk; with `limit` that limit's alone.

        `{"fields": n}`, how many counters there were.
        """
        if limit is not None:
            return await self.refill(account, limit, reason)
        reason = line_of("reason", reason)
        peeked = await self._peek(account)
        fields = await self._desk().reset(account)
        forgotten = [Change("unset", field) for field in ("heat", "rung", "met") if field in peeked.standing.fields]
        await self._note(peeked, "reset", "everything", reason, forgotten)
        return {"fields": fields}

    async def refill(self, account: str, limit: str, reason: str) -> dict[str, Any]:
        """Make one limit as new for an account, for all models and routes. `{"fields": n}`, how many counters there were."""
        reason = line_of("reason", reason)
        rule = self._limit(limit)
        peeked = await self._peek(account)
        home = self._whose(rule, peeked)
        kept = await self._desk().export(home)
        names = {*kept["counters"], *kept["leases"], *kept["distinct"]}
        fields = sorted({field for name in names if (field := _field(name)).partition(".")[0] == rule.code})
        count = await self._desk().reset(home, fields) if fields else 0
        await self._note(peeked, "refill", limit, reason)
        return {"fields": count}

    async def tier(self, account: str, tier: str, reason: str, until: Until = None) -> dict[str, Any]:
        """Give an account a tier, whatever its credential says, for a time; `none` takes it back. `{"tier", "until"}`.

        Limits and lanes of the policy with `when: {tier: …}` then hold for it in every process, from its next request on.
        """
        reason, tier = line_of("reason", reason), line_of("tier", tier)
        tiers = self.tiers()
        if tier != "none" and tier not in tiers:
            has = f"Its tiers are {', '.join(tiers)}." if tiers else "It names none: write a limit with `when: {tier: …}`."
            raise MisuseError("tier", f"{tier!r} is no tier that the policy's rules ask for. {has}")
        if tier != "none" and until is None:
            raise MisuseError("until", "is missing. A tier is given for a time, such as 7d.")
        peeked = await self._peek(account, only="a")
        if not (peeked.standing.seen or peeked.standing.version):
            raise MisuseError("account", "is not known: nobody has called with it, or it was long ago. Is the digest right?")
        end = 0 if tier == "none" else moment(until, peeked.now)
        changes = [Change("set", "tier", f"{tier} {end}"), Change("set", "tier.why", reason)]
        if tier == "none":
            changes = [Change("unset", "tier"), Change("unset", "tier.why")]
        await self._note(peeked, "tier", tier, reason, changes)
        return {"tier": tier, "until": end or None}

    async def label(self, account: str, slug: str, reason: str, until: Until = None) -> dict[str, Any]:
        """Put a label on an account, which scorers and people can read. `{"label", "until"}`."""
        reason, slug = line_of("reason", reason), slug_of(slug)
        peeked = await self._peek(account, only="a")
        end = moment(until, peeked.now)
        await self._note(peeked, "label", slug, reason, [Change("set", f"label.{slug}", f"{end} {reason}")])
        return {"label": slug, "until": end or None}

    async def unlabel(self, account: str, slug: str, reason: str) -> dict[str, Any]:
        """Take a label away. `{"label", "there"}`, whether it was there."""
        reason, slug = line_of("reason", reason), slug_of(slug)
        peeked = await self._peek(account, only="a")
        await self._note(peeked, "unlabel", slug, reason, [Change("unset", f"label.{slug}")])
        return {"label": slug, "there": f"label.{slug}" in peeked.standing.fields}

    async def override(self, account: str, what: str, reason: str, until: Until = None) -> dict[str, Any]:
        """Decide for an account, whatever its risk: `allow`, `deny`, a rung's name, or `none` to take that back.

        `{"override", "until"}`. Limits hold all the same.
        """
        reason = line_of("reason", reason)
        rungs = self._guardrail.policy.friction.names()
        if what not in {"allow", "deny", "none", *rungs}:  # nobody's word is guessed to be the opposite of another
            has = f"The policy's rungs are {', '.join(rungs)}." if rungs else "The policy has no rungs."
            raise MisuseError("what", f"{line_of('what', what)!r} is neither allow, deny, none nor a rung. {has}")
        peeked = await self._peek(account, only="a")
        end = moment(until, peeked.now)
        changes = [Change("set", "override", f"{what} {end}"), Change("set", "override.why", reason)]
        if what == "none":
            end = 0
            changes = [Change("unset", "override"), Change("unset", "override.why")]
        await self._note(peeked, "override", what, reason, changes)
        return {"override": what, "until": end or None}

    async def erase(self, account: str, reason: str) -> dict[str, Any]:
        """Forget an account, with its cases and what it wrote in appeals, but not what was decided against it.

        `{"erased", "kept", "left"}`: whether there was something; the fields of its standing that were left, which go too once
        the override is `none` and the verdict is taken back; and what providers of verification did not forget when they were
        asked, `[{provider, verification, why}]`. The reason is kept in the log alone.
        """
        reason = line_of("reason", reason)
        desk = self._desk()
        peeked = await self._peek(account, only="a")
        spared = _against(peeked.standing.fields)
        forgotten = await self.casework.forget(account)
        erased = await desk.erase(account)
        if spared:
            await self._guardrail.store.remember(account, [Change("set", *item) for item in spared.items()])
        log(account, "erase", "", reason)
        return {"erased": erased or forgotten.some, "kept": list(spared), "left": list(forgotten.left)}

    async def switch(self, rule: str, mode: str | None, reason: str = "") -> dict[str, Any]:
        """Switch everything (rule "") to shadow, enforce or off, or one rule to shadow, in every process; None takes it back.

        Other processes obey within a second. `off` needs a reason. Answers as `modes`, and with `then`: what follows from it that
        is not meant by everybody, a line each.
        """
        rule = "" if rule == "" else line_of("rule", rule)  # null is nobody's word for everything
        reason = line_of("reason", reason) if reason else ""
        rules = self.rules()
        switches = self._switches()
        if mode is not None and mode not in _MODES:
            raise MisuseError("mode", f"{line_of('mode', mode)!r} is not a mode. {_near(mode, _MODES)}")
        if rule and mode in {"enforce", "off"}:
            raise MisuseError("mode", "of a rule can only be shadow. Clear its switch, and it does as the policy says.")
        if rule and rule not in rules and (mode is not None or rule not in await switches.read_switches()):
            raise MisuseError("rule", f"{rule!r} is no limit, scorer or rung of the policy. {_near(rule, rules)}")
        if mode == "off" and not reason:
            raise MisuseError("reason", "is missing. Off lets everything through; whoever comes after you will ask why.")
        await switches.write_switch(rule, mode)
        logger.warning("switch %s: %s: %s", rule or "everything", mode or "clear", reason or "no reason was given")
        await self._guardrail.read_switches()
        return {**await self.modes(), "then": list(self._follows(rule, mode))}

    def _follows(self, rule: str, mode: str | None) -> Iterator[str]:
        """What a scorer in shadow leaves behind: the risk that accounts have by now."""
        engine = self._guardrail.engine
        if mode == "shadow" and rule in engine.judge.panel.names:
            yield (
                f"Accounts keep the risk that {rule} has given them by now; half of it is gone every "
                f"{engine.policy.friction.decay}. To stop at once what it leads to, switch the rung."
            )

    # What these share

    async def _peek(self, account: str, route: str = "", only: str = "") -> Peeked:
        return await self._guardrail.peek(home_of(account, only), route)

    def _desk(self) -> Desk:
        store = self._guardrail.store
        if not isinstance(store, Desk):
            raise StoreError("This store has no desk.", f"{type(store).__name__} has no reset(), export() and erase().")
        return store

    def _switches(self) -> Switches:
        store = self._guardrail.store
        if not isinstance(store, Switches):
            raise StoreError("This store has no switches.", f"{type(store).__name__} has no read_switches().")
        return store

    def _limit(self, name: str) -> Limit:
        limits = {limit.name: limit for limit in self._guardrail.engine.planner.limits}
        if self._guardrail.policy.clusters is not None:
            limits[NAME] = cluster_budget(1)
        if name not in limits:
            raise MisuseError("limit", f"{line_of('limit', name)!r} is no limit of the policy. {_near(name, limits)}")
        return limits[name]

    @staticmethod
    def _whose(limit: Limit, peeked: Peeked) -> str:
        """The home in which an account's part of a limit is counted."""
        home = peeked.home(limit.home)
        if not limit.home or (limit.home in {"network", "device"} and home != peeked.account):
            whose = f"a {limit.home}" if limit.home else "everyone"
            raise MisuseError("limit", f"{limit.name!r} is counted for {whose}, not for an account.")
        if home is None:
            why = f"and which {limit.home} this account's is was not told here: none of its decisions is remembered."
            raise MisuseError("limit", f"{limit.name!r} is counted per {limit.home}, {why}")
        return home

    async def _note(self, peeked: Peeked, verb: str, what: str, reason: str, changes: Sequence[Change] = ()) -> None:
        await note(self._guardrail.store, peeked, verb, what, reason, changes)


def _field(name: str) -> str:
    """The field that a name of a home's hash belongs to: itself, or what stands before the slot of its ring."""
    field, colon, slot = name.rpartition(":")
    return field if colon and slot.isdecimal() else name


def _against(fields: Mapping[str, str]) -> dict[str, str]:
    """What of a standing holds against its account."""
    accused = fields.get("verdict", "none") != "none"
    held = fields.get("override", "allow").partition(" ")[0] != "allow"
    wanted = [APART, *(_SPARED[:2] if held else ()), *(_SPARED[2:] if accused else ())]
    return {field: fields[field] for field in wanted if field in fields}


def _near(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    names = list(known)
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"Did you mean `{near[0]}`?"
    return f"There are {', '.join(names)}." if names else "There is none."
