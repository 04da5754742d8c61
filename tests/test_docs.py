"""What the README and docs/ show is true: their examples run. Their tables are in `test_docs_reference.py`.

A page's fenced blocks are taken in order, in one temporary directory:

    ```python                    executed; the blocks of a page share their names, as in a notebook
    ```python title="app.py"     written to that file and executed as a module; `test_*.py` is run by pytest
    ```yaml title="policy.yaml"  written to that file, parsed; what begins with `version:` is loaded as a policy
    ```console                   each line after `$ ` is run by bash; what follows is its output, `...` stands for anything
    ```sh                        not run: what installs, serves or talks to the world
"""

from __future__ import annotations

import doctest
import logging
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import yaml

ROOT = Path(__file__).parent.parent
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[a-z]+)(?P<rest>[^\n]*)\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
TITLE = re.compile(r'title="([^"]+)"')
LANGUAGES = {"console", "http", "json", "python", "sh", "text", "yaml"}


class Block(NamedTuple):
    """One fenced block."""

    language: str
    title: str
    code: str
    line: int


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page."""
    found = []
    for match in FENCE.finditer(text):
        title = TITLE.search(match["rest"])
        line = text.count("\n", 0, match.start("code"))
        found.append(Block(match["language"], title[1] if title else "", dedent(match["code"]), line))
    return found


def pages() -> list[Path]:
    """README and documentation, those with examples."""
    return [page for page in (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))) if blocks(page.read_text())]


class Runner:
    """Runs the blocks of one page."""

    def __init__(self, page: Path, folder: Path) -> None:
        self.page = page
        self.folder = folder
        self.names = self._module(f"page_{page.stem.replace('-', '_')}")

    def _module(self, name: str) -> dict[str, Any]:
        """The names of a module that code can be executed in; frameworks look up the one that a function says it is of."""
        module = ModuleType(name)
        module.__file__ = str(self.folder / f"{name}.py")
        sys.modules[name] = module
        return vars(module)

    def run(self, block: Block) -> None:
        """Run one."""
        if block.title:
            file = self.folder / block.title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.code)
        if handler := getattr(self, f"_{block.language}", None):
            handler(block)

    def _python(self, block: Block) -> None:
        if Path(block.title).name.startswith("test_"):
            self._pytest(block)
            return
        code = compile("\n" * block.line + block.code, str(self.page), "exec")  # so that a traceback names the page's line
        exec(code, {"__name__": Path(block.title).stem} if block.title else self.names)  # noqa: S102

    def _pytest(self, block: Block) -> None:
        options = ("-q", "-p", "no:cacheprovider", "-p", "no:valkey", "--rootdir", ".", "-W", "error")
        self._check(block, [sys.executable, "-m", "pytest", *options, block.title], "... passed in ...", code=0)

    def _yaml(self, block: Block) -> None:
        if not block.code.startswith("version:"):
            yaml.safe_load(block.code)
            return
        from guardrail_mw.policy import load

        load(self.folder / block.title if block.title else yaml.safe_load(block.code))

    def _console(self, block: Block) -> None:
        for step in re.split(r"^\$ ", block.code, flags=re.MULTILINE)[1:]:
            command, _, expected = step.partition("\n")
            self._check(block, ["bash", "-c", command], expected)

    def _check(self, block: Block, command: list[str], expected: str, *, code: int | None = None) -> None:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "COLUMNS": "100", "NO_COLOR": "1"}
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        output = done.stdout + done.stderr
        match = doctest.OutputChecker().check_output(
            expected.strip() + "\n", output.strip() + "\n", doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        )
        as_shown = match and code in {None, done.returncode}
        assert as_shown, f"{self.page}:{block.line}: {command}\nexpected:\n{expected}\ngot:\n{output}"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    runner = Runner(page, tmp_path)
    levels = {each: each.level for each in (logging.getLogger(), logging.getLogger("guardrail_mw"))}
    for logger, level in zip(levels, (logging.WARNING, logging.NOTSET), strict=True):
        logger.setLevel(level)  # as a reader finds them, whatever the pages before have set
    try:
        for block in blocks(page.read_text()):
            assert block.language in LANGUAGES, f"{page}:{block.line}: what is to be done with {block.language}?"
            runner.run(block)
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
                del sys.modules[name]


FAULTY = [
    ("python", "assert 1 == 2", AssertionError),
    ("python", "import guardrail_mw.no_such", ModuleNotFoundError),
    ("yaml", "a: [", yaml.YAMLError),
    ("console", "$ echo one\ntwo\n", AssertionError),
    ("console", "$ no-such-command\n", AssertionError),
]


@pytest.mark.parametrize(("language", "code", "error"), FAULTY)
def test_a_faulty_example_is_found(tmp_path: Path, language: str, code: str, error: type[Exception]) -> None:
    (block,) = blocks(f"text\n\n```{language}\n{code}\n```\n")
    with pytest.raises(error):
        Runner(ROOT / "README.md", tmp_path).run(block)


@pytest.mark.parametrize("others", ["", "\ndef test_other():\n    pass\n"])
def test_a_failing_test_in_a_page_is_found(tmp_path: Path, others: str) -> None:
    """Beside those that pass, too."""
    (block,) = blocks(f'```python title="test_it.py"\ndef test_it():\n    assert 1 == 2\n{others}```\n')
    with pytest.raises(AssertionError, match="1 failed"):
        Runner(ROOT / "README.md", tmp_path).run(block)


def test_a_test_in_a_page_that_is_skipped_is_found(tmp_path: Path) -> None:
    (block,) = blocks('```python title="test_it.py"\nimport pytest\n\npytest.skip(allow_module_level=True)\n```\n')
    with pytest.raises(AssertionError, match="1 skipped"):
        Runner(ROOT / "README.md", tmp_path).run(block)


@pytest.mark.skipif(find_spec("guardrail_mw.policy.loader") is None, reason="nothing loads policies yet")
def test_a_faulty_policy_is_found(tmp_path: Path) -> None:
    from guardrail_mw.errors import PolicyError

    (block,) = blocks("```yaml\nversion: 1\nlimitz: []\n```\n")
    with pytest.raises(PolicyError, match="limitz"):
        Runner(ROOT / "README.md", tmp_path).run(block)
