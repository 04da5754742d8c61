"""Background work: clusters are worked out anew, by one process that the store elects.

It stands beside the engine, which therefore does not import it: the entry point `worker` of `guardrail_mw.services` leads here,
and a policy without `clusters:` never loads any of it, nor numpy and scipy, which it needs.
"""

from guardrail_mw.worker.worker import Worker

__all__ = ["Worker"]
