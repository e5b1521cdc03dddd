"""The names by which the server knows agents and those who are to become agents.

The uid of the Machine is in both: in the certificate as a group, and in the groups of the bootstrap token. So whoever
has either of an earlier Machine of the same name has nothing of this one.
"""

from typing import Final

from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.model.machine import Machine

AGENT: Final = "kubenode:agent:"
"""How the user name of an agent begins; its Machine's name follows."""
AGENTS: Final = "kubenode:agents"
"""The group of all agents."""
UID: Final = "kubenode:uid:"
"""How the group begins that says for which incarnation of the Machine a certificate was made."""
BOOTSTRAPPERS: Final = "system:bootstrappers:kubenode"
"""The group of all our bootstrap tokens; what is not below system:bootstrappers the server refuses."""
BOOTSTRAP_USER: Final = "system:bootstrap:"
"""How the user name of whoever comes with a bootstrap token begins; the token's id follows."""
NAME_LIMIT: Final = 64 - len(AGENT)
"""X.509 has 64 characters for a common name."""


def user_of(machine: str) -> str:
    """Give the user name of a machine's agent."""
    return AGENT + machine


def groups_of(uid: str) -> tuple[str, str]:
    """Give the groups of the agent of one incarnation of a machine: the organisations of its certificate."""
    return (AGENTS, UID + uid)


def token_group(uid: str) -> str:
    """Give the group that only the bootstrap tokens of one incarnation of a machine are in."""
    return f"{BOOTSTRAPPERS}:machine:{uid}"


def machine_in(user: str) -> str:
    """Give the name of the machine whose agent a user name is; empty when it is none.

    >>> machine_in("kubenode:agent:m1"), machine_in("kubenode:agents"), machine_in("kubenode:agent:")
    ('m1', '', '')
    """
    return user.removeprefix(AGENT) if user.startswith(AGENT) else ""


def token_in(user: str) -> str:
    """Give the id of the bootstrap token that a user name is of; empty when it is of none."""
    return user.removeprefix(BOOTSTRAP_USER) if user.startswith(BOOTSTRAP_USER) else ""


def check_enrollable(machine: Machine) -> None:
    """Look whether a machine can have an agent of its own.

    Raises:
        InvalidObjectError: its name is too long for a certificate, or it is being deleted.
    """
    metadata, what, fix = machine.metadata, "", ""
    if len(metadata.name) > NAME_LIMIT:
        what = f"is longer than the {NAME_LIMIT} characters that a certificate has for it"
        fix = "make the Machine anew with a shorter name"
    elif metadata.deletion_timestamp is not None:
        what, fix = "is being deleted", "wait until it is gone, and make it anew"
    if what:
        raise InvalidObjectError((Problem(where=f"Machine {metadata.name}", what=what, fix=fix),))
