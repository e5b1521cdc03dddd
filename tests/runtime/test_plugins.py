"""Plugins: a sound one is indexed, a broken one is named and costs nobody else anything."""

import threading
import types
from collections.abc import Callable, Iterable
from datetime import timedelta
from importlib.metadata import version
from typing import Any

import attrs
import pytest

from kubenode import hookimpl
from kubenode.core.errors import InvalidObjectError, PluginError
from kubenode.providers import MemoryProvider
from kubenode.remedies import RebootRemedy
from kubenode.runtime.plugins import Plugins, PluginSettings, registered, structured

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
    assert sorted(found.components) == ["file", "package"]
    assert sorted(found.remedies) == ["reboot", "restart-unit"]
    assert sorted(found.providers) == ["memory"]
    assert found.origins["remedies/reboot"] == f"kubenode-remedies (kubenode {version('kubenode')})"


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


def test_of_two_with_one_name_neither_is_used() -> None:
    """Either could be the wrong one; both are named."""
    found = Plugins.given(remedies=[RebootRemedy(), RebootRemedy()])
    assert found.remedies == {}
    assert "registered by arguments and by arguments" in str(found.problems[0])


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
