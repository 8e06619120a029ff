"""The account that a program runs under, and what it may do with a file."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
from collections.abc import Iterable
from dataclasses import dataclass

READ, WRITE, SEARCH = 4, 2, 1
"""As in the bits of a file's mode."""


@dataclass(frozen=True)
class Account:
    """Who a program runs as."""

    uid: int
    name: str
    gids: frozenset[int]
    """Of all groups that it is a member of."""

    @property
    def is_root(self) -> bool:
        """Whether nothing is forbidden to it."""
        return self.uid == 0

    def may(self, wanted: int, status: os.stat_result) -> bool:
        """Whether mode, owner and group of a file allow it; access control lists are not looked at."""
        if self.is_root:
            return True
        if status.st_uid == self.uid:
            granted = status.st_mode >> 6
        else:
            granted = status.st_mode >> 3 if status.st_gid in self.gids else status.st_mode
        return granted & wanted == wanted

    @classmethod
    def here(cls) -> Account:
        """The account of this process. One without a name is called by its number."""
        uid = os.geteuid()
        name = str(uid)
        with contextlib.suppress(KeyError):
            name = pwd.getpwuid(uid).pw_name
        return cls(uid, name, frozenset({*os.getgroups(), os.getegid()}))

    @classmethod
    def named(cls, name: str, more_groups: Iterable[str] = ()) -> Account | None:
        """An account with its groups and those that a service adds; None where there is no such account."""
        try:
            entry = pwd.getpwnam(name)
            gids = set(os.getgrouplist(name, entry.pw_gid))
        except (KeyError, OSError, ValueError):
            return None
        for group in more_groups:
            with contextlib.suppress(KeyError, ValueError):
                gids.add(grp.getgrnam(group).gr_gid)
        return cls(entry.pw_uid, name, frozenset(gids))


def group_name(gid: int) -> str:
    """A group's name; its number where it has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except (KeyError, OverflowError):
        return str(gid)
