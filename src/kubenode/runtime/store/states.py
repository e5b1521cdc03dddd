"""States of an object in a write: pure, and sharing what stays the same."""

from collections.abc import Callable
from typing import Any

from kubenode.core.model import Json
from kubenode.runtime.store import refusals
from kubenode.runtime.store.contract import JsonPatch, MergePatch
from kubenode.runtime.store.patches import PatchFailed, merged, patched


def stamped(obj: Json, **marks: Any) -> Json:
    """Give an object with other marks in its metadata."""
    return {**obj, "metadata": {**obj["metadata"], **marks}}


def with_status(obj: Json, other: Json) -> Json:
    """Give an object with the status of another one, or without when that has none."""
    if "status" in other:
        return {**obj, "status": other["status"]}
    return {name: value for name, value in obj.items() if name != "status"}


def strays(given: Json, before: Json) -> bool:
    """Tell whether what is written to a status has something else too."""
    if given.get("spec") is not before.get("spec"):
        return True
    return len(given) > len(before) + ("status" not in before)


def differ(after: Json, before: Json) -> bool:
    """Tell whether anything but metadata and status has changed."""
    names = (after.keys() | before.keys()) - {"metadata", "status"}
    return any(after.get(name) is not before.get(name) for name in names)


def changed_by(before: Json, patch: MergePatch | JsonPatch) -> Json:
    """Give what a patch makes of an object. Raises Refused or Conflict when it does not fit."""
    match patch:
        case MergePatch(body):
            return merged(before, body)
        case JsonPatch(operations):
            try:
                result: Json = patched(before, operations)
            except PatchFailed as failed:
                tested = any(operation.get("op") == "test" for operation in operations)
                raise refusals.patch_rejected(str(failed), tested=tested) from failed
            return result


def is_let_go(metadata: Json) -> bool:
    """Tell whether an object goes with the write that is being made: it is deleted, nothing holds it, and its time is over."""
    if "deletionTimestamp" not in metadata or metadata.get("finalizers"):
        return False
    return not metadata.get("deletionGracePeriodSeconds")


def marked_deleted(obj: Json, finalizers: list[str], stamp: Callable[[], str]) -> Json:
    """Give an object that is deleted but held by these finalizers; itself when it is so already."""
    metadata = obj["metadata"]
    if "deletionTimestamp" in metadata:
        return obj if finalizers == metadata["finalizers"] else stamped(obj, finalizers=finalizers)
    marks: Json = {"finalizers": finalizers, "deletionTimestamp": stamp(), "deletionGracePeriodSeconds": 0}
    if "generation" in metadata:
        marks["generation"] = metadata["generation"] + 1
    return stamped(obj, **marks)
