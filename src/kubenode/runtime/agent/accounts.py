"""Users and groups of this host, by name and by number."""

import grp
import pwd


def user_name(number: int) -> str:
    """Give the name of a user; the number where it has none."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def group_name(number: int) -> str:
    """Give the name of a group; the number where it has none."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def user_number(name: str) -> int | None:
    """Give the number of a user; None where there is none of the name."""
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def group_number(name: str) -> int | None:
    """Give the number of a group; None where there is none of the name."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None
