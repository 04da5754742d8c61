"""The refusals that the pipeline can decide, with their constant texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrail_mw.values import Challenge, Deny, Refusal, Verify

if TYPE_CHECKING:
    from guardrail_mw.errors import TokenError
    from guardrail_mw.limits.limit import Limit

__all__ = ["bad_input", "by_limit", "by_rung", "overloaded", "too_large", "unavailable", "untrimmed"]

_WORDS: Final = {
    "token_bucket": "Rate limit reached",
    "sliding_window": "Rate limit reached",
    "budget": "Budget used up",
    "concurrency": "Too many requests at once",
    "share": "Too much of the server's capacity is reserved by your unfinished requests",
}
_SMALLER: Final = {
    "requests": "Send fewer inputs in one request.",
    "tokens": "Shorten the prompt, or ask for fewer output tokens (max_tokens, n).",
    "input_tokens": "Shorten the prompt.",
    "output_tokens": "Ask for fewer output tokens (max_tokens, n).",
    "usd": "Shorten the prompt, or ask for fewer output tokens (max_tokens, n).",
}
_SHED_WAIT: Final = 1_000_000
_STEP_UP: Final = "Sign in again, as strongly and as lately as is asked for"


def by_limit(identity: str, refusal: Refusal, *, unproved: bool = False) -> Deny:
    """A limit refused: 429, or, where the limit is everyone's, 503: the caller did nothing wrong.

    `unproved`: its key was not accepted yet, so that its network pays, and it may have sent nothing yet.
    """
    if refusal.shared:
        message = "The server is at capacity."
        return Deny(identity, "overloaded", 503, message, ("shed",), refusal, retry=True, wait=refusal.wait)
    message = f"{_WORDS[refusal.kind]}: {refusal.unit} {refusal.amount}."
    if unproved:
        message += " It is your network's, for this key has not been accepted yet."
    return Deny(identity, "rate_limited", 429, message, (refusal.kind,), refusal, retry=True, wait=refusal.wait)


def overloaded(identity: str) -> Deny:
    """The process holds as much as it may."""
    return Deny(identity, "overloaded", 503, "The server is at capacity.", ("inspect_budget",), retry=True, wait=_SHED_WAIT)


def unavailable(identity: str) -> Deny:
    """The store failed, and the policy says deny."""
    message = "The service cannot decide about requests at the moment."
    return Deny(identity, "unavailable", 503, message, ("store",), retry=True, wait=_SHED_WAIT)


def bad_input(identity: str, error: TokenError) -> Deny:
    """A credential or a body is bad: the client's fault, in constant words; the detail stays in the log."""
    return Deny(identity, error.code, error.status, error.public, ("bad_input",))


def too_large(identity: str, limit: Limit, asked: int) -> Deny:
    """A request that a limit can never admit, however long one waits. `asked`: what it may need, in the limit's unit."""
    message = (
        f"The request needs more than the limit {limit.name} ({limit.figure} {limit.unit}) ever holds: "
        f"it may need {_figure(asked, limit)}. {_SMALLER[limit.unit]}"
    )
    return Deny(identity, "exceeds_limit", 400, message, ("exceeds_limit",))


def by_rung(decision: Challenge | Verify) -> Deny:
    """A caller who must solve or prove something first, and is told so."""
    if isinstance(decision, Challenge):
        message = "A challenge must be solved first. It takes a moment, and is for this account alone."
        return Deny(decision.id, "challenge_required", 403, message, decision.reasons)
    more = {"verification_url": decision.verification_url} if decision.verification_url else {}
    if not decision.acr:
        message = "The account must be verified first."
        return Deny(decision.id, "verification_required", 403, message, decision.reasons, more=more)
    acr, age = " ".join(decision.acr), decision.max_age
    asked = f'Bearer error="insufficient_user_authentication", error_description="{_STEP_UP}", acr_values="{acr}"'
    challenge = asked + (f', max_age="{age}"' if age is not None else "")
    told = {"acr_values": acr, **({"max_age": age} if age is not None else {}), **more}
    headers = ((b"www-authenticate", challenge.encode()),)
    return Deny(decision.id, "verification_required", 401, f"{_STEP_UP}.", decision.reasons, headers=headers, more=told)


def untrimmed(identity: str, names: tuple[str, ...], reasons: tuple[str, ...]) -> Deny:
    """The request asks for what its caller may not have at present. `names` are the policy's words, never the client's."""
    message = f"These parameters are not available to this account at present: {', '.join(names)}."
    return Deny(identity, "parameters_refused", 403, message, reasons)


def _figure(asked: int, limit: Limit) -> str:
    return f"${asked / 1_000_000:.6g}" if limit.unit == "usd" else f"{asked} {limit.unit}"
