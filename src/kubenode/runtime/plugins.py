"""pluggy registers, a typed registry acts. One manager a plugin, so that blame is certain.

A plugin that cannot be loaded is a Problem, named with its distribution and version; the rest works.
What is somebody else's runs in a daemon thread with a time limit: a hook that connects to a cloud that
does not answer must not keep the controller from its start.
"""

import difflib
import importlib.metadata
import inspect
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

import attrs
import cattrs
import pluggy

from kubenode.core.errors import InvalidObjectError, PluginError, Problem
from kubenode.core.hookspecs import PROJECT, ComponentDriver, Hooks, Provider, RemedyAction
from kubenode.core.model.meta import LABEL, matches

P = TypeVar("P")
R = TypeVar("R")

HOOK_LIMIT = timedelta(seconds=10)
ENTRY_POINTS = "kubenode"
KINDS: Mapping[str, type] = MappingProxyType(
    {"providers": Provider, "components": ComponentDriver, "remedies": RemedyAction}
)
HOOKS: Mapping[str, str] = MappingProxyType({f"register_{kind}": kind for kind in KINDS})

_STRICT = cattrs.Converter(forbid_extra_keys=True)


def structured(raw: Mapping[str, Any], shape: type[P], where: str) -> P:
    """Read free-form parameters into a plugin's own class.

    Raises:
        InvalidObjectError: every problem at once, each with its path below `where`.
    """
    try:
        return _STRICT.structure(raw, shape)
    except Exception as error:
        texts = cattrs.transform_error(error, path=where)
        raise InvalidObjectError(tuple(Problem(where=where, what=text) for text in texts)) from None


@attrs.frozen
class PluginSettings:
    """What the operator wrote, by plugin name."""

    sections: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)

    def of(self, name: str, shape: type[P], /) -> P:
        """Give the section `name` as a `shape`."""
        return structured(self.sections.get(name, {}), shape, f"settings.{name}")


@attrs.frozen(kw_only=True)
class Plugins:
    """Drivers by kind and name. Nothing is global: every engine is given its own."""

    providers: Mapping[str, Provider[Any]] = attrs.field(factory=dict)
    components: Mapping[str, ComponentDriver[Any]] = attrs.field(factory=dict)
    remedies: Mapping[str, RemedyAction[Any]] = attrs.field(factory=dict)
    problems: tuple[Problem, ...] = ()
    origins: Mapping[str, str] = attrs.field(factory=dict)

    @classmethod
    def given(
        cls, *, providers: Iterable[Provider[Any]] = (), components: Iterable[ComponentDriver[Any]] = (),
        remedies: Iterable[RemedyAction[Any]] = (),
    ) -> "Plugins":  # fmt: skip
        """Take drivers from the caller, who hears of every fault at once.

        Raises:
            PluginError: a driver is not one; each is named by argument and position.
        """
        drivers: Mapping[str, list[Any]] = {
            "providers": list(providers), "components": list(components), "remedies": list(remedies),
        }  # fmt: skip
        bad = [
            problem for kind, found in drivers.items() for index, driver in enumerate(found)
            for problem in _looked_at(f"{kind}[{index}]", driver, KINDS[kind])
        ]  # fmt: skip
        if bad:
            raise PluginError(tuple(bad))
        return _indexed([("arguments", drivers)], [])

    @classmethod
    def discover(
        cls, settings: Mapping[str, Mapping[str, Any]] | None = None, *, limit: timedelta = HOOK_LIMIT
    ) -> "Plugins":
        """Load every installed plugin; what is wrong with one is in `problems`, and the rest works.

        Args:
            settings: what the operator wrote, by plugin name.
            limit: after which an import or a hook is given up; its thread is left behind, and ends with the process.
        """
        found: list[tuple[str, Mapping[str, list[Any]]]] = []
        bad: list[Problem] = []
        points = importlib.metadata.entry_points(group=ENTRY_POINTS)
        for point in sorted(points, key=lambda point: (point.name, point.value)):
            label = f"{point.name} ({point.dist.name} {point.dist.version})" if point.dist else point.name
            plugin = _within(limit, label, "import", point.load)
            if isinstance(plugin, Problem):
                bad.append(plugin)
                continue
            drivers, problems = registered(label, plugin, PluginSettings(settings or {}), limit=limit)
            found.append((label, drivers))
            bad += problems
        return _indexed(found, bad)


