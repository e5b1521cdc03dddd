"""Forms of types, as cattrs asks for them: what the readers of the wire and of recordings tell apart.

Called by wire.py and runtime/record/codec.py, which read and write each form in their own way.
"""

import enum
from collections.abc import Mapping
from typing import Annotated, Any, get_origin


def is_tuple(cls: Any) -> bool:
    """Tell whether a type is a tuple of something."""
    return get_origin(cls) is tuple


def is_map(cls: Any) -> bool:
    """Tell whether a type is a mapping from something to something."""
    origin = get_origin(cls)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def is_annotated(cls: Any) -> bool:
    """Tell whether a type has words beside it."""
    return get_origin(cls) is Annotated


def is_enum(cls: Any) -> bool:
    """Tell whether a type is an enumeration."""
    return isinstance(cls, type) and issubclass(cls, enum.Enum)
