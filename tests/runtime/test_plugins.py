"""Plugins: a sound one is indexed, a broken one is named and costs nobody else anything."""

import threading
import types
from collections.abc import Callable, Iterable
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import attrs
import pytest

from kubenode import hookimpl
from kubenode.core.errors import InvalidObjectError, PluginError, Problem
from kubenode.core.review import Allow
from kubenode.providers import MemoryProvider
from kubenode.remedies import RebootRemedy
from kubenode.runtime.parameters import structured
from kubenode.runtime.plugins import (
    Plugins,
    PluginSettings,
    _indexed,
    _joined,
    registered,
    settings_of,
)

SETTINGS = PluginSettings()


def plugin(**functions: Callable[..., Any]) -> types.ModuleType:
    """A module with these functions."""
    module = types.ModuleType("third_party")
    vars(module).update(functions)
    return module


def problems(**functions: Callable[..., Any]) -> list[str]:
    """What is wrong with a plugin."""
    return [
        str(problem) for problem in registered("rack (kubenode-rack 0.3.0)", plugin(**functions), SETTINGS)[1]
    ]


def test_what_is_shipped_is_found_by_entry_points() -> None:
    """Ours go through the public hooks, with their distribution and version."""
    found = Plugins.discover()
    assert found.problems == ()
    assert sorted(found.components) == [
        "artifact",
        "containerd",
        "file",
        "kernel",
        "kubelet",
        "kubenode-agent",
        "package",
        "unit",
    ]
    assert sorted(found.remedies) == [
        "confirm-event", "drain-and-reinstall-component", "reboot", "reboot-instance", "reinstall-component", "replace", "restart-unit",
    ]  # fmt: skip
    assert sorted(found.providers) == ["aliyun", "aws", "clusterapi", "memory"]
    assert sorted(found.inspections) == ["prometheus"]
    assert found.origins["remedies/reboot"] == f"kubenode-remedies (kubenode {version('kubenode')})"


def test_a_host_has_all_component_drivers_and_nothing_else_of_ours() -> None:
    """Plugins of others are loaded whole: what they register is known only then."""
    found, all_of_it = Plugins.on_host(), Plugins.discover()
    assert found.problems == ()
    assert found.components.keys() == all_of_it.components.keys()
    assert (dict(found.providers), dict(found.remedies), dict(found.inspections)) == ({}, {}, {})


def test_a_misspelt_hook_is_told_with_the_right_word() -> None:
    """Pluggy registers it silently; we do not."""

    @hookimpl
    def register_provider() -> Iterable[Any]:
        return [MemoryProvider()]

    (text,) = problems(register_provider=register_provider)
    assert "unknown hook 'register_provider'" in text
    assert "did you mean 'register_providers'?" in text
    assert text.startswith("rack (kubenode-rack 0.3.0)")


def test_an_unmarked_hook_is_told() -> None:
    """A forgotten decorator is no silent nothing."""
    (text,) = problems(register_providers=lambda: [MemoryProvider()])
    assert "defined but not marked" in text


def test_a_hook_that_raises_costs_only_itself() -> None:
    """What it raised is told; the other hook of the same plugin still counts."""

    @hookimpl
    def register_providers() -> Iterable[Any]:
        raise RuntimeError("no cloud today")

    @hookimpl
    def register_remedies() -> Iterable[Any]:
        return [RebootRemedy()]

    module = plugin(register_providers=register_providers, register_remedies=register_remedies)
    found, bad = registered("rack", module, SETTINGS)
    assert [str(problem) for problem in bad] == [
        "rack: register_providers() raised RuntimeError: no cloud today"
    ]
    assert [driver.name for driver in found["remedies"]] == ["reboot"]


class Async(MemoryProvider):
    """A provider whose create is a coroutine."""

    async def create(self, request: Any) -> Any:  # type: ignore[override]
        """Do nothing."""


class Narrow(MemoryProvider):
    """A provider whose find takes no cursor."""

    def find(self, tags: Any) -> Any:  # type: ignore[override]
        """Do nothing."""


