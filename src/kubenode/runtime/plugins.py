"""pluggy registers, a typed registry acts. One manager a plugin, so that blame is certain.

A plugin that cannot be loaded is a Problem, named with its distribution and version; the rest works.
What is somebody else's runs in a daemon thread with a time limit: a hook that connects to a cloud that
does not answer must not keep the controller from its start.
"""

import importlib.metadata
import threading
import tomllib
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import attrs
import pluggy

from kubenode.core.errors import InvalidObjectError, PluginError, Problem
from kubenode.core.hookspecs import PROJECT, ComponentDriver, Hooks, Inspector, Provider, RemedyAction
from kubenode.core.reading import near
from kubenode.core.review import Reviewer
from kubenode.runtime.parameters import structured
from kubenode.runtime.soundness import driver_faults, function_faults, no_lists, no_mappings, twins

P = TypeVar("P")
R = TypeVar("R")

ARGUMENTS = "arguments"
"""Where what the caller gave comes from."""
NONE: Mapping[str, Any] = MappingProxyType({})
HOOK_LIMIT = timedelta(seconds=10)
ENTRY_POINTS = "kubenode"
_NOT_ON_HOSTS = frozenset(
    {
        "kubenode-providers",
        "kubenode-aliyun",
        "kubenode-aws",
        "kubenode-clusterapi",
        "kubenode-remedies",
        "kubenode-inspections",
    }
)
KINDS: Mapping[str, type] = MappingProxyType(
    {
        "providers": Provider,
        "components": ComponentDriver,
        "remedies": RemedyAction,
        "inspections": Inspector,
    }
)
FUNCTIONS = ("reviewers", "sinks")
"""What is a function of one argument, by name, and no driver."""
HOOKS: Mapping[str, str] = MappingProxyType({f"register_{kind}": kind for kind in (*KINDS, *FUNCTIONS)})


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
    inspections: Mapping[str, Inspector[Any]] = attrs.field(factory=dict)
    reviewers: Mapping[str, Reviewer] = attrs.field(factory=dict)
    sinks: Mapping[str, Callable[[Any], None]] = attrs.field(factory=dict)
    problems: tuple[Problem, ...] = ()
    origins: Mapping[str, str] = attrs.field(factory=dict)

    @classmethod
    def given(
        cls, *, providers: Iterable[Provider[Any]] = (), components: Iterable[ComponentDriver[Any]] = (),
        remedies: Iterable[RemedyAction[Any]] = (), inspections: Iterable[Inspector[Any]] = (),
        reviewers: Mapping[str, Reviewer] = NONE, sinks: Mapping[str, Callable[[Any], None]] = NONE,
    ) -> "Plugins":  # fmt: skip
        """Take drivers and functions from the caller, who hears of every fault at once; no installed plugin is looked for.

        Args:
            providers: drivers of clouds.
            components: drivers of components.
            remedies: what rungs of a NodeRemedier name.
            inspections: what hooks of a rollout name; asked about a closed batch.
            reviewers: by name, asked before a permit is granted; they veto or narrow.
            sinks: by name, told every decision.

        Raises:
            PluginError: one is none, or two have one name; each is named by argument and position.
        """
        functions: Mapping[str, Mapping[str, Any]] = {"reviewers": reviewers, "sinks": sinks}
        lists = {
            "providers": providers, "components": components, "remedies": remedies, "inspections": inspections,
        }  # fmt: skip
        if loose := [*no_lists(lists), *no_mappings(functions)]:
            raise PluginError(tuple(loose))
        drivers: Mapping[str, list[Any]] = {kind: list(given) for kind, given in lists.items()}
        bad = [
            problem for kind, found in drivers.items() for index, driver in enumerate(found)
            for problem in driver_faults(f"{kind}[{index}]", driver, KINDS[kind])
        ]  # fmt: skip
        bad += [
            problem for kind, given in functions.items() for name, function in given.items()
            for problem in function_faults(f"{kind}[{name!r}]", name, function)
        ]  # fmt: skip
        if not bad:
            bad = [problem for kind, found in drivers.items() for problem in twins(kind, found)]
        if bad:
            raise PluginError(tuple(bad))
        everything = {
            **drivers,
            **{kind: [*given.items()] for kind, given in functions.items()},
        }
        return _indexed([(ARGUMENTS, everything)], [])

    @classmethod
    def discover(
        cls, settings: Mapping[str, Mapping[str, Any]] | Path | str | None = None, *, limit: timedelta = HOOK_LIMIT,
        providers: Iterable[Provider[Any]] = (), components: Iterable[ComponentDriver[Any]] = (),
        remedies: Iterable[RemedyAction[Any]] = (), inspections: Iterable[Inspector[Any]] = (),
        reviewers: Mapping[str, Reviewer] = NONE, sinks: Mapping[str, Callable[[Any], None]] = NONE,
    ) -> "Plugins":  # fmt: skip
        """Load every installed plugin, and take your own drivers and functions.

        What is wrong with an installed plugin is in `problems`, and the rest works. What you give stands in
        for what is installed under the same name.

        Args:
            settings: what the operator wrote, by plugin name; or the path of a TOML file with a table a plugin.
            limit: after which an import or a hook is given up; its thread is left behind, and ends with the process.
            providers: as for `given`; likewise those that follow.
            components: drivers of components.
            remedies: what rungs of a NodeRemedier name.
            inspections: what hooks of a rollout name; asked about a closed batch.
            reviewers: by name, asked before a permit is granted.
            sinks: by name, told every decision.

        Raises:
            PluginError: what you gave is no driver or function.
            InvalidObjectError: the settings cannot be read.
        """
        mine = cls.given(
            providers=providers, components=components, remedies=remedies, inspections=inspections,
            reviewers=reviewers, sinks=sinks,
        )  # fmt: skip
        written = settings_of(settings) if isinstance(settings, str | Path) else settings
        return _joined(_installed(PluginSettings(written or {}), limit), mine)

    @classmethod
    def on_host(cls) -> "Plugins":
        """Load every installed plugin but those of ours that bring no component drivers: an agent would keep 2 MiB for nothing."""
        return _installed(PluginSettings({}), HOOK_LIMIT, without=_NOT_ON_HOSTS)


