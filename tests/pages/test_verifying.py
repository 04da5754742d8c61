"""What the pages of verification and appeals say, where they lead, and that nobody's text becomes more than text."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guardrail_mw.asgi.pages import Words
from guardrail_mw.asgi.pages.verifying import waiting_page

from .reading import NASTY, NONCE, Parsed, directives
from .states import APPEAL, APPEALS, CLOSED, CONSENT, DECIDE, DECISION, OURS, PAGES, REASON, STATE, VERIFY, WAITING, Page

READABLE = NASTY[:-1] + "?"
every = pytest.mark.parametrize("name", PAGES)


def read(page: Page, **changes: Any) -> Parsed:
    return Parsed(page(**changes)[1])


def said(page: Page, **changes: Any) -> str:
    """What is read, in one line."""
    return " ".join(read(page, **changes).text().split())


def links(parsed: Parsed) -> list[str | None]:
    return [each["href"] for each in parsed.all("a")]


@every
def test_headers_and_policy(name: str) -> None:
    headers, body = PAGES[name]()
    found = dict(headers)
    assert found.pop(b"content-length") == str(len(body)).encode()
    onward = {"consent": " https://verify.stripe.com", "decide": " https://app.example"}
    forms = onward.get("" if name == "consent-simulated" else name.partition("-")[0], "")
    assert directives(found) == {
        "default-src": "'none'",
        "style-src": f"'nonce-{NONCE}'",
        "form-action": f"'self'{forms}",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
    }
    del found[b"content-security-policy"]
    assert found == {
        b"content-type": b"text/html; charset=utf-8",
        b"content-language": b"en",
        b"cache-control": b"no-store",
        b"referrer-policy": b"strict-origin",
        b"x-content-type-options": b"nosniff",
    }


@every
def test_nothing_runs_and_nothing_is_fetched(name: str) -> None:
    parsed = read(PAGES[name])
    assert parsed.all("script") == []
    assert [each["nonce"] for each in parsed.all("style")] == [NONCE]
    attributes = {attribute for _, found in parsed.elements for attribute in found}
    assert not attributes & {"src", "srcset", "style", "ping", "target"}
    assert not [attribute for attribute in attributes if attribute.startswith("on")]
    (style,) = [text for tag, text in parsed.texts if tag == "style"]
    assert not re.search("animation|transition|@import|url\\(", style)


@every
@pytest.mark.parametrize("tag", ["en", "de", "es", "fr"])
def test_in_each_language_nothing_is_left_open(name: str, tag: str) -> None:
    headers, body = PAGES[name](languages=tag)
    parsed = Parsed(body)
    assert dict(headers)[b"content-language"] == tag.encode()
    assert parsed.all("html") == [{"lang": tag, "dir": "ltr"}]
    assert not set("{}") & set(parsed.text())
    assert len(parsed.all("h1")) == 1
    titles = [text for element, text in parsed.texts if element in {"title", "h1"}]
    assert titles[0] == titles[1]
    assert len(body) < 15_000


@every
def test_what_others_wrote_is_text_wherever_it_stands(name: str) -> None:
    kind = name.partition("-")[0]
    untrusted = {
        "consent": ("service", "who", "provider", "level", "until", "decision"),
        "state": ("service", "who", "provider", "until", "decision"),
        "decide": ("service", "who"),
        "waiting": ("service", "who", "until"),
        "appeal": ("service", "who", "decision", "reason", "text"),
        "closed": ("decision",),
    }[kind]
    plain = read(PAGES[name])
    for field in untrusted:
        parsed = read(PAGES[name], **{field: NASTY})
        unseen = {"reason": {"appeal-new", "appeal-open"}, "until": {"state-pending", "state-busy"}}
        shown = name not in unseen.get(field, ())
        assert (READABLE in parsed.text()) is shown, field
        assert {tag for tag, _ in parsed.elements} - {tag for tag, _ in plain.elements} <= {"p", "code"}, field


def test_addresses_are_escaped_too() -> None:
    nasty = "/a\"'><script>&b=1"
    parsed = read(CONSENT, action=nasty, appeal=nasty)
    assert (parsed.all("form")[0]["action"], links(parsed)) == (nasty, [nasty])
    assert links(read(STATE, state="declined", again=nasty, appeal=nasty)) == [nasty, nasty]
    assert parsed.all("script") == []


def test_what_consent_says() -> None:
    text = said(CONSENT)
    for part in (
        "Example AI asks you to show, once, who is behind this account.",
        "Who is verified API key ending in 1a2b For whom Example AI Who checks Stripe Identity What is checked id and selfie",
        "Stop if this account is not yours. If somebody else sent you this link, or you do not know the account above, close",
        "Your document would vouch for somebody else",
        "Stripe Identity does the check, on pages of its own. Documents are shown to Stripe Identity , and are not kept here.",
        "Please have the check done by 2026-12-14, 10:00 UTC .",
        "This is my account, and I want to be verified for it. Go on to Stripe Identity",
        "what Example AI guards against",
        f"give this code: {DECISION}",
    ):
        assert part in text
    assert read(CONSENT).all("time") == [{"datetime": "2026-12-14T10:00:00Z"}]


def test_the_warning_comes_before_the_box_and_the_box_before_the_button() -> None:
    parsed = read(CONSENT)
    assert parsed.all("form") == [{"method": "post", "action": VERIFY}]
    assert parsed.all("input") == [
        {"type": "checkbox", "name": "consent", "value": "yes", "required": None, "aria-describedby": "stop"}
    ]
    (stop,) = [at for at, (_, found) in enumerate(parsed.elements) if found.get("id") == "stop"]
    box, button = (
        next(at for at, (tag, _) in enumerate(parsed.elements) if tag == wanted) for wanted in ("input", "button")
    )
    assert stop < box < button
    assert links(parsed) == [APPEAL]


def test_consent_for_an_organisation() -> None:
    text = said(CONSENT, organisation=True)
    assert "Example AI asks somebody of this organisation" in text
    assert "Stop if this is not your organisation." in text
    assert "I belong to this organisation, and may be verified for it." in text


@pytest.mark.parametrize(
    ("by", "says"),
    [("manual", "A person at Example AI looks at the account and decides."), ("simulated", "no document is looked at")],
)
def test_consent_where_nobody_else_checks(by: str, says: str) -> None:
    text = said(CONSENT, by=by)
    assert says in text
    assert "shown to" not in text
    assert read(CONSENT, by=by).texts[-1][1] == DECISION
    assert "Go on Why you are asked" in text


def test_what_there_is_none_of_is_not_spoken_of() -> None:
    text = said(CONSENT, until="", appeal="", decision="")
    assert not re.search("check done by|appeal|wrong|code:", text, re.IGNORECASE)
    assert links(read(CONSENT, appeal="")) == []
    assert "by" not in said(WAITING, until="").split()


@pytest.mark.parametrize(
    ("until", "shown"),
    [
        ("2026-12-14T10:00:00Z", "2026-12-14, 10:00 UTC"),
        ("2026-12-14T10:00:59.123456+00:00", "2026-12-14, 10:00 UTC"),
        ("2026-12-14T10:00:00+01:00", "2026-12-14T10:00:00+01:00"),
        ("next Monday", "next Monday"),
    ],
)
def test_a_time_is_written_alike_in_every_language(until: str, shown: str) -> None:
    assert f"by {shown} ." in said(CONSENT, until=until)
    assert f"bis {shown} prüfen." in said(CONSENT, until=until, languages="de")


AGAIN = f"{VERIFY}?again=1"


@pytest.mark.parametrize(
    ("state", "says", "leads"),
    [
        ("started", "Stripe Identity has not got everything yet.", [AGAIN, APPEAL]),
        ("pending", "Stripe Identity has not decided yet.", ["", AGAIN, APPEAL]),
        ("approved", "Go back to what you were doing, and try once more.", []),
        ("declined", "Stripe Identity could not confirm who you are.", [AGAIN, APPEAL]),
        ("expired", "Nothing was decided. You can begin anew.", [AGAIN, APPEAL]),
        ("withdrawn", "It was taken back.", [AGAIN, APPEAL]),
        ("duplicate", "has vouched for as many accounts as one may", [AGAIN, APPEAL]),
        ("busy", "Please wait a minute, then look again.", ["", APPEAL]),
        ("later", "Stripe Identity cannot be reached at the moment.", [AGAIN, APPEAL]),
    ],
)
def test_each_state_says_what_to_do_and_posts_nothing(state: str, says: str, leads: list[str]) -> None:
    parsed = read(STATE, state=state)
    assert says in said(STATE, state=state)
    assert links(parsed) == leads
    assert parsed.all("form") == []
    holds = "It holds until 2026-12-14, 10:00 UTC ." in said(STATE, state=state)
    assert holds is (state == "approved")
    assert ("Please have the check done by" in said(STATE, state=state)) is (state not in {"approved", "pending", "busy"})
    assert links(read(STATE, state=state, again="", appeal="")) == [link for link in leads if link == ""]


def test_the_likeliest_is_the_button_and_the_other_is_plain() -> None:
    both = read(STATE, state="declined").all("a")
    assert [each["class"] for each in both] == ["button", "button plain"]
    assert [each["class"] for each in read(STATE, state="declined", again="").all("a")] == ["button"]


def test_an_outcome_is_chosen() -> None:
    parsed = read(DECIDE)
    assert "For demonstrations" in parsed.text()
    assert parsed.all("form") == [{"method": "post", "action": VERIFY, "class": "deeds"}]
    assert [(each["name"], each["value"]) for each in parsed.all("button")] == [
        ("outcome", "approved"),
        ("outcome", "declined"),
    ]


def test_somebody_is_waited_for() -> None:
    text = said(WAITING)
    assert "A person at Example AI decides about this account. You need not stay" in text
    assert "We decide by 2026-12-14, 10:00 UTC ." in text
    assert links(read(WAITING)) == [""]


def test_an_appeal_is_written() -> None:
    parsed = read(APPEALS)
    assert parsed.all("form") == [{"method": "post", "action": APPEAL}]
    (area,) = parsed.all("textarea")
    assert (area["name"], area["maxlength"], area["required"]) == ("text", "2000", None)
    assert [each["for"] for each in parsed.all("label")] == [area["id"]]
    assert area["aria-describedby"] == "most mind"
    ids = {found.get("id") for _, found in parsed.elements}
    assert {"most", "mind"} <= ids
    assert "At most 2000 characters." in said(APPEALS)
    assert "the address" not in said(APPEALS, text="")
    assert REASON not in said(APPEALS, reason=REASON)


@pytest.mark.parametrize("text", ["\n\none\ntwo", "\r\none", "</textarea><b>", "  blank"])
def test_a_text_begins_where_it_began(text: str) -> None:
    """The parser of HTML drops one line's end after `<textarea>`: that of the template."""
    _, body = APPEALS(text=text)
    found = re.search(r"<textarea[^>]*>\n(.*?)</textarea>", body.decode(), re.DOTALL)
    assert found is not None
    assert found[1] == text.replace("<", "&lt;").replace(">", "&gt;")


