"""Names that are loaded when they are first used, so that nobody pays for a decider that he does not ask.

Type checkers read the stub beside a module that is made so.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final


class Late:
    """Where the names of a module are.

    Args:
        module: its name.
        homes: of each module, the names that are in it, with spaces.
    """

    def __init__(self, module: str, homes: Mapping[str, str]) -> None:
        self._module: Final = module
        self.home: Final = MappingProxyType({
            name: home for home, names in homes.items() for name in names.split()
        })  # fmt: skip

    def load(self, name: str) -> Any:
        """Give what a name stands for.

        Raises:
            AttributeError: there is no such name.
        """
        if name not in self.home:
            raise AttributeError(f"module {self._module!r} has no attribute {name!r}")
        return getattr(import_module(self.home[name]), name)

    def into(self, names: dict[str, Any]) -> Callable[[str], Any]:
        """Make the `__getattr__` of the module whose names these are; it is asked once for each."""

        def found(name: str) -> Any:
            value = names[name] = self.load(name)
            return value

        return found