def _installed(settings: PluginSettings, limit: timedelta, without: Iterable[str] = ()) -> Plugins:
    """Load the installed plugins, but for entry points of some names."""
    found: list[tuple[str, Mapping[str, list[Any]]]] = []
    bad: list[Problem] = []
    points = importlib.metadata.entry_points(group=ENTRY_POINTS)
    for point in sorted(points, key=lambda point: (point.name, point.value)):
        if point.name in without:
            continue
        label = f"{point.name} ({point.dist.name} {point.dist.version})" if point.dist else point.name
        plugin = _within(limit, label, "import", point.load)
        if isinstance(plugin, Problem):
            bad.append(plugin)
            continue
        drivers, problems = registered(label, plugin, settings, limit=limit)
        found.append((label, drivers))
        bad += problems
    return _indexed(found, bad)


def registered(
    label: str, plugin: object, settings: PluginSettings, *, limit: timedelta = HOOK_LIMIT
) -> tuple[Mapping[str, list[Any]], list[Problem]]:
    """Call the hooks of one plugin; give its sound drivers by kind, and what is wrong with the rest."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    found: dict[str, list[Any]] = {kind: [] for kind in HOOKS.values()}
    try:
        manager.register(plugin, name=label)
    except pluggy.PluginValidationError as error:
        return found, [Problem(where=label, what=" ".join(str(error).split()))]
    bad = [*_misspelt(label, manager), *_unmarked(label, plugin, manager)]
    for hook, kind in HOOKS.items():
        for impl in getattr(manager.hook, hook).get_hookimpls():
            asked = _drivers if kind in KINDS else _functions
            given = _within(limit, label, f"{hook}()", partial(asked, impl, settings))
            if isinstance(given, Problem):
                bad.append(given)
                continue
            for index, one in enumerate(given):
                faults = (
                    driver_faults(f"{label}, {hook}()[{index}]", one, KINDS[kind])
                    if kind in KINDS
                    else list(function_faults(f"{label}, {hook}()[{one[0]!r}]", *one))
                )
                bad += faults
                if not faults:
                    found[kind].append(one)
    return found, bad


def _drivers(impl: pluggy.HookImpl, settings: PluginSettings) -> list[Any]:
    drivers: Any = impl.function(*[settings for _ in impl.argnames])
    return [*drivers]


def _functions(impl: pluggy.HookImpl, settings: PluginSettings) -> list[Any]:
    functions: Any = impl.function(*[settings for _ in impl.argnames])
    return [*dict(functions).items()]


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
            yield Problem(where=label, what=f"unknown hook {name!r}", fix=near(name, sorted(HOOKS)))


def _unmarked(label: str, plugin: object, manager: pluggy.PluginManager) -> Iterable[Problem]:
    for hook in HOOKS:
        known = getattr(manager.hook, hook).get_hookimpls()
        if getattr(plugin, hook, None) is not None and not known:
            yield Problem(
                where=label, what=f"{hook} is defined but not marked", fix="put @kubenode.hookimpl above it"
            )


def _indexed(found: Iterable[tuple[str, Mapping[str, list[Any]]]], bad: list[Problem]) -> Plugins:
    """Index drivers by name; of a clash neither is used, since either could be the wrong one."""
    index: dict[str, dict[str, Any]] = {kind: {} for kind in HOOKS.values()}
    origins: dict[str, str] = {}
    clashed: set[tuple[str, str]] = set()
    for label, drivers in found:
        for kind, some in drivers.items():
            for one in some:
                name, driver = (one.name, one) if kind in KINDS else one
                where = f"{kind}/{name}"
                if where in origins:
                    clashed.add((kind, name))
                    bad.append(Problem(
                        where=where, what=f"registered by {origins[where]} and by {label}",
                        fix="neither is used; uninstall one",
                    ))  # fmt: skip
                origins[where] = label
                index[kind][name] = driver
    for kind, name in clashed:
        del index[kind][name]
    return Plugins(**index, problems=tuple(bad), origins=origins)


def _joined(installed: Plugins, mine: Plugins) -> Plugins:
    """Let what the caller gave stand in for what is installed; a clash it settles is none."""
    settled = mine.origins.keys()
    return Plugins(
        **{kind: {**getattr(installed, kind), **getattr(mine, kind)} for kind in HOOKS.values()},
        problems=tuple(problem for problem in installed.problems if problem.where not in settled),
        origins={**installed.origins, **mine.origins},
    )


def settings_of(path: Path | str) -> Mapping[str, Mapping[str, Any]]:
    """Read a TOML file with a table a plugin, as `kubenode.toml`.

    Raises:
        InvalidObjectError: it cannot be read, or holds what is in no table.
    """
    try:
        found = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        problem = Problem(where="settings", what=f"cannot be read: {error.strerror or error}", file=str(path))
        raise InvalidObjectError((problem,)) from error
    except ValueError as error:  # no TOML, or no UTF-8
        problem = Problem(where="settings", what=f"is no TOML: {error}", file=str(path))
        raise InvalidObjectError((problem,)) from None
    loose = tuple(
        Problem(where=f"settings.{key}", what="is in no table", fix=f"write [plugin] above {key} = ...", file=str(path))
        for key, value in found.items() if not isinstance(value, dict)
    )  # fmt: skip
    if loose:
        raise InvalidObjectError(loose)
    return found
