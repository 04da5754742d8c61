"""The command line: `guardrail-mw`.

Exit codes: 0 all is well, 1 a problem was found, 2 the command was used wrongly or cannot do what it was asked to.
"""

from __future__ import annotations

import click

from guardrail_mw.cli.accounts import accounts
from guardrail_mw.cli.appeals import appeals
from guardrail_mw.cli.cases import cases
from guardrail_mw.cli.check import check
from guardrail_mw.cli.clusters import clusters
from guardrail_mw.cli.demo import demo
from guardrail_mw.cli.explain import explain
from guardrail_mw.cli.init import init
from guardrail_mw.cli.link import link
from guardrail_mw.cli.listing import plugins, schema
from guardrail_mw.cli.mode import mode
from guardrail_mw.cli.output import Group
from guardrail_mw.cli.replay import replay
from guardrail_mw.cli.simulate import simulate
from guardrail_mw.cli.trial import attempt
from guardrail_mw.cli.worker import worker

__all__ = ["main"]


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="guardrail-mw", message="%(prog)s %(version)s")
def main() -> None:
    """Rate limits, identity and friction in front of a model server.

    Exit codes: 0 all is well, 1 a problem was found, 2 the command was used wrongly or cannot do what it was asked to.
    """


for _command in (
    demo,
    init,
    check,
    attempt,
    explain,
    accounts,
    cases,
    appeals,
    clusters,
    link,
    worker,
    mode,
    replay,
    simulate,
    schema,
    plugins,
):
    main.add_command(_command)
