"""Field validation of the embedded store: what becomes of a write with fields that the schema does not know.

A write that only warns, which is the default, does not come here: it is told what it lost when it is tidied.
"""

from kubenode.core.model import Json
from kubenode.runtime.store import refusals
from kubenode.runtime.store.contract import FieldValidation
from kubenode.runtime.store.table import Table


def checked(table: Table, given: Json, known: Json | None, how: FieldValidation, *, is_patch: bool) -> Json:
    """Give an object without unknown fields, so that nobody is warned of them.

    Args:
        table: of its kind.
        given: what is written, whole.
        known: the object as it is; None to look at all of what is given.
        how: not WARN.
        is_patch: a patch made it, which is refused in other words.

    Raises:
        Refused: there are such fields, and the validation is strict; or the object cannot be read.
    """
    if table.native is not None:  # what cannot be read is told before what is not known
        table.read(table.native, given, is_patch=is_patch)
    known_fields, unknown = table.pruned(given, known)
    if unknown and how is FieldValidation.STRICT:
        fault = f"strict decoding error: {', '.join(warning(path) for path in unknown)}"
        raise refusals.bad_patch(given, fault) if is_patch else refusals.undecodable(table.kind, fault)
    return known_fields


def warning(path: str) -> str:
    """Give the server's words for an unknown field."""
    return f'unknown field "{path}"'
