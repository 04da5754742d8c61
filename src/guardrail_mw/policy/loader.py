"""From a file, a mapping or a name to a `Policy`, or to everything that is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from guardrail_mw.clusters.settings import ClustersSettings
from guardrail_mw.errors import PolicyError, Problem
from guardrail_mw.friction.settings import FrictionSettings
from guardrail_mw.friction.verification.settings import VerificationSettings
from guardrail_mw.identity.settings import IdentitySettings
from guardrail_mw.limits.settings import LimitSettings, ModelSettings, ReserveSettings
from guardrail_mw.limits.velocity import VelocitySettings
from guardrail_mw.policy import checks, merge
from guardrail_mw.policy.document import Policy, RouteSettings
from guardrail_mw.policy.endpoints import EndpointsSettings
from guardrail_mw.policy.environment import mask, substitute
from guardrail_mw.policy.nodes import MAX_PROBLEMS, Node, Path, Reader, dotted, scalar
from guardrail_mw.policy.translate import Found, translate
from guardrail_mw.risk.settings import RiskSettings

__all__ = ["Examined", "examine", "load", "loads"]

_T = TypeVar("_T", bound=BaseModel)


def load(
    source: str | os.PathLike[str] | Mapping[str, Any] | Policy,
    *,
    environ: Mapping[str, str] | None = None,
    without: Collection[str] = (),
) -> Policy:
    """Read a policy.

    Args:
        source: a file's path, the name of a policy that ships (`guardrail:balanced`), a mapping, or a policy (given back).
        environ: what `${NAME}` refers to; the process's environment unless given.
        without: sections that are not read, as if they did not stand there; not of a `Policy`.

    Raises:
        PolicyError: every problem that was found, in the order of the document and then of what it extends.
    """
    if isinstance(source, Policy):
        return source
    return _Loading(environ, without).policy(source)


def loads(text: str | bytes, *, source: str = "<text>", environ: Mapping[str, str] | None = None) -> Policy:
    """Read a policy from YAML text; `source` is what problems call it, and a path that `extends` starts from.

    Raises:
        PolicyError: as `load`.
    """
    return _Loading(environ).policy(text.encode() if isinstance(text, str) else text, source)


class Examined(NamedTuple):
    """A policy or its problems, and the files that were read for it (or should have been): what to watch for changes."""

    policy: Policy | None
    error: PolicyError | None
    files: Mapping[str, str]
    """Path to the digest of what was read; empty where nothing could be."""


def examine(source: str | os.PathLike[str] | Mapping[str, Any], *, environ: Mapping[str, str] | None = None) -> Examined:
    """As `load`, without raising."""
    loading, policy, problems = _Loading(environ), None, None
    try:
        policy = loading.policy(source)
    except PolicyError as error:
        problems = error
    files = [name for name in loading.sources if not name.startswith((merge.BUILTIN, "<"))]
    return Examined(policy, problems, {name: loading.digests.get(name, "") for name in files})


class _Loading:
    """One document on its way."""

    def __init__(self, environ: Mapping[str, str] | None, without: Collection[str] = ()) -> None:
        self._environ = os.environ if environ is None else environ
        self._without = without
        self._reader = Reader()
        self.sources: list[str] = []
        self.digests: dict[str, str] = {}

    def policy(self, source: Any, name: str | None = None) -> Policy:
        try:
            root = self.tree(source, name)
        except PolicyError as error:
            raise PolicyError(_once(_sorted(self._reader.problems) + error.problems)) from error.__cause__
        problems = [*self._reader.problems, *_structure(root)]
        policy, found = _validate(root)
        masked = mask(root)
        problems += [_place(each, root, masked) for each in found]
        if problems or policy is None:
            raise PolicyError(_once(_sorted(problems)))
        return policy

    def tree(self, source: Any, name: str | None = None) -> Node:
        """The document's tree, what it extends merged in."""
        alone = not self.sources
        root = self._read(source, name)
        if not isinstance(root.value, dict):
            problem = Problem("", "is not a map of keys to values.", "Begin with `version: 1`.", root.source, root.line)
            raise PolicyError([problem])
        extends = root.value.get("extends")
        if extends is not None or not alone:
            self._version(root)
        if extends is not None and isinstance(extends.value, str):
            return merge.merge(self._base(extends), root)
        return root

    def _version(self, root: Node) -> None:
        """Each file of a chain is a policy of its own; merged, one's version would hide another's."""
        version = root.at(("version",))
        if version is None:
            self._reader.complain(root, ("version",), "is missing.", "Write `version: 1`.")
        elif version.value != 1 and len(self.sources) > 1:
            self._reader.complain(version, ("version",), "is not 1.", "Write `version: 1`.")

    def _read(self, source: Any, name: str | None) -> Node:
        """One document's tree, the environment put in."""
        mapping = isinstance(source, Mapping)
        name = name or ("<mapping>" if mapping else os.fspath(source))
        self.sources.append(name)
        if mapping:
            root = self._reader.mapping(source, name)
        else:
            text = source if isinstance(source, bytes) else merge.read(name)
            self.digests[name] = merge.digest(name, text)
            root = self._reader.text(text, name)
        for section in self._without if isinstance(root.value, dict) else ():
            root.value.pop(section, None)
        substitute(root, self._environ, self._reader)
        return root

    def _base(self, extends: Node) -> Node:
        """The tree of what is extended."""
        name = merge.locate(extends.value, extends.source)
        if name in [os.path.normpath(source) for source in self.sources]:
            chain = " → ".join([*self.sources, name])
            raise self._stop(extends, f"goes in a circle: {chain}.", "Extend a policy that stands by itself.")
        if len(self.sources) >= merge.MAX_CHAIN:
            raise self._stop(extends, f"makes a chain of more than {merge.MAX_CHAIN}.", "Write it flatter.")
        text = b""
        problem: Problem | None = None
        try:
            text = merge.read(name)
        except PolicyError as error:
            self.sources.append(name)
            problem = error.problems[0]
        if problem is not None:  # not in the handler: the cause names the file, which may come from the environment
            raise self._stop(extends, f"names a policy that {problem.message}", problem.hint)
        return self.tree(text, name)

    def _stop(self, extends: Node, message: str, hint: str) -> PolicyError:
        masked = mask(extends)
        return PolicyError([Problem("extends", masked(message), masked(hint), extends.source, extends.line)])


