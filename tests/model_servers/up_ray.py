"""The example of Ray Serve, as it is, on a cluster of its own: python up_ray.py PORT FILE. For `serve` of `ray_serve.py`.

As `serve run app:model`, but on a port that is given, with Ray's files in a temporary folder of a short name, which its sockets
need. The cluster's address goes to FILE.
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import ray  # type: ignore[import-not-found,unused-ignore]  # only the part's own venv has it
from ray import serve  # type: ignore[import-not-found,unused-ignore]  # likewise

MEMORY = 100 << 20
"""Bytes for the objects that Ray shares between processes: there are none to speak of."""


def main(port: int, address: Path, files: str) -> None:
    """Serve until SIGTERM."""
    import app  # type: ignore[import-not-found]  # the example's, whose folder is on the path

    ray.init("local", num_cpus=4, object_store_memory=MEMORY, include_dashboard=False, _temp_dir=files)
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())  # Ray's own handler ends this process at once
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(app.model)
    address.write_text(ray.get_runtime_context().gcs_address)
    print("The application is up.", flush=True)  # noqa: T201 - what `ready` waits for
    over.wait()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    with TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        main(int(sys.argv[1]), Path(sys.argv[2]), folder)
