"""The TypeScript example, compiled by npm's compiler beside npm's packages."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from ..npm import install  # noqa: TID252 - of all tests

__all__ = ["compiled"]

EXAMPLE = Path(__file__).parents[2] / "examples" / "typescript" / "guardrail-fetch.ts"
PACKAGES = ("@anthropic-ai/sdk", "openai", "typescript@5")
COMPILE = (
    "--strict", "--noUncheckedIndexedAccess", "--target", "es2023", "--module", "nodenext", "--skipLibCheck",
    "--lib", "es2023,dom,dom.iterable", "--allowImportingTsExtensions", "--rewriteRelativeImportExtensions",
)  # fmt: skip
USAGE = """
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { solving } from "./guardrail-fetch.ts";

export const clients = [new OpenAI({ fetch: solving(fetch) }), new Anthropic({ fetch: solving(fetch, { longest: 5 }) })];
"""


def compiled(script: Path, folder: Path) -> Path:
    """A script beside what the example compiles to, and the official clients; in a folder outside the repository."""
    install(folder, *PACKAGES)
    shutil.copy(EXAMPLE, folder)
    (folder / "usage.ts").write_text(USAGE)
    for name, options in ((EXAMPLE.name, ["--erasableSyntaxOnly"]), ("usage.ts", ["--noEmit"])):
        command = [str(folder / "node_modules" / ".bin" / "tsc"), *COMPILE, *options, name]
        made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
        assert made.returncode == 0, made.stdout
    return Path(shutil.copy(script, folder))