def _structure(root: Node) -> Iterator[tuple[int, Problem]]:
    """Keys that were left empty: a forgotten `when:` must not mean everybody. A plugin may give null a meaning."""
    seen: set[int] = set()
    for path, node in root.walk():
        if node.value is None and path and "with" not in path and id(node) not in seen:
            seen.add(id(node))
            yield _place(Found(path, "is empty.", "Give it a value, or leave the key out.", keyed=True), root, str)


def _validate(root: Node) -> tuple[Policy | None, list[Found]]:
    """The policy, or what is wrong with it. Where a number or boolean is expected the environment may give it as text."""
    policy, errors = _attempt(root)
    again = False
    for error in errors:
        node = root.at(tuple(part for part in error["loc"]))
        if node is not None and node.substituted and isinstance(node.value, str):
            meant = scalar(node.value)
            if meant is not None and not isinstance(meant, str):
                node.value, again = meant, True
    if again:
        policy, errors = _attempt(root)
    if policy is not None:
        return policy, []
    found = [each for error in errors if error["loc"] or error["type"] != "problems" for each in translate(error, root)]
    found = _first(each for each in found if not _told(each.path, root))
    return None, found + [Found(*finding) for finding in checks.check(_parts(root))]


def _told(path: Path, root: Node) -> bool:
    """Whether what stands there has been complained of already: by the environment, or as empty (see `_structure`)."""
    node = root.at(path)
    return node is not None and (node.broken or (node.value is None and "with" not in path))


def _attempt(root: Node) -> tuple[Policy | None, list[Any]]:
    try:
        return Policy.model_validate(root.plain()), []
    except ValidationError as error:
        return None, error.errors(include_url=False, include_input=False)[:MAX_PROBLEMS]