@pytest.mark.parametrize(
    ("state", "says", "reasoned", "leads"),
    [
        ("open", "A person at Example AI will read it.", False, [""]),
        ("granted", "Example AI has changed its decision.", True, []),
        ("refused", "Example AI has looked at it, and its decision stands.", True, []),
    ],
)
def test_an_appeal_that_was_sent(state: str, says: str, reasoned: bool, leads: list[str]) -> None:
    parsed = read(APPEALS, state=state, reason=REASON)
    assert says in said(APPEALS, state=state)
    assert parsed.all("form") == []
    quotes = [text for tag, text in parsed.texts if tag == "blockquote"]
    assert quotes == [REASON] * reasoned + ["We are an office of twelve.\nAll of us use one network."]
    assert ("The reason" in parsed.text()) is reasoned
    assert links(parsed) == leads
    assert "What you wrote" not in said(APPEALS, state=state, text="")


@pytest.mark.parametrize(
    ("why", "says"),
    [
        ("expired", "Do what you were doing once more"),
        ("unknown", "Copy the whole link"),
        ("foreign", "use the button there"),
        ("many", "wait a few minutes"),
        ("unavailable", "our fault"),
        ("large", "make it shorter"),
    ],
)
def test_a_link_that_leads_no_further_says_what_to_do(why: str, says: str) -> None:
    assert says in said(CLOSED, why=why)
    assert links(read(CLOSED, why=why)) == [VERIFY]
    assert links(read(CLOSED, why=why, again="")) == []
    assert DECISION in said(CLOSED, why=why, decision=DECISION)


