"""The public names: which they are, that they load late, and what a wrong one is told."""

import ast
import inspect
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

import kubenode
from kubenode import components, inspections, providers, remedies

SOURCE = Path(kubenode.__file__)
PUBLIC = {
    # objects and their parts
    "Machine", "MachineSet", "MachineComponent", "MachineComponentSet", "NodeRemedier", "RemedyOperationJob",
    "RiskPolicy", "model",
    # deciding
    "Decision", "Policy", "decide", "explain",
    "MachineSnapshot", "MachineSetSnapshot", "RolloutSnapshot", "NodeSnapshot", "RemedySnapshot", "FleetSnapshot",
    # the wire
    "dump", "load",
    # inside your program
    "EmbeddedStore", "Engine", "KubeStore", "Plugins", "Sink", "Store",
    # recordings
    "Record", "replay",
    # trying a policy
    "Fault", "Scenario", "compare", "simulate", "strategies", "verify",
    # plugins
    "hookimpl",
    # errors
    "InvalidObjectError", "KubenodeError", "PluginError",
}  # fmt: skip
MOST = 40
ALIASES = {"Sink"}
"""Names for a type, which cannot have a docstring; the source and the page for embedders say what they are."""


def _ran(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )


def test_the_public_names_are_these() -> None:
    """One more is a decision: this list is changed by hand, and stays within forty."""
    assert set(kubenode.__all__) == PUBLIC
    assert len(kubenode.__all__) == len(PUBLIC) <= MOST
    assert list(kubenode.__all__) == sorted(kubenode.__all__)
    assert dir(kubenode) == sorted(PUBLIC)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_name_is_there(name: str) -> None:
    """It loads, and a second look gives the same thing."""
    found = getattr(kubenode, name)
    assert found is getattr(kubenode, name)
    assert bool(found.__doc__) is (name not in ALIASES)


def test_a_class_is_called_by_its_public_name() -> None:
    """In a repr, a traceback and what a type checker says, nobody meets a name that cannot be imported."""
    for name in PUBLIC:
        found = getattr(kubenode, name)
        if isinstance(found, type) or inspect.isfunction(found):
            assert found.__name__ == name


def test_type_checkers_see_the_names_that_there_are() -> None:
    """What is imported for type checkers is what loads late, from the same places."""
    for_checkers, late = _imports(), _table()
    assert for_checkers == late
    assert set(late) == PUBLIC