def registered(
    label: str, plugin: object, settings: PluginSettings, *, limit: timedelta = HOOK_LIMIT
) -> tuple[Mapping[str, list[Any]], list[Problem]]:
    """Call the hooks of one plugin; give its sound drivers by kind, and what is wrong with the rest."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    found: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    try:
        manager.register(plugin, name=label)
    except pluggy.PluginValidationError as error:
        return found, [Problem(where=label, what=" ".join(str(error).split()))]
    bad = [*_misspelt(label, manager), *_unmarked(label, plugin, manager)]
    for hook, kind in HOOKS.items():
        for impl in getattr(manager.hook, hook).get_hookimpls():
            drivers = _within(limit, label, f"{hook}()", partial(_drivers, impl, settings))
            if isinstance(drivers, Problem):
                bad.append(drivers)
                continue
            for index, driver in enumerate(drivers):
                faults = _looked_at(f"{label}, {hook}()[{index}]", driver, KINDS[kind])
                bad += faults
                if not faults:
                    found[kind].append(driver)
    return found, bad


def _drivers(impl: pluggy.HookImpl, settings: PluginSettings) -> list[Any]:
    drivers: Any = impl.function(*[settings for _ in impl.argnames])
    return [*drivers]


def _within(limit: timedelta, label: str, what: str, call: Callable[[], R]) -> R | Problem:
    """Call what is somebody else's; give its answer, or a Problem when it raises or is late."""
    answers: list[R | Problem] = []

    def run() -> None:
        try:
            answers.append(call())
        except BaseException as error:  # sys.exit() at import ends the plugin and not us
            text = f"{what} raised {type(error).__name__}: {error}"
            answers.append(Problem(where=label, what=text))

    thread = threading.Thread(target=run, name=f"{label} {what}", daemon=True)
    thread.start()
    thread.join(limit.total_seconds())
    if not answers:
        return Problem(
            where=label, what=f"{what} gave no answer within {limit.total_seconds():g} s, and is given up",
            fix="connect in the driver's methods, not at start",
        )  # fmt: skip
    return answers[0]


def _misspelt(label: str, manager: pluggy.PluginManager) -> Iterable[Problem]:
    for name in sorted(vars(manager.hook)):
        caller = getattr(manager.hook, name)
        if not name.startswith("_") and getattr(caller, "spec", None) is None:
            yield Problem(where=label, what=f"unknown hook {name!r}", fix=_near(name, HOOKS))


def _unmarked(label: str, plugin: object, manager: pluggy.PluginManager) -> Iterable[Problem]:
    for hook in HOOKS:
        known = getattr(manager.hook, hook).get_hookimpls()
        if getattr(plugin, hook, None) is not None and not known:
            yield Problem(
                where=label, what=f"{hook} is defined but not marked", fix="put @kubenode.hookimpl above it"
            )


def _looked_at(where: str, driver: object, protocol: type) -> list[Problem]:
    """Say what keeps an object from being a driver, even when looking at it raises."""
    try:
        return list(_faults(where, driver, protocol))
    except Exception as error:
        return [Problem(where=where, what=f"{type(driver).__name__} raised {type(error).__name__}: {error}")]


def _faults(where: str, driver: object, protocol: type) -> Iterable[Problem]:
    """Say what keeps an object from being a driver, without calling it."""
    if isinstance(driver, type):
        yield Problem(
            where=where,
            what=f"{driver.__name__} is a class, not a driver",
            fix=f"pass {driver.__name__}(...)",
        )
        return
    kind = type(driver).__name__
    called = getattr(driver, "name", None)
    if called is not None and not (isinstance(called, str) and matches(f"^{LABEL}$", called)):
        yield Problem(
            where=where, what=f"{kind}.name is {called!r}", fix="write lower-case letters, digits and '-'"
        )
    for name, spec in vars(protocol).items():
        if name.startswith("_") or not (callable(spec) or isinstance(spec, property)):
            continue
        have = getattr(driver, name, None)
        if have is None:
            near = difflib.get_close_matches(name, [n for n in dir(driver) if not n.startswith("_")], n=1)
            fix = f"rename {near[0]!r}?" if near else f"add {name}"
            yield Problem(
                where=where, what=f"{kind} has no {name!r}, which every {protocol.__name__} needs", fix=fix
            )
        elif inspect.iscoroutinefunction(have):
            yield Problem(where=where, what=f"{kind}.{name} is async", fix="write a plain def")
        elif callable(spec) and not isinstance(spec, property) and not _callable_as(have, spec):
            wanted = ", ".join(list(inspect.signature(spec).parameters)[1:])
            yield Problem(
                where=where,
                what=f"{kind}.{name} cannot be called as {name}({wanted})",
                fix=f"def {name}(self, {wanted})",
            )


def _callable_as(have: Any, spec: Any) -> bool:
    arguments = list(inspect.signature(spec).parameters)[1:]
    try:
        inspect.signature(have).bind(*arguments)
    except TypeError:
        return False
    return True


def _near(word: str, words: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(words), n=1)
    return f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(sorted(words))


def _indexed(found: Iterable[tuple[str, Mapping[str, list[Any]]]], bad: list[Problem]) -> Plugins:
    """Index drivers by name; of a clash neither is used, since either could be the wrong one."""
    index: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    origins: dict[str, str] = {}
    clashed: set[tuple[str, str]] = set()
    for label, drivers in found:
        for kind, some in drivers.items():
            for driver in some:
                where = f"{kind}/{driver.name}"
                if where in origins:
                    clashed.add((kind, driver.name))
                    bad.append(Problem(
                        where=where, what=f"registered by {origins[where]} and by {label}",
                        fix="neither is used; uninstall one",
                    ))  # fmt: skip
                origins[where] = label
                index[kind][driver.name] = driver
    for kind, name in clashed:
        del index[kind][name]
    return Plugins(**index, problems=tuple(bad), origins=origins)
