"""What the operator's port leaves to its reference page to say, and its errors. See `reference.py`."""

from __future__ import annotations

from typing import Final

__all__ = ["ERRORS", "GENERAL", "MISSING", "WORDS"]

WORDS: Final = {
    "metrics:200.": "[Metrics](metrics.md), and everything that is [counted](counts.md).",
    "live:200.status": "It is alive.",
    "decisions:200.decisions": "The newest first.",
    "explainDecision:200.decision": "Its id.",
    "explainDecision:200.lines": "What `guardrail-mw explain` prints.",
    "identify.credential": "A key, a token, or a proxy's name for the account.",
    "identify.source": "The source that must recognise it; whichever does unless given.",
    "identify:200.account": "Its account.",
    "identify:200.source": "The source that recognised it.",
    "link.account": "Its digest, or a credential: a key, a token, a proxy's name for it.",
    "link.kind": "A kind of evidence: built in (`payment`, `domain`, `organisation`, `device`, `network` …) or the policy's own.",
    "link.value": "The value; digested at once, never kept.",
    "link.created": "When the account was opened: a time, or seconds since 1970. May stand alone; the first that is told stays.",
    "link:200.account": "Its account.",
    "unlink.account": "Its digest, or a credential.",
    "unlink.kind": "A kind of evidence.",
    "unlink.value": "The value.",
    "unlink:200.account": "Its account.",
    "explainAccount:200.account": "The account.",
    "explainAccount:200.lines": "What `guardrail-mw explain` prints.",
    "limits:200.limits": "In the policy's order.",
    "export:200.": "`account`, `standing`, `counters`, `leases`, `distinct`, `receipts`, where there is some `evidence`: as "
    "the store has them; this may change.",
    "reset.limit": "This limit's counters alone; what is remembered of risk then stays.",
    "reset:200.fields": "How many counters there were.",
    "refill:200.fields": "How many counters there were.",
    "tier:200.tier": "The tier; `none` where it was taken back.",
    "tier:200.until": "When it ends, in the store's µs since 1970; null where it was taken back.",
    "label.slug": "The label: lower-case letters, digits and hyphens, 40 at most.",
    "label:200.label": "The label.",
    "label:200.until": "When it ends, in the store's µs since 1970; null for good.",
    "unlabel.slug": "The label.",
    "unlabel:200.label": "The label.",
    "unlabel:200.there": "Whether the account had it.",
    "override:200.override": "What is decided from now on.",
    "override:200.until": "When it ends, in the store's µs since 1970; null for good.",
    "erase:200.erased": "Whether there was something.",
    "erase:200.kept": "What holds something against it: `override` and `override.why`, `cluster` and `verdict`.",
    "mode:200.mode": "What runs in the process that answers.",
    "mode:200.policy": "What the policy says.",
    "mode:200.rules": "What can be switched: limits, scorers and rungs, by name.",
    "switch:200.mode": "What runs in the process that answers.",
    "switch:200.policy": "What the policy says.",
    "switch:200.rules": "What can be switched: limits, scorers and rungs, by name.",
    "switch.reason": "Why, as elsewhere; it may be left out.",
    "Standing.account": "The account.",
    "Standing.now": "The store's time.",
    "Standing.known": "Whether anything is remembered of it.",
    "Standing.proved": "Whether the app has accepted its credential, where only the app can (`trust: app`).",
    "Standing.since": "When its first request with a proved credential came; null before.",
    "Standing.verified": "Whether an identity check was passed.",
    "Standing.verdict": "Of its cluster: `none`, `watched`, `suspect`, `confirmed`. Nothing sets it yet.",
    "Standing.cluster": "Its cluster, or empty. Nothing sets it yet.",
    "Standing.tier": "The tier that an operator gave it, or empty; what its credential says is in its events.",
    "Standing.tier_until": "When that ends; null for none.",
    "Standing.tier_why": "Why it was given; empty for none.",
    "Standing.acr": "An authentication context that is kept with it, or empty; what its credential says is in its events.",
    "Standing.ial": "The same of its identity assurance level.",
    "Standing.risk": "What is left of the risk that is remembered.",
    "Standing.rung": "`{name, since, met}`: the rung that it is on, since when, how many requests it met (`up`); or null.",
    "Standing.rungs": "`[{name, do, at, shadow}]`: the ladder, with the thresholds that this account has.",
    "Standing.override": "`{what, until, why}`, or null; `until` is null for good.",
    "Standing.labels": "`[{label, until, why}]`.",
    "Standing.done": "`[{at, verb, what, why}]`: the last 20 acts upon it, the newest first.",
    "Standing.decisions": "The latest 20 in the process that answers, the newest first.",
    "Limit.name": "As the policy names it.",
    "Limit.remaining": "In its unit, micro-dollars for `usd`; null where only a request would tell.",
    "Limit.unit": "`requests`, `tokens`, `input_tokens`, `output_tokens`, `usd`.",
    "Limit.kind": "`token_bucket`, `sliding_window`, `budget`, `concurrency`.",
    "Limit.per": "The dimensions that it is counted per; none for everyone together.",
    "Limit.model": "The model that it is counted for; null where it does not matter.",
    "Limit.reset_ms": "Until it is as new, in milliseconds.",
    "Limit.wait_ms": "Until one unit more is admitted, in milliseconds.",
    "Limit.ok": "Whether one unit more is admitted now.",
    "Limit.shadow": "Whether it only records.",
    "Limit.whose": "The digest that it is counted under; empty where that is not known.",
}  # fmt: skip
"""What the document leaves out, by the name of a parameter or key: of an operation's request (`reset.limit`), of an answer of its
(`reset:200.fields`; without a name, of it as a whole), of a schema (`Limit.per`)."""

ERRORS: Final = {
    "invalid_json": (400, "The body is no JSON."),
    "no_token": (401, "No token was shown. `WWW-Authenticate` says what is asked for."),
    "invalid_token": (401, "The token is wrong, was shown twice, or is not behind `Bearer`."),
    "unknown_decision": (404, "It is not among the latest decisions of the process that answers."),
    "metrics_off": (404, "The policy keeps no metrics: `telemetry: {metrics: true}` is missing."),
    "not_found": (404, "There is no such path. One with a slash too many is another path."),
    "method_not_allowed": (405, "Not with this method; `Allow` says with which."),
    "too_long": (413, "The body has more than 16 KiB."),
    "not_json": (415, "The body does not come as `application/json`."),
    "misuse": (422, "What is asked for cannot be; nothing was changed. `argument` says which part, `detail` what would do."),
    "too_many_failures": (429, "Ten wrong tokens from this address; `Retry-After` says until when. The right one is let in."),
    "internal_error": (500, "It broke; the log says why."),
    "store_failed": (503, "The store does not answer, or has no such feature."),
}  # fmt: skip
"""Codes, each with its status and what it means."""
GENERAL: Final = frozenset({"not_found", "method_not_allowed", "internal_error"})
"""Those that belong to no endpoint."""
MISSING: Final = {"metrics": "metrics_off", "decision": "unknown_decision", "explainDecision": "unknown_decision"}
"""Which 404 is whose."""
