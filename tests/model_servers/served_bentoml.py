"""The example of BentoML, but for its model, its policy and its two workers. `held_bentoml.py` serves it."""

from __future__ import annotations

import os

import service  # type: ignore[import-not-found]  # the example's, whose folder is on the path

from . import gate

service.generate = gate.words
Shout = service.Shout
Shout.config["workers"] = 2
Shout.middlewares[:] = [(kind, {**options, "policy": os.environ["GUARDRAIL_POLICY"]}) for kind, options in Shout.middlewares]
