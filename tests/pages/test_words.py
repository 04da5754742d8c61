"""Which language a browser gets, and what is wrong in an operator's folder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from guardrail_mw.asgi.pages import Words
from guardrail_mw.errors import PolicyError

WORDS = Words()
NAMES = set(WORDS.choose("en").words)


def test_there_are_four() -> None:
    assert WORDS.tags == ["de", "en", "es", "fr"]


@pytest.mark.parametrize("tag", WORDS.tags)
def test_every_language_says_everything(tag: str) -> None:
    language = WORDS.choose(tag)
    assert (language.tag, language.dir) == (tag, "ltr")
    assert set(language.words) == NAMES
    english = WORDS.choose("en").words
    same = {name for name in NAMES if language.words[name] == english[name]}
    assert tag == "en" or same == set(), "left in English"


@pytest.mark.parametrize("tag", WORDS.tags)
def test_places_for_figures_and_names(tag: str) -> None:
    found = {name: re.findall(r"\{[^}]*\}", text) for name, text in WORDS.choose(tag).words.items()}
    once = {
        "{n}": "seconds minutes",
        "{service}": "service_why verify_lead verify_lead_organisation verify_how_manual verify_why verify_wait appeal_lead"
        " appeal_open appeal_granted appeal_refused",
        "{provider}": "verify_go verify_started verify_pending verify_declined verify_later",
        "{until}": "verify_by verify_holds verify_wait_until",
        "{most}": "appeal_most",
        "{who}": "verify_key",
    }
    expected = {name: [slot] for slot, names in once.items() for name in names.split()}
    expected["verify_how"] = ["{provider}", "{provider}"]
    assert {name: slots for name, slots in found.items() if slots} == expected


@pytest.mark.parametrize(
    ("header", "tag"),
    [
        ("", "en"),
        ("de", "de"),
        ("DE-at", "de"),
        ("de-Latn-DE-1996", "de"),
        ("de-x-private", "de"),
        ("nl, fr;q=0.5, de;q=0.9", "de"),
        ("fr;q=0.5,de;q=0.5", "fr"),
        ("fr ; q = 0.3 , es ; Q=0.4", "es"),
        ("de;q=0, es;q=0.1", "es"),
        ("de;q=0.000", "en"),
        ("*, fr;q=0.2", "fr"),
        ("nl, ja", "en"),
        ("de;q=2, fr;q=0.1", "fr"),  # no weight is 2
        ("de;q=nan, es", "es"),
        ("../../de", "en"),
        ("x-de, fr", "fr"),
        ("f" * 600 + ",de", "en"),  # 512 characters are looked at
        (",,;;,de", "de"),
        ("dé", "en"),
    ],
)
def test_lookup(header: str, tag: str) -> None:
    assert WORDS.choose(header).tag == tag


def test_an_operators_folder(tmp_path: Path) -> None:
    (tmp_path / "de.toml").write_text('help = "Schreiben Sie an hilfe@example.com:"\n')
    (tmp_path / "zh-Hant.toml").write_text('dir = "ltr"\ntitle = "請稍候"\n')
    (tmp_path / "he.toml").write_text('dir = "rtl"\ntitle = "רגע אחד"\n')
    (tmp_path / "README.md").write_text("is none")
    words = Words(tmp_path, default="he")
    assert words.tags == ["de", "en", "es", "fr", "he", "zh-Hant"]
    german = words.choose("de").words
    assert (german["help"], german["stop"]) == ("Schreiben Sie an hilfe@example.com:", "Anhalten")
    chinese = words.choose("zh-hant-TW")
    assert (chinese.tag, chinese.words["title"], chinese.words["stop"]) == ("zh-Hant", "請稍候", "Stop")
    assert words.choose("nl").dir == "rtl"
    assert WORDS.choose("de").words["help"] != german["help"]


def test_wholly_in_one_language(tmp_path: Path) -> None:
    """`x_` is what names begin with; a file from before it lacks them, and one that has a part of them is no better."""
    theirs = [name for name in WORDS.choose("en").words if name.startswith("closed_")]
    (tmp_path / "he.toml").write_text('title = "רגע אחד"\n' + "".join(f'{name} = "סגור"\n' for name in theirs[1:]))
    (tmp_path / "nl.toml").write_text("".join(f'{name} = "dicht"\n' for name in theirs))
    (tmp_path / "de.toml").write_text('title = "Gleich"\n')
    words = Words(tmp_path, default="he")
    assert words.choose("he, nl;q=0.1").tag == "he"
    assert words.choose("he, nl;q=0.1", ("closed_",)).tag == "nl"
    assert words.choose("he-IL, de", ("closed_",)).tag == "de"
    assert words.choose("he", ("closed_",)).tag == "en"
    assert words.choose("nl", ("closed_", "verify_")).tag == "en"
    assert set(words.choose("he").own) == {"title", *theirs[1:]}
    assert set(words.choose("de").own) == {*NAMES, "dir"}


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "de.toml").write_text(
        'titel = "x"\nzzzzzzzz = "x"\nlead = ""\nstop = 3\ndir = "up"\nseconds = "bald"\nslow = "{n}"\nstart = "Los"\n'
    )
    (tmp_path / "pt.toml").write_text("title = ")
    (tmp_path / "sv.toml").write_bytes(b'title = "\xff"')
    (tmp_path / "not_a_tag.toml").write_text("")
    with pytest.raises(PolicyError) as caught:
        Words(tmp_path, default="nl")
    found = [(Path(each.source).name, each.path, each.message.partition(":")[0]) for each in caught.value.problems]
    assert found == [
        ("de.toml", "titel", "is none of the texts"),
        ("de.toml", "zzzzzzzz", "is none of the texts"),
        ("de.toml", "lead", "should be a text"),
        ("de.toml", "stop", "should be a text"),
        ("de.toml", "dir", "should be `ltr` or `rtl`, not `up`"),
        ("de.toml", "seconds", "{n} should stand in it as in the English text, no more and no less"),
        ("de.toml", "slow", "{n} should stand in it as in the English text, no more and no less"),
        ("not_a_tag.toml", "", "`not_a_tag` is no language tag"),
        ("pt.toml", "", "cannot be read as TOML"),
        ("sv.toml", "", "cannot be read as TOML"),
        ("", "default", "`nl` has no file"),
    ]
    assert "Did you mean `title`?" in str(caught.value)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="is no folder"):
        Words(tmp_path / "nowhere")
