"""A made-up service's traffic: ordinary people and operators, from ranges that are frozen.

It knows nothing of how accounts are judged, and may not import it. Start with `World`.
"""

from __future__ import annotations

from guardrail_mw.simulate.world.batch import Batch
from guardrail_mw.simulate.world.controls import permute
from guardrail_mw.simulate.world.ranges import ranges_hash
from guardrail_mw.simulate.world.scenario import Scenario, ScenarioError, load_scenario, reported
from guardrail_mw.simulate.world.world import World

__all__ = ["Batch", "Scenario", "ScenarioError", "World", "load_scenario", "permute", "ranges_hash", "reported"]
