"""Deterministic names: every observer, however stale, computes the same one."""

import hashlib


def digest(*parts: str | int) -> str:
    """Give 16 hexadecimal digits that depend on every part and on where one ends and the next begins."""
    text = "".join(f"{len(str(part))}:{part}" for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def op_id(what: str, *parts: str | int) -> str:
    """Name one operation, such as `rollout-0f3c...`; its parts are uids and numbers, never names.

    >>> op_id("rollout", "uid-1", 23) == op_id("rollout", "uid-1", 23) != op_id("rollout", "uid-12", 3)
    True
    """
    return f"{what}-{digest(*parts)}"


def rollout_op_id(set_uid: str, revision: int, machine_uid: str) -> str:
    """Name the change of a machine by a revision of a set: its permit, its member in a batch, its part in the history."""
    return op_id("rollout", set_uid, revision, machine_uid)


def deletion_op_id(machine_uid: str) -> str:
    """Name the deletion of a machine: its permit, and the cordon and drain of its Node."""
    return op_id("delete", machine_uid)