REFUSED: list[Callable[[str], object]] = [
    lambda bad: CONSENT(action=bad),
    lambda bad: CONSENT(appeal=bad),
    lambda bad: STATE(state="declined", again=bad),
    lambda bad: STATE(state="declined", appeal=bad),
    lambda bad: DECIDE(action=bad),
    lambda bad: APPEALS(action=bad),
    lambda bad: CLOSED(why="many", again=bad),
]


@pytest.mark.parametrize("make", REFUSED)
@pytest.mark.parametrize("bad", ["javascript:alert(1)", "//evil.example/", "x", "https://a.example;x/", "/a\nb"])
def test_an_address_that_is_none(make: Callable[[str], object], bad: str) -> None:
    with pytest.raises(ValueError, match="neither a path nor"):
        make(bad)


@pytest.mark.parametrize("page", [CONSENT, DECIDE, APPEALS])
@pytest.mark.parametrize(
    "bad",
    ["*", "https://*", "'unsafe-inline'", "https://a.example/path", "https://a.example; script-src *", "a.example", ""],
)
def test_an_origin_that_is_none(page: Page, bad: str) -> None:
    with pytest.raises(ValueError, match="no origin"):
        page(onward=["https://a.example", bad])


@pytest.mark.parametrize("good", ["https://a.example", "https://*.a.example:8443", "http://127.0.0.1:80", "http://[::1]:80"])
def test_an_origin_that_is_one(good: str) -> None:
    headers, _ = CONSENT(onward=[good])
    assert directives(dict(headers))["form-action"] == f"'self' {good}"