def _imports() -> dict[str, str]:
    """Read the imports that only type checkers see."""
    tree = ast.parse(SOURCE.read_text())
    (block,) = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    ]
    return {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def _table() -> dict[str, str]:
    homes = {name: f"{home}.{name}" for name, home in vars(kubenode)["_HOME"].items()}
    return {**homes, **vars(kubenode)["_MODULES"]}


def test_a_wrong_name_is_told_the_right_one() -> None:
    """As a plain AttributeError, so that hasattr and pickling work as with any module."""
    wrong = "Polcy"
    with pytest.raises(
        AttributeError, match=r"^module 'kubenode' has no attribute 'Polcy'; did you mean 'Policy'\?$"
    ):
        getattr(kubenode, wrong)
    assert not hasattr(kubenode, "planner")
    assert _ran("from kubenode import decyde").stderr.endswith(
        f"cannot import name 'decyde' from 'kubenode' ({SOURCE})\n"
    )


def test_a_missing_extra_is_named() -> None:
    """Who lacks an optional dependency is told the words that install it, and a fault of ours is not hidden."""
    for module, said in (
        ("aiohttp", "ImportError: kubenode.load needs aiohttp: pip install 'kubenode[kube]'"),
        ("kubenode.gone", "ModuleNotFoundError: No module named 'kubenode.gone'"),
    ):
        code = (
            "import importlib, kubenode\n"
            "def fail(name): raise ModuleNotFoundError(f\"No module named '{0}'\", name='{0}')\n"
            "importlib.import_module = fail\n"
            "kubenode.load"
        ).replace("{0}", module)
        assert _ran(code).stderr.splitlines()[-1] == said


NEVER = (
    "aiohttp", "aliyunsdkcore", "boto3", "hypothesis", "kubernetes", "logging", "orjson", "plotly", "pytest", "rich",
    "ssl", "typer", "yaml",
)  # fmt: skip


def _loaded(code: str) -> set[str]:
    """Give what code loads, by top-level name or by our modules, beyond what a bare interpreter has."""
    script = (
        f"import sys\nbefore = set(sys.modules)\n{code}\nprint(*sorted(set(sys.modules) - before), sep='\\n')"
    )
    result = _ran(script)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def test_the_engine_needs_no_extra_and_the_store_of_a_cluster_names_its_own() -> None:
    """Who embeds an engine on a store of their own, or on the embedded one, installs nothing more."""
    missing = (
        "import sys\nfor name in ('aiohttp', 'kubernetes', 'orjson', 'dateutil'): sys.modules[name] = None\n"
    )
    inside = "from kubenode import EmbeddedStore, Engine, Plugins, Record, Sink, Store\n"
    run = "print(Engine(EmbeddedStore(), plugins=Plugins.discover()).run_until_settled())"
    done = _ran(missing + inside + run)
    assert (done.stdout, done.stderr) == ("None\n", "")
    said = _ran(missing + "from kubenode import KubeStore").stderr
    assert said.endswith("ImportError: kubenode.KubeStore needs orjson: pip install 'kubenode[kube]'\n")


def test_the_engine_loads_no_sdk() -> None:
    """Nor what reads files, draws or plays: a program that embeds it pays for what it uses."""
    loaded = _loaded("from kubenode import EmbeddedStore, Engine, Plugins, Record, Sink, Store")
    tops = {name.partition(".")[0] for name in loaded}
    assert tops.isdisjoint({*NEVER} - {"logging", "ssl"}), sorted(tops)  # which asyncio loads
    assert not [name for name in loaded if name.startswith(("kubenode.runtime.sim", "kubenode.runtime.cli"))]


def test_importing_the_package_loads_nothing() -> None:
    """Not one of our modules, and nothing of the standard library but `typing`."""
    typing = _loaded("import typing")
    assert _loaded("import kubenode") - typing == {"kubenode"}


def test_first_use_of_a_decider_loads_core_attrs_and_pluggy() -> None:
    """Nothing of runtime, no reader of files, no SDK, no event loop, no cattrs: a Decision takes none of them."""
    code = "from kubenode import Policy, RemedySnapshot, decide, explain, model\nPolicy.default()"
    loaded = _loaded(code)
    tops = {name.partition(".")[0] for name in loaded}
    assert tops.isdisjoint({*NEVER, "asyncio", "cattrs"}), sorted(tops)
    standard = {top for top in tops if top in sys.stdlib_module_names}
    assert tops - standard <= {"attr", "attrs", "kubenode", "pluggy"}
    ours = {".".join(name.split(".")[:2]) for name in loaded if name.startswith("kubenode")}
    assert ours == {"kubenode", "kubenode.core"}
    assert "kubenode.core.wire" not in loaded
    assert "kubenode.core.crd" not in loaded


@pytest.mark.parametrize("name", ["providers", "components", "remedies", "inspections"])
def test_what_a_plugin_imports_loads_no_sdk(name: str) -> None:
    """A plugin is imported at every start."""
    tops = {
        one.partition(".")[0] for one in _loaded(f"import kubenode.{name}; from kubenode import hookimpl")
    }
    assert tops.isdisjoint({*NEVER, "asyncio"} - {"logging"}), sorted(tops)


def test_model_holds_all_that_a_snapshot_is_made_of() -> None:
    """Every class that a field of a public snapshot, policy or object is of, is public too."""
    public = {value for value in _public_values() if isinstance(value, type)}
    waiting = [cls for cls in public if attrs.has(cls)]
    known: set[type] = set()
    while waiting:
        cls = waiting.pop()
        hints = typing.get_type_hints(cls)
        for field in attrs.fields(cls):
            parts = {part for part in _classes(hints[field.name]) if part.__module__.startswith("kubenode.")}
            waiting += [part for part in parts - known if attrs.has(part)]
            known |= parts
    assert {cls.__name__ for cls in known - public} == {
        "AcceptedStatus", "RiskLedgerSpec",  # nobody writes anything in them
        "Column",  # how kubectl prints a kind
        "WriteStatus",  # made of a Decision's status by the engine; a Record shows it
    }  # fmt: skip


def _public_values() -> Iterator[object]:
    """Give all that is public: here, and in the packages for plugin authors, where the steps are."""
    for module in (kubenode, kubenode.model, components, inspections, providers, remedies):
        for name in module.__all__:
            yield getattr(module, name)


def _classes(annotation: object) -> Iterator[type]:
    if isinstance(annotation, type):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _classes(part)