class Halved:
    """A remedy that lacks plan, and has a word near it."""

    name = "halved"
    params = type(None)
    disruption = None

    def plans(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("driver", "kind", "text"),
    [
        (MemoryProvider, "providers", "providers[0]: MemoryProvider is a class, not a driver"),
        (Async(), "providers", "Async.create is async"),
        (Narrow(), "providers", "Narrow.find cannot be called as find(tags, cursor)"),
        (Halved(), "remedies", "Halved has no 'plan'"),
    ],
)
def test_your_own_arguments_raise_at_once(driver: Any, kind: str, text: str) -> None:
    """A driver that is none is refused before anything starts, with what to write."""
    with pytest.raises(PluginError) as caught:
        Plugins.given(**{kind: [driver]})
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"providers": MemoryProvider()}, "providers: a value of type MemoryProvider is no list of drivers\n    fix: providers=[...]"),
        ({"remedies": {"halved": Halved()}}, "remedies: a value of type dict is no list of drivers"),
        ({"components": "chrony"}, "components: a value of type str is no list of drivers"),
        ({"reviewers": print}, "reviewers: a value of type builtin_function_or_method gives no function a name"),
        ({"sinks": [print]}, 'sinks: a value of type list gives no function a name\n    fix: sinks={"name": function}'),
    ],
)  # fmt: skip
@pytest.mark.parametrize("take", [Plugins.given, Plugins.discover])
def test_what_is_given_in_no_list_or_without_a_name_is_told(take: Any, given: Any, text: str) -> None:
    """Not one by one, as if it were its letters or its keys."""
    with pytest.raises(PluginError) as caught:
        take(**given)
    assert str(caught.value).startswith(f"1 plugin problem\n  {text}")


def test_of_two_installed_with_one_name_neither_is_used() -> None:
    """Either could be the wrong one; both are named."""
    drivers = {"remedies": [RebootRemedy()]}
    found = _indexed([("rack (kubenode-rack 1.0)", drivers), ("row (kubenode-row 2.0)", drivers)], [])
    assert found.remedies == {}
    assert "registered by rack (kubenode-rack 1.0) and by row (kubenode-row 2.0)" in str(found.problems[0])


def test_two_of_your_own_with_one_name_raise() -> None:
    """They are yours to tell apart; both are named by position."""
    with pytest.raises(PluginError) as caught:
        Plugins.given(remedies=[RebootRemedy(), RebootRemedy()])
    assert "remedies[1]: is named 'reboot', as remedies[0] is" in str(caught.value)


class Mild(RebootRemedy):
    """Your own idea of a reboot."""


def test_your_own_stands_in_for_an_installed_one() -> None:
    """What you give is meant: the installed driver of that name is not used, and that is no problem."""
    mine = Mild()
    found = Plugins.discover(remedies=[mine])
    assert found.remedies["reboot"] is mine
    assert found.origins["remedies/reboot"] == "arguments"
    assert "restart-unit" in found.remedies
    assert found.problems == ()


def test_your_own_settles_a_clash_of_installed_ones() -> None:
    """It is used, and nobody is told to uninstall one."""
    drivers = {"remedies": [RebootRemedy()]}
    clash = _indexed([("rack", drivers), ("row", drivers)], [Problem(where="other", what="is broken")])
    mine = Plugins.given(remedies=[Mild()])
    found = _joined(clash, mine)
    assert found.remedies == mine.remedies
    assert [problem.where for problem in found.problems] == ["other"]


def allow(request: Any) -> Allow:
    """Allow all."""
    return Allow()


def test_reviewers_and_sinks_are_taken_by_name() -> None:
    """From the caller, and from the hooks of an installed plugin."""
    told: list[Any] = []
    found = Plugins.given(reviewers={"freeze": allow}, sinks={"audit": told.append})
    assert (found.reviewers, found.sinks) == ({"freeze": allow}, {"audit": told.append})

    @hookimpl
    def register_reviewers() -> Any:
        return {"calendar": allow}

    @hookimpl
    def register_sinks(settings: Any) -> Any:
        return {"log": told.append, "Bad Name": told.append}

    module = plugin(register_reviewers=register_reviewers, register_sinks=register_sinks)
    drivers, bad = registered("ops", module, SETTINGS)
    assert drivers["reviewers"] == [("calendar", allow)]
    assert drivers["sinks"] == [("log", told.append)]
    assert [str(one).splitlines()[0] for one in bad] == [
        "ops, register_sinks()['Bad Name']: its name is 'Bad Name'"
    ]


class Deferred:
    """An object that can be called, but not as a plain function."""

    async def __call__(self, request: Any) -> Any:
        """Do nothing."""


async def waits(request: Any) -> Any:
    """Do nothing."""


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (waits, "reviewers['freeze']: is async\n    fix: write a plain def"),
        (Deferred(), "reviewers['freeze']: is async"),
        (
            Deferred,
            "reviewers['freeze']: Deferred is a class, not a function\n    fix: pass Deferred(...)",
        ),
        (7, "reviewers['freeze']: a value of type int cannot be called"),
        (lambda: None, "reviewers['freeze']: cannot be called with one argument"),
        (lambda request, more: None, "cannot be called with one argument"),
    ],
)
def test_what_is_no_reviewer_is_refused(function: Any, text: str) -> None:
    """Before anything starts; likewise what is no sink."""
    for kind in ("reviewers", "sinks"):
        with pytest.raises(PluginError) as caught:
            Plugins.discover(**{kind: {"freeze": function}})
        assert text.replace("reviewers", kind) in str(caught.value).replace("\n      ", "\n    ")


