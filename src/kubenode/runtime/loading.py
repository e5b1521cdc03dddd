"""`kubenode.load` and `kubenode.dump`: what people write, as objects, and back."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias, overload

from kubenode.core import wire
from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.model import Json, Object
from kubenode.runtime.manifests import load_manifests

Source: TypeAlias = str | os.PathLike[str]


@overload
def load(source: Mapping[str, Any], /) -> Object: ...
@overload
def load(source: Source, /, *more: Source) -> tuple[Object, ...]: ...
def load(source: Mapping[str, Any] | Source, /, *more: Source) -> Object | tuple[Object, ...]:
    """Read one object from its wire form, or all objects of files and folders.

    Args:
        source: an object as it stands on the wire, or the path of a YAML or JSON file, or of a folder of them.
        more: further paths.

    Returns:
        The object; of paths all objects, in the order of the documents, of a folder by file name. To make a
        policy of them: `Policy.of(load("policies/"))`.

    Raises:
        InvalidObjectError: with every problem of every document; of files with file and line.
    """
    if isinstance(source, Mapping):
        return wire.load(dict(source))
    return load_manifests([_path(one) for one in (source, *more)])


def _path(source: object) -> Path:
    if isinstance(source, str | os.PathLike):
        return Path(source)
    what = f"a {type(source).__name__} is neither an object of the wire nor a path"
    raise InvalidObjectError((Problem(where="source", what=what, fix='load("policies/")'),))


def dump(obj: Object) -> Json:
    """Give an object as it stands on the wire; what is empty by default is left out.

    The opposite of `load`: `load(dump(obj)) == obj` for every object of our kinds that is valid.
    """
    return wire.dump(obj)
