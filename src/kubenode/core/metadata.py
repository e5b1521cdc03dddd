"""The metadata of an object that a person submits: what the API server would refuse of it, and how to mend it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from kubenode.core.errors import Problem
from kubenode.core.model.meta import LABEL
from kubenode.core.reading import described, join, near

_NAME: Final = re.compile(rf"{LABEL}(\.{LABEL})*", re.ASCII)
_VALUE: Final = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?", re.ASCII)
_WORD: Final = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]", re.ASCII)

_NAME_MAX: Final = 253
_WORD_MAX: Final = 63
_ANNOTATIONS_MAX: Final = 262_144
_OWNER: Final = ("apiVersion", "kind", "name", "uid")

FIELDS: Final = (
    "name", "labels", "annotations", "finalizers", "generateName", "ownerReferences", "namespace", "uid",
    "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
    "managedFields", "selfLink",
)  # fmt: skip
"""All that Kubernetes knows of; the first four are what a manifest has."""


def metadata_problems(metadata: Any, name_max: int = _NAME_MAX) -> Iterator[Problem]:
    """Find everything wrong with the metadata of a cluster-scoped object.

    Args:
        metadata: what stands under `metadata`.
        name_max: the longest name of this kind.
    """
    if not isinstance(metadata, dict):
        what = "is missing" if metadata is None else f"must be a mapping, not {described(metadata)}"
        yield Problem(where="metadata", what=what, fix="write metadata: {name: ...}")
        return
    for key in metadata:
        if key not in FIELDS:
            yield Problem(
                where=join("metadata", key), what="is no field of metadata", fix=near(key, FIELDS[:4])
            )
    if metadata.get("namespace") is not None:
        yield Problem(
            where="metadata.namespace", what="objects of this kind have no namespace", fix="remove it"
        )
    yield from _name(metadata.get("name"), name_max)
    yield from _prefix(metadata.get("generateName"))
    yield from _texts("labels", metadata.get("labels"))
    yield from _texts("annotations", metadata.get("annotations"))
    yield from _finalizers(metadata.get("finalizers"))
    yield from _owners(metadata.get("ownerReferences"))


def _name(name: Any, name_max: int) -> Iterator[Problem]:
    where = "metadata.name"
    if name is None or name == "":
        yield Problem(where=where, what="is missing", fix="add a name, as in name: kubelet-1.30")
    elif not isinstance(name, str):
        yield Problem(
            where=where, what=f"must be a string, not {described(name)}", fix=f'put it in quotes: "{name}"'
        )
    elif len(name) > name_max:
        yield Problem(where=where, what=f"has {len(name)} characters", fix=f"use at most {name_max}")
    elif not _NAME.fullmatch(name):
        fix = "use lower-case letters, digits, '-' and '.'; begin and end with a letter or digit"
        mended = re.sub(r"[^-a-z0-9.]+", "-", name.lower()).strip("-.")
        yield Problem(
            where=where,
            what=f"{name!r} is no name for an object",
            fix=f"{fix}, as in {mended}" if _NAME.fullmatch(mended) else fix,
        )


def _prefix(prefix: Any) -> Iterator[Problem]:
    """Judge what names are generated from; objects of ours have names, so it only may stand there."""
    where, fix = "metadata.generateName", "remove it, since there is a name"
    if prefix is not None and not isinstance(prefix, str):
        yield Problem(where=where, what=f"must be a string, not {described(prefix)}", fix=fix)
    elif prefix and not _NAME.fullmatch(f"{prefix[:-1]}a" if prefix.endswith("-") else prefix):
        yield Problem(where=where, what=f"{prefix!r} begins no name for an object", fix=fix)


def _finalizers(names: Any) -> Iterator[Problem]:
    """Judge the spelling of finalizers; that it is a list of strings the reader sees."""
    for index, name in enumerate(names if isinstance(names, list) else ()):
        if isinstance(name, str) and not _is_qualified(name):
            fix = "write domain/name, as in example.org/backup"
            yield Problem(where=f"metadata.finalizers[{index}]", what=f"{name!r} is no finalizer", fix=fix)


def _owners(owners: Any) -> Iterator[Problem]:
    """Judge references to owners, which objects of ours do not need."""
    where, fix = (
        "metadata.ownerReferences",
        "remove it, or write apiVersion, kind, name and uid of each owner",
    )
    if owners is None:
        return
    if not isinstance(owners, list):
        yield Problem(where=where, what=f"must be a list, not {described(owners)}", fix=fix)
        return
    for index, owner in enumerate(owners):
        at = f"{where}[{index}]"
        if not isinstance(owner, dict):
            yield Problem(where=at, what=f"must be a mapping, not {described(owner)}", fix=fix)
            continue
        for part in _OWNER:
            if not isinstance(owner.get(part), str) or not owner[part]:
                yield Problem(where=join(at, part), what="is no text, or missing", fix=fix)


def _texts(part: str, texts: Any) -> Iterator[Problem]:
    """Judge labels or annotations."""
    where = f"metadata.{part}"
    if texts is None:
        return
    if not isinstance(texts, dict):
        yield Problem(
            where=where, what=f"must be a mapping, not {described(texts)}", fix="write key: value pairs"
        )
        return
    for key, value in texts.items():
        at = join(where, key)
        # The server looks at keys of annotations as if they were written in small letters.
        if not _is_qualified(key.lower() if part == "annotations" else key):
            fix = "write name or domain/name, each of letters, digits, '-', '_' and '.'; the name has at most 63"
            yield Problem(where=at, what=f"{key!r} is no key", fix=fix)
        if not isinstance(value, str):
            said = str(value).lower() if isinstance(value, bool) else value
            fix = f'put it in quotes: "{said}"' if isinstance(value, int | float) else "write one string"
            yield Problem(where=at, what=f"must be a string, not {described(value)}", fix=fix)
        elif part == "labels" and (len(value) > _WORD_MAX or not _VALUE.fullmatch(value)):
            fix = "use at most 63 letters, digits, '-', '_' and '.'; begin and end with a letter or digit"
            yield Problem(where=at, what=f"{value!r} is no label value", fix=fix)
    if part == "annotations" and _size(texts) > _ANNOTATIONS_MAX:
        yield Problem(where=where, what=f"have more than {_ANNOTATIONS_MAX} bytes in all", fix="shorten them")


def _size(texts: Mapping[str, Any]) -> int:
    return sum(len(key.encode()) + len(str(value).encode()) for key, value in texts.items())


def _is_qualified(key: str) -> bool:
    """Tell whether a text is `name` or `domain/name`."""
    domain, slash, word = key.rpartition("/")
    if slash and (len(domain) > _NAME_MAX or not _NAME.fullmatch(domain)):
        return False
    return len(word) <= _WORD_MAX and _WORD.fullmatch(word) is not None