def _first(found: Iterable[Found]) -> list[Found]:
    """Of the branches of a union, which all say of one place what stands there, the first speaks."""
    kept: dict[tuple[Path, str], Found] = {}
    for each in found:
        kept.setdefault((each.path, each.message.partition(";")[0]), each)
    return list(kept.values())


def _parts(root: Node) -> checks.Parts:
    """What is sound by itself."""
    limits, routes, models = _items(root, "limits"), _items(root, "routes"), _items(root, "models")
    sound = {index: route for index, node in routes.items() if (route := _sound(RouteSettings, node)) is not None}
    identity = _sound(IdentitySettings, root.at(("identity",)))
    paths = TypeAdapter(list[str])
    written: set[str] = set()
    for node in routes.values():
        for key in ("path", "name"):
            value = node.at((key,))
            plain = value.plain() if value is not None else []
            with suppress(ValidationError):
                written |= set(paths.validate_python([plain] if isinstance(plain, str) else plain))
    velocity = _items(root, "velocity")
    rules = {index: rule for index, node in velocity.items() if (rule := _sound(VelocitySettings, node)) is not None}
    clusters = _sound(ClustersSettings, root.at(("clusters",)))
    said, endpoints = root.at(("verification",)), _sound(EndpointsSettings, root.at(("endpoints",)))
    verification = _sound(VerificationSettings, said) if said is not None else None
    return checks.Parts(
        limits={index: limit for index, node in limits.items() if (limit := _sound(LimitSettings, node)) is not None},
        routes=sound,
        models={key: model for key, node in models.items() if (model := _sound(ModelSettings, node)) is not None},
        reserve=_sound(ReserveSettings, root.at(("reserve",))) or ReserveSettings(),
        sources=checks.sources(identity) if identity is not None else None,
        limit_names={index: name for index, node in limits.items() if (name := merge.name_of(node)) is not None},
        model_names=set(models),
        route_names=written,
        velocity=rules,
        velocity_whole=len(rules) == len(velocity),
        risk=_sound(RiskSettings, root.at(("risk",))),
        friction=_sound(FrictionSettings, root.at(("friction",))),
        issuers=checks.issuers(identity) if identity is not None else None,
        organisations=clusters.organisations if clusters is not None else (),
        verification=verification,
        verification_whole=said is None or verification is not None,
        public=endpoints is None or endpoints.public_url is not None,
    )


def _items(root: Node, key: str) -> dict[Any, Node]:
    section = root.at((key,))
    if section is None:
        return {}
    if key == "models":
        return section.value if isinstance(section.value, dict) else {}
    return dict(enumerate(section.value)) if isinstance(section.value, list) else {}


def _sound(model: type[_T], node: Node | None) -> _T | None:
    with suppress(ValidationError):
        return model.model_validate(node.plain() if node is not None else {})
    return None


def _place(found: Found, root: Node, masked: Callable[[str], str]) -> tuple[int, Problem]:
    """Where a problem stands: its value's line, or its key's; what is missing stands where it is missing from."""
    node, path = root, found.path
    while (at := root.at(path)) is None:
        path = path[:-1]
    node = at
    line = node.line
    parent = root.at(path[:-1]) if path else None
    if parent is not None and isinstance(parent.value, dict) and path == found.path:
        container = isinstance(node.value, dict | list)
        if found.keyed or container:
            line = parent.key_lines.get(str(path[-1]), line)
    return node.order, Problem(dotted(found.path), masked(found.message), masked(found.hint), node.source, line)


def _sorted(problems: list[tuple[int, Problem]]) -> list[Problem]:
    return [problem for _, problem in sorted(problems, key=lambda item: item[0])]


def _once(problems: list[Problem]) -> list[Problem]:
    """Each problem once, as many as anybody would read."""
    kept = list(dict.fromkeys(problems))
    if len(kept) <= MAX_PROBLEMS + 1:
        return kept
    more = Problem("", f"has {len(kept) - MAX_PROBLEMS} problems more.", "Mend these first.", kept[0].source)
    return [*kept[:MAX_PROBLEMS], more]
