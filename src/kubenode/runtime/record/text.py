"""JSON as one line of ASCII: what the standard library writes, byte for byte, by orjson where that is installed.

It takes a tenth of the time, and most of what is recorded is written the same way by both. What is not is left to the
standard library: letters beyond ASCII, integers beyond 64 bits, and floats, which are marked since orjson has no NaN.
"""

import functools
import json
from collections.abc import Callable
from typing import Any, Final

_DELETE: Final = b"\x7f"
"""ASCII that only the standard library escapes."""


class Float(float):
    """A float that is to be written; orjson takes no subclass of it."""


def marked(value: Any) -> Any:
    """Copy JSON of free form with its floats marked, so that `text` writes them as they are."""
    if isinstance(value, dict):
        return {key: marked(part) for key, part in value.items()}
    if isinstance(value, list):
        return [marked(part) for part in value]
    return Float(value) if type(value) is float else value


def text(value: Any, *, in_order: bool = False) -> str:
    """Give JSON as one line of ASCII.

    Args:
        value: what is to be written; its floats are marked.
        in_order: sort the keys.

    Raises:
        TypeError: it is not JSON.
    """
    try:
        written = _fast(in_order=in_order)(value)
    except TypeError:  # the standard library writes it, or says why not
        written = b""
    if written and written.isascii() and _DELETE not in written:
        return written.decode()
    return json.dumps(value, separators=(",", ":"), sort_keys=in_order)


@functools.cache
def _fast(*, in_order: bool) -> Callable[[Any], bytes]:
    """Give what writes most things; found when something is first written, since an engine that records nothing needs none."""
    try:
        import orjson
    except ModuleNotFoundError:  # it comes with the extra `kube`
        return lambda _: b""
    options = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
    options |= orjson.OPT_SORT_KEYS if in_order else 0
    return functools.partial(orjson.dumps, option=options)
