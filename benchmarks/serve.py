"""The child process of `benchmarks.server`: one uvicorn with one candidate, until it is terminated."""

from __future__ import annotations

import argparse

import uvicorn
import uvloop

from benchmarks.candidates import Candidate, Case, available
from benchmarks.common import use_keys
from benchmarks.rates import ALLOW, DENY


async def serve(options: argparse.Namespace) -> None:
    """Build the candidate on the server's own loop and serve it."""
    rates = (DENY if options.deny else ALLOW)[options.limits]
    url = f"redis://127.0.0.1:{options.redis}/0"
    found = await available(options.candidate, Case(rates, "redis", url, port=options.redis))
    if not isinstance(found, Candidate):
        raise SystemExit(found)
    await uvicorn.Server(
        uvicorn.Config(
            found.app,
            host="127.0.0.1",
            port=options.port,
            loop="uvloop",
            http="httptools",
            access_log=False,
            log_level="warning",
        )
    ).serve()
    await found.close()


def main() -> None:
    """Parse, serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("candidate")
    parser.add_argument("--limits", type=int, required=True, choices=sorted(ALLOW))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--redis", type=int, required=True)
    parser.add_argument("--deny", action="store_true")
    options = parser.parse_args()
    use_keys()
    uvloop.run(serve(options))


if __name__ == "__main__":
    main()
