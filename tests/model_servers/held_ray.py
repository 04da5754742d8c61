"""Two replicas behind one guard on Ray Serve, with a model that waits. For `also` of `ray_serve.py`.

    python -m tests.model_servers.held_ray EXAMPLE FOLDER URL ADDRESS

They are a second application, `/held`, beside the one that runs at URL in the cluster at ADDRESS. Each takes one request at a
time, so that a second one goes to the other. Exit code 1: something was not as it should be.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray  # type: ignore[import-not-found,unused-ignore]  # only the part's own venv has it
from ray import serve  # type: ignore[import-not-found,unused-ignore]  # likewise

from guardrail_mw.testing.processes import free_port
from guardrail_mw.testing.servers import start

from .gate import ADDRESS, Gate
from .held import Served, Trial, policy, secrets
from .kit import ROOT

PREFIX = "/held"


def build() -> Any:
    """The example's app, but for its model and its policy. In the replica, which finds both by its environment."""
    import app  # type: ignore[import-not-found]  # the example's, whose folder is on the path
    from tests.model_servers import gate

    app.generate = gate.words
    app.POLICY = os.environ["GUARDRAIL_POLICY"]
    return app.build()


async def everybody(_: int) -> Callable[[], None]:
    """A replica that answers takes no other request: nothing is to be done."""
    return lambda: None


async def delete() -> None:
    """Take the application away; it is gone when its replicas are."""
    await asyncio.to_thread(serve.delete, PREFIX.strip("/"))


async def main(example: Path, folder: Path, url: str, address: str) -> bool:
    """Whether all was as it should be."""
    store = start("redis")
    try:
        async with Gate(free_port()) as gate:
            operators = free_port()
            file = policy(example, folder, operators)
            path = os.pathsep.join((str(ROOT), str(example)))
            variables = {**secrets(store.url), "GUARDRAIL_POLICY": str(file), ADDRESS: gate.address, "PYTHONPATH": path}
            await asyncio.to_thread(ray.init, address, log_to_driver=False)
            replicas = serve.deployment(
                num_replicas=2,
                max_ongoing_requests=1,
                ray_actor_options={"num_cpus": 0.1, "runtime_env": {"env_vars": variables}},
            )
            application = replicas(serve.ingress(build)()).bind()
            await asyncio.to_thread(serve.run, application, name=PREFIX.strip("/"), route_prefix=PREFIX)
            probes = (
                url + "/-/healthz",
                url + "/-/routes",
                *(url + PREFIX + each for each in ("/health", "/.guardrail/ready")),
            )
            served = Served(
                url=url + PREFIX, store=store.url, policy=file, operators=operators, probes=probes, runs_on=False,
                alone=everybody, stop=delete, messages=True,
            )  # fmt: skip
            return await Trial(served, gate).all()
    finally:
        store.stop()


if __name__ == "__main__":
    given = sys.argv[1:]
    sys.exit(0 if asyncio.run(main(Path(given[0]), Path(given[1]), given[2], Path(given[3]).read_text().strip())) else 1)
