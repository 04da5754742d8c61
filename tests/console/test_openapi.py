"""The document says what there is, no more and no less."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from starlette.routing import Route

from guardrail_mw.clusterwork.orders import ORDERS
from guardrail_mw.console.api import Api
from guardrail_mw.console.app import openapi
from guardrail_mw.engine import Guardrail
from guardrail_mw.engine.desk import ACTS

from .kit import WHY, Operated

pytestmark = pytest.mark.anyio

METHODS = {"get", "put", "post", "delete"}


def operations() -> dict[tuple[str, str], dict[str, Any]]:
    """Every operation of the document, by method and path."""
    return {
        (method.upper(), path): operation
        for path, item in openapi()["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def valid(instance: Any, name: str) -> None:
    """Against one of the document's schemas."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": openapi()["components"]}
    Draft202012Validator(schema).validate(instance)


def test_it_has_every_route_and_nothing_else() -> None:
    every: list[Route] = Api(Guardrail({"version": 1}, environ={}), openapi()).routes()
    routes = [route for route in every if route.endpoint.__name__ != "only_post"]  # it only says 405
    there = {(method, route.path) for route in routes for method in route.methods or () if method != "HEAD"}
    assert set(operations()) == there


def test_every_act_of_an_operator_is_there() -> None:
    posted = {path.rpartition("/")[2] for method, path in operations() if method == "POST"}
    assert posted == {*ACTS, *ORDERS, "id", "link", "unlink", "decide", "split", "join"}


def test_each_operation_says_what_becomes_of_a_bad_token_and_a_bad_body() -> None:
    for (method, path), operation in operations().items():
        expected = {"200"} if path == "/live" else {"200", "401", "429"}
        expected |= {"400", "413", "415", "422"} if method in {"POST", "PUT"} else set()
        expected |= {"503"} if method in {"POST", "PUT"} and path != "/v1/accounts/id" else set()
        assert expected <= set(operation["responses"]), (method, path)
        assert (operation.get("security") == []) is (path == "/live")


def test_names_are_given_once() -> None:
    names = [operation["operationId"] for operation in operations().values()]
    assert len(names) == len(set(names))


async def test_it_is_served_as_it_is_written() -> None:
    assert await Operated().see("/openapi.json") == openapi()


async def test_what_is_answered_is_as_it_is_described() -> None:
    operated = Operated()
    account = await operated.account()
    await operated.do(f"/v1/accounts/{account}/label", slug="some", reason=WHY)
    await operated.do(f"/v1/accounts/{account}/override", what="shut", reason=WHY, until="1h")
    await operated.chats()
    valid(await operated.see(f"/v1/accounts/{account}"), "Standing")
    for event in (await operated.see("/v1/decisions"))["decisions"]:
        valid(event, "Event")
    for limit in (await operated.see(f"/v1/accounts/{account}/limits"))["limits"]:
        valid(limit, "Limit")
    for path in ("/nowhere", "/v1/decisions?n=0", "/v1/accounts/me"):
        valid((await operated.at("GET", path)).json, "Problem")