@every
def test_a_nonce_that_is_none(name: str) -> None:
    with pytest.raises(ValueError, match="nonce"):
        PAGES[name](nonce="short")


def test_a_language_that_lacks_any_of_it_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "he.toml").write_text('dir = "rtl"\ntitle = "רגע אחד"\nverify_title = "נא להזדהות"\n')
    words = Words(tmp_path, default="he")
    for name, page in PAGES.items():
        assert read(page, words=words, languages="he, de;q=0.5").all("html") == [{"lang": "de", "dir": "ltr"}], name
        assert read(page, words=words, languages="nl").all("html") == [{"lang": "en", "dir": "ltr"}], name


def test_from_right_to_left_what_others_wrote_keeps_its_direction(tmp_path: Path) -> None:
    english = Words().choose().words
    lines = [f'{name} = "{text}"\n' for name, text in english.items()]
    (tmp_path / "he.toml").write_text('dir = "rtl"\n' + "".join(lines))
    parsed = Parsed(waiting_page(until="", languages="he", words=Words(tmp_path), **OURS)[1])
    assert parsed.all("html") == [{"lang": "he", "dir": "rtl"}]
    assert [text for tag, text in parsed.texts if tag == "bdi"].count("Example AI") == 2


def test_the_end_of_a_key_is_said_to_be_one() -> None:
    _, key = waiting_page(service="Example AI", who="…1a2b", until="", nonce=NONCE)
    _, name = waiting_page(service="Example AI", who="a…@example.com", until="", nonce=NONCE)
    assert "<bdi>API key …1a2b</bdi>" in key.decode()
    assert "<bdi>a…@example.com</bdi>" in name.decode()
