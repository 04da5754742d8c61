"""What the pages are made of: escaping, the policy header, what is said when."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

import pytest

from guardrail_mw.asgi.pages import Widget, challenge_page, hcaptcha, recaptcha, resend_page, turnstile
from guardrail_mw.asgi.pages.page import safe_return

from .reading import NASTY, NONCE, Parsed, directives

CHALLENGE = {
    "type": "altcha",
    "url": "/.guardrail/challenge",
    "expires_at": "2026-01-01T00:05:00Z",
    "case": "CASE",
    "parameters": {"algorithm": "PBKDF2/SHA-256", "nonce": "00", "salt": "01", "cost": 1, "keyPrefix": "00"},
    "signature": "ab",
}


def page(challenge: dict[str, Any] = CHALLENGE, **changes: Any) -> tuple[dict[bytes, bytes], Parsed]:
    settings = {"decision": "d-1", "action": "/.guardrail/challenge", "back": "/wanted?a=1&b=2", "nonce": NONCE, **changes}
    headers, body = challenge_page(challenge, **settings)
    assert dict(headers)[b"content-length"] == str(len(body)).encode()
    return dict(headers), Parsed(body)


def test_headers() -> None:
    headers, _ = page()
    assert headers[b"content-type"] == b"text/html; charset=utf-8"
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"referrer-policy"] == b"strict-origin"


def test_the_policy_lets_nothing_in_and_nothing_out() -> None:
    headers, parsed = page()
    assert directives(headers) == {
        "default-src": "'none'",
        "style-src": f"'nonce-{NONCE}'",
        "script-src": f"'nonce-{NONCE}'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
    }
    assert [each.get("nonce") for each in parsed.all("script") if each.get("type") is None] == [NONCE]
    assert [each.get("nonce") for each in parsed.all("style")] == [NONCE]


def test_nothing_is_fetched_and_no_handler_is_inline() -> None:
    _, parsed = page()
    names = {name for _, attributes in parsed.elements for name in attributes}
    assert not names & {"src", "href", "style", "srcset"}
    assert not [name for name in names if name.startswith("on")]


@pytest.mark.parametrize(
    ("action", "forms"), [("/p/challenge", "'self'"), ("https://a.example:8443/c", "'self' https://a.example:8443")]
)
def test_forms_go_where_they_should(action: str, forms: str) -> None:
    headers, parsed = page(action=action)
    assert directives(headers)["form-action"] == forms
    assert [(each["action"], each["method"]) for each in parsed.all("form")] == [(action, "post")]


@pytest.mark.parametrize("size", ["en", "de", "fr", "es"])
def test_it_is_small(size: str) -> None:
    headers, body = challenge_page(CHALLENGE, decision="d-1", action="/c", back="/", nonce=NONCE, languages=size)
    assert len(body) + sum(len(name) + len(value) for name, value in headers) < 15_000


def test_nothing_moves() -> None:
    _, parsed = page()
    (style,) = [text for tag, text in parsed.texts if tag == "style"]
    assert not re.search("animation|transition|@import|url\\(", style)


def test_what_is_posted() -> None:
    _, parsed = page()
    assert parsed.hidden() == [("case", "CASE"), ("answer", ""), ("return", "/wanted?a=1&b=2")]
    assert parsed.data()["challenge"] == {"parameters": CHALLENGE["parameters"], "signature": "ab"}
    assert (parsed.data()["wait"], parsed.data()["reload"]) == (False, True)


def test_everything_is_escaped_where_it_stands() -> None:
    challenge = {**CHALLENGE, "case": NASTY, "parameters": {"data": {"case": NASTY[:-1]}}}
    service = Widget(NASTY, "https://a.example/?" + NASTY, NASTY, {}, {"sitekey": NASTY})
    for widget in (None, service):
        _, parsed = page(challenge, decision=NASTY, fields=[(NASTY, NASTY)], method="POST", languages=NASTY, service=widget)
        readable = NASTY[:-1] + "?"
        assert readable in parsed.text()
        assert dict(parsed.hidden())["case"] == readable
        assert parse_qsl(str(dict(parsed.hidden())["form"])) == [(readable, readable)]
        assert len(parsed.all("script")) == (2 if widget is None else 3)
        if widget is None:
            assert parsed.data()["challenge"]["parameters"]["data"]["case"] == NASTY[:-1]


def test_what_stands_in_a_script_element_has_none_of_these() -> None:
    _, body = challenge_page({**CHALLENGE, "parameters": {"x": NASTY}}, decision="d", action="/c", back="/", nonce=NONCE)
    found = re.search('<script type="application/json" id="data">(.*?)</script>', body.decode(), re.DOTALL)
    assert found is not None
    assert not set(found[1]) & set("<>&\u2028\u2029")


@pytest.mark.parametrize(
    "nonce", ["", "short", "a" * 15, "a" * 16 + "'", "a" * 16 + "\r\nx: y", "a" * 16 + "; script-src *", "é" * 16]
)
def test_a_nonce_that_is_none(nonce: str) -> None:
    with pytest.raises(ValueError, match="nonce"):
        page(nonce=nonce)
    with pytest.raises(ValueError, match="nonce"):
        resend_page(back="/", fields=[], nonce=nonce)


@pytest.mark.parametrize(
    "action",
    [
        "",
        "x",
        "javascript:alert(1)",
        "//evil.example/",
        "https://a.example",
        "https://a.example;x/",
        "https://u@a.example/",
        "data:,x",
    ],
)
def test_an_action_that_is_none(action: str) -> None:
    with pytest.raises(ValueError, match="action"):
        page(action=action)


@pytest.mark.parametrize(
    ("back", "safe"),
    [
        ("/", "/"),
        ("/a?b=//c", "/a?b=//c"),
        ("/ä", "/ä"),
        ("https://api.example/a", "https://api.example/a"),
        ("https://api.example", "/"),
        ("https://api.example//a", "/"),
        ("https://api.example.evil.example/a", "/"),
        ("https://api.example:444/a", "/"),
        ("https://evil.example/", "/"),
        ("http://api.example/a", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("/a\\b", "/"),
        ("/\t/evil.example", "/"),
        ("/a\r\nset-cookie: x", "/"),
        ("javascript:alert(1)", "/"),
        (" /a", "/"),
        ("", "/"),
    ],
)
def test_where_people_are_sent_back_to(back: str, safe: str) -> None:
    assert safe_return(back, "https://api.example/.guardrail/challenge") == safe
    _, parsed = page(back=back, action="https://api.example/.guardrail/challenge")
    assert dict(parsed.hidden())["return"] == safe


def test_an_address_is_only_a_path_where_the_action_is_one() -> None:
    assert safe_return("https://api.example/a", "/c") == "/"


def test_a_form_is_kept_as_it_was_sent() -> None:
    fields = [("a", "1"), ("a", ""), ("_charset_", "ü & =\r\n")]
    _, parsed = page(method="POST", fields=fields)
    assert dict(parsed.hidden())["form"] == "a=1&a=&_charset_=%C3%BC+%26+%3D%0D%0A"
    assert "is kept" in parsed.text()
    assert parsed.data()["reload"] is False


def test_what_cannot_be_kept_is_said_to_be_lost() -> None:
    _, parsed = page(method="POST")
    assert "could not be kept" in parsed.text()
    assert "form" not in dict(parsed.hidden())
    _, parsed = page()
    assert "kept" not in parsed.text()


@pytest.mark.parametrize(
    ("again", "says"),
    [("failed", "not accepted"), ("expired", "too late"), ("spent", "used before"), ("cookies", "did not keep the cookie")],
)
def test_shown_again_it_says_why_and_waits(again: str, says: str) -> None:
    _, parsed = page(again=again)
    assert says in parsed.text()
    assert parsed.data()["wait"] is True
    assert "by itself" not in parsed.text()


def test_language_of_the_page() -> None:
    headers, parsed = page(languages="de-AT,en;q=0.5")
    assert headers[b"content-language"] == b"de"
    assert parsed.all("html") == [{"lang": "de", "dir": "ltr"}]
    assert "Einen Moment bitte" in parsed.text()
    assert parsed.data()["said"]["stop"] == "Anhalten"


SERVICES = [
    (
        turnstile("KEY", action="guard"),
        "cf-turnstile",
        "https://challenges.cloudflare.com/turnstile/v0/api.js",
        {"script-src": " https://challenges.cloudflare.com", "frame-src": "https://challenges.cloudflare.com"},
    ),
    (
        hcaptcha("KEY"),
        "h-captcha",
        "https://js.hcaptcha.com/1/api.js",
        {
            "script-src": " https://hcaptcha.com https://*.hcaptcha.com",
            "style-src": " https://hcaptcha.com https://*.hcaptcha.com",
            "frame-src": "https://hcaptcha.com https://*.hcaptcha.com",
            "connect-src": "https://hcaptcha.com https://*.hcaptcha.com",
        },
    ),
    (
        recaptcha("KEY"),
        "g-recaptcha",
        "https://www.google.com/recaptcha/api.js",
        {
            "script-src": " https://www.google.com/recaptcha/ https://www.gstatic.com/recaptcha/",
            "frame-src": "https://www.google.com/recaptcha/ https://recaptcha.google.com/recaptcha/",
        },
    ),
]


@pytest.mark.parametrize(("widget", "classes", "script", "origins"), SERVICES)
def test_a_services_page_names_its_origins_and_no_others(
    widget: Widget, classes: str, script: str, origins: dict[str, str]
) -> None:
    headers, parsed = page({"type": classes, "case": "CASE"}, service=widget)
    nonce = f"'nonce-{NONCE}'"
    common = {"default-src": "'none'", "form-action": "'self'", "base-uri": "'none'", "frame-ancestors": "'none'"}
    ours = {name: nonce + origins.get(name, "") for name in ("script-src", "style-src")}
    assert directives(headers) == {**common, **origins, **ours}
    (element,) = [each for each in parsed.all("div") if each.get("class") == classes]
    assert element["data-sitekey"] == "KEY"
    assert element["data-callback"] == "guardrailAnswer"
    outside = [each for each in parsed.all("script") if "src" in each]
    assert [(each["src"], each["nonce"]) for each in outside] == [(script, NONCE)]
    assert widget.name in parsed.text()
    assert "challenge" not in parsed.data()


@pytest.mark.parametrize(
    ("origins", "data", "says"),
    [
        ({"object-src": ["https://a.example"]}, {}, "`object-src` is none of"),
        ({"script-src": ["'unsafe-inline'"]}, {}, "no origin"),
        ({"script-src": ["https://a.example; script-src *"]}, {}, "no origin"),
        ({"script-src": ["*"]}, {}, "no origin"),
        ({}, {"x onload": "1"}, "no attribute"),
    ],
)
def test_a_widget_that_would_widen_the_policy(origins: dict[str, list[str]], data: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Widget("x", "https://a.example/", "x", origins, data)


def test_the_page_that_sends_a_form_again() -> None:
    fields = [("a", "1"), ("a", ""), ('"><script>', "</form>'&\r\n")]
    headers, body = resend_page(back="/form?x=1&y=2", fields=fields, nonce=NONCE, languages="fr")
    parsed = Parsed(body)
    assert parsed.hidden() == fields
    assert [(each["action"], each["method"]) for each in parsed.all("form")] == [("/form?x=1&y=2", "post")]
    assert parsed.all("script") == []
    assert "Renvoyer" in parsed.text()
    assert directives(dict(headers)) == {
        "default-src": "'none'",
        "style-src": f"'nonce-{NONCE}'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
    }


def test_a_form_is_sent_again_to_this_origin_only() -> None:
    _, body = resend_page(back="https://evil.example/", fields=[], nonce=NONCE)
    assert Parsed(body).all("form")[0]["action"] == "/"