@attrs.frozen(kw_only=True)
class Shape:
    """What a plugin wants to be told."""

    url: str
    retries: int = 3


def test_parameters_are_read_strictly_with_every_problem() -> None:
    """An unknown key and a missing one are told in one go, each with its path."""
    assert structured({"url": "x"}, Shape, "settings.rack") == Shape(url="x")
    assert PluginSettings({"rack": {"url": "x"}}).of("rack", Shape) == Shape(url="x")
    with pytest.raises(InvalidObjectError) as caught:
        structured({"ulr": "x"}, Shape, "settings.rack")
    assert len(caught.value.problems) == 2
    assert "settings.rack" in str(caught.value)


def test_a_setting_that_is_missing_is_told_by_the_plugin_that_asked() -> None:
    """As `kubenode plugins` shows it: the hook, the section, the field."""

    @hookimpl
    def register_providers(settings: Any) -> Iterable[Any]:
        settings.of("rack", Shape)
        return []

    (text,) = problems(register_providers=register_providers)
    assert text == (
        "rack (kubenode-rack 0.3.0): register_providers() raised InvalidObjectError: settings.rack: required field missing @ $.url"
    )


def test_settings_are_read_from_a_file(tmp_path: Path) -> None:
    """A table a plugin; what is in none is told, and so is what is no TOML, or not there."""
    file = tmp_path / "kubenode.toml"
    file.write_text('[rack]\nurl = "http://rackd"\n')
    assert PluginSettings(settings_of(file)).of("rack", Shape) == Shape(url="http://rackd")
    assert Plugins.discover(file).problems == Plugins.discover(str(file)).problems == ()
    for text, said in (
        ('url = "x"\n', "settings.url: is in no table\n    fix: write [plugin] above url = ..."),
        ("[rack\n", "settings: is no TOML: "),
    ):
        file.write_text(text)
        with pytest.raises(InvalidObjectError) as caught:
            Plugins.discover(file)
        assert f"{file}: {said}" in str(caught.value)
    with pytest.raises(InvalidObjectError, match="settings: cannot be read: No such file"):
        Plugins.discover(tmp_path / "gone.toml")


def test_a_hook_that_hangs_is_given_up() -> None:
    """It is told by name, its thread does not hold the process, and the next hook is called."""
    free = threading.Event()

    @hookimpl
    def register_providers() -> Iterable[Any]:
        free.wait()
        return []

    @hookimpl
    def register_remedies() -> Iterable[Any]:
        return [RebootRemedy()]

    module = plugin(register_providers=register_providers, register_remedies=register_remedies)
    found, bad = registered("rack", module, SETTINGS, limit=timedelta(seconds=0.05))
    assert [str(problem) for problem in bad] == [
        "rack: register_providers() gave no answer within 0.05 s, and is given up\n"
        "    fix: connect in the driver's methods, not at start"
    ]
    assert [driver.name for driver in found["remedies"]] == ["reboot"]
    (left,) = [thread for thread in threading.enumerate() if thread.name == "rack register_providers()"]
    assert left.daemon
    free.set()
    left.join(5)


def test_a_hook_that_leaves_the_process_does_not() -> None:
    """Not even SystemExit or an endless recursion gets out of the hook."""

    @hookimpl
    def register_providers() -> Iterable[Any]:
        raise SystemExit("done")

    @hookimpl
    def register_remedies() -> Iterable[Any]:
        return register_remedies()

    texts = problems(register_providers=register_providers, register_remedies=register_remedies)
    assert "register_providers() raised SystemExit: done" in texts[0]
    assert "register_remedies() raised RecursionError" in texts[1]


class Shouting(RebootRemedy):
    """A remedy whose name cannot stand in an object."""

    name = "RE BOOT"


class Moody(RebootRemedy):
    """A remedy that cannot even be asked for its name."""

    @property
    def name(self) -> str:  # type: ignore[override]
        """Raise."""
        raise RuntimeError("not today")


def test_a_name_that_is_none_is_told() -> None:
    """A driver is looked at with care: what it says, and that it may raise."""
    with pytest.raises(PluginError) as caught:
        Plugins.given(remedies=[Shouting(), Moody()])
    assert "remedies[0]: Shouting.name is 'RE BOOT'" in str(caught.value)
    assert "remedies[1]: Moody raised RuntimeError: not today" in str(caught.value)
