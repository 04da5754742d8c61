"""One request to the operator's port of a server, and what its answers mean to who asked."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from guardrail_mw.cli.arguments import CALLED, called
from guardrail_mw.cli.output import Cannot

if TYPE_CHECKING:
    import httpx2

__all__ = ["Port", "client_of"]

_OTHER: Final = "The port is where the policy's `console.listen` says, not the app's own; --url names it."


class Port:
    """The port.

    Args:
        client: reaches it, with the token.
    """

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def ask(self, method: str, path: str, *, missing: bool = False, **rest: Any) -> dict[str, Any]:
        """The answer's JSON; with `missing`, {} where there is nothing.

        Raises:
            Cannot: it cannot be reached, or refuses.
        """
        import httpx2

        base = self._client.base_url
        try:
            answer = await self._client.request(method, path, **rest)
            said = answer.json()
        except httpx2.HTTPError as error:
            cure = "Is the server running, and has its policy a `console`, which is where its `listen` says?"
            raise Cannot(f"Nothing answers at {base} ({type(error).__name__}). {cure}") from error
        except ValueError as error:
            raise Cannot(f"{base} answered {answer.status_code}, and not as an operator's port does. {_OTHER}") from error
        if answer.is_success and isinstance(said, dict):
            return said
        said = said if isinstance(said, dict) else {}
        if answer.status_code == httpx2.codes.UNAUTHORIZED and said.get("code") in {"no_token", "invalid_token"}:
            raise Cannot("The operator's port does not accept the token. Set GUARDRAIL_OPERATOR_TOKEN to the server's.")
        if (
            said.get("code") in {"misuse", "unknown_case", "unknown_appeal", "unknown_cluster"}
            and said.get("argument") in CALLED
        ):
            argument = said["argument"]
            raise Cannot(called(argument, str(said.get("detail")).removeprefix(f"`{argument}` ")))
        if "code" not in said:
            raise Cannot(f"{base} answered {answer.status_code}, and is no operator's port. {_OTHER}")
        if missing and answer.status_code == httpx2.codes.NOT_FOUND:
            return {}
        why = said.get("detail") or said.get("title") or "no reason is given"
        raise Cannot(f"The operator's port refuses: {why} ({answer.status_code})")


def client_of(url: str, patience: float) -> httpx2.AsyncClient:
    """What reaches the port, with the token that the environment has.

    Args:
        url: the port's.
        patience: seconds that an answer may take.

    Raises:
        Cannot: it is no URL, or there is no token.
    """
    import httpx2

    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        fits = False
    if not fits:
        raise Cannot("--url is not the URL of an operator's port. Write http://127.0.0.1:9900, for instance.")
    token = os.environ.get("GUARDRAIL_OPERATOR_TOKEN", "").strip()
    if not token:
        raise Cannot("GUARDRAIL_OPERATOR_TOKEN is not set: the operator's port asks for it.")
    headers = {"authorization": f"Bearer {token}"}
    # No proxy that the environment names: the token goes to the port and to nobody else.
    return httpx2.AsyncClient(base_url=url, headers=headers, timeout=patience, follow_redirects=False, trust_env=False)
