"""A group's coordinator: classic members, dynamic and static, that join, share out and leave.

A session does not end by itself here: `expel` ends it.
"""

import threading
import time
import uuid
from dataclasses import dataclass
from typing import NamedTuple

from tests.instruments.endpoint.codes import Code

JOIN_S = 5.0
"""A member that does not join again within this is dropped."""


@dataclass(slots=True)
class Member:
    """One member, and what it said when it joined."""

    member_id: str
    instance: str | None
    protocols: list[tuple[str, bytes]]
    has_joined: bool = True
    assignment: bytes = b""


class Joined(NamedTuple):
    """The answer to a join; `members` only for the leader."""

    code: Code
    member_id: str
    generation: int = -1
    protocol: str = ""
    leader: str = ""
    members: tuple[Member, ...] = ()


class Group:
    """See the module. Every method may be called from any thread; `join` and `sync` may wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._members: dict[str, Member] = {}
        self._expected: set[str] = set()
        self._generation = 0
        self._leader = ""
        self._state: str = "empty"

    def join(
        self,
        member_id: str,
        *,
        instance: str | None,
        protocols: list[tuple[str, bytes]],
        requires_id: bool,
    ) -> Joined:
        """Become a member, or one again; waits for the others."""
        with self._changed:
            if member_id and member_id not in self._members and member_id not in self._expected:
                fenced = instance is not None and self._by_instance(instance) is not None
                code = Code.FENCED_INSTANCE_ID if fenced else Code.UNKNOWN_MEMBER_ID
                return Joined(code, member_id)
            if not member_id:
                member_id = f"member-{uuid.uuid4()}"
                old = None if instance is None else self._by_instance(instance)
                if old is not None:
                    return self._replace(old, member_id, protocols)
                if requires_id and instance is None:
                    self._expected.add(member_id)
                    return Joined(Code.MEMBER_ID_REQUIRED, member_id)
            self._expected.discard(member_id)
            self._members[member_id] = Member(member_id, instance, protocols)
            self._rebalance(but=member_id)
            return self._joined_by_all(member_id)

    def _by_instance(self, instance: str) -> Member | None:
        return next((m for m in self._members.values() if m.instance == instance), None)

    def _replace(self, old: Member, member_id: str, protocols: list[tuple[str, bytes]]) -> Joined:
        """A static member was started again: it gets what its predecessor had (KIP-345)."""
        del self._members[old.member_id]
        leader = self._leader
        if self._leader == old.member_id:
            self._leader = member_id
        self._members[member_id] = Member(
            member_id, old.instance, protocols, assignment=old.assignment
        )
        if self._state == "stable":
            return Joined(Code.NONE, member_id, self._generation, protocols[0][0], leader)
        self._rebalance(but=member_id)
        return self._joined_by_all(member_id)

    def _rebalance(self, *, but: str) -> None:
        if self._state != "joining":
            self._state = "joining"
            for member in self._members.values():
                member.has_joined = member.member_id == but
        self._changed.notify_all()

    def _joined_by_all(self, member_id: str) -> Joined:
        generation, deadline_s = self._generation, time.monotonic() + JOIN_S
        while self._generation == generation and self._state == "joining":
            late = [m for m in self._members.values() if not m.has_joined]
            if not late or time.monotonic() > deadline_s:
                for gone in late:
                    del self._members[gone.member_id]
                self._begin_generation()
            else:
                self._changed.wait(0.05)
        member = self._members.get(member_id)
        if member is None:
            return Joined(Code.UNKNOWN_MEMBER_ID, member_id)
        leads = member_id == self._leader
        return Joined(
            Code.NONE, member_id, self._generation, member.protocols[0][0], self._leader,
            tuple(self._members.values()) if leads else (),
        )  # fmt: skip

    def _begin_generation(self) -> None:
        self._generation += 1
        self._state = "syncing"
        if self._leader not in self._members:
            self._leader = next(iter(self._members))
        self._changed.notify_all()

    def sync(
        self, member_id: str, generation: int, instance: str | None, shares: dict[str, bytes]
    ) -> tuple[Code, bytes]:
        """Take one's share; the leader brings those of all. Waits for the leader."""
        with self._changed:
            code = self.check(member_id, generation, instance)
            if code is not Code.NONE:
                return code, b""
            if member_id == self._leader and self._state == "syncing":
                for each, assignment in shares.items():
                    self._members[each].assignment = assignment
                self._state = "stable"
                self._changed.notify_all()
            deadline_s = time.monotonic() + JOIN_S
            while self._state == "syncing" and time.monotonic() < deadline_s:
                self._changed.wait(0.05)
            if self._state != "stable" or member_id not in self._members:
                return Code.REBALANCE_IN_PROGRESS, b""
            return Code.NONE, self._members[member_id].assignment

    def heartbeat(self, member_id: str, generation: int, instance: str | None) -> Code:
        """Whether a member still is one, and need not join again."""
        with self._changed:
            code = self.check(member_id, generation, instance)
            if code is Code.NONE and self._state == "joining":
                return Code.REBALANCE_IN_PROGRESS
            return code

    def check(self, member_id: str, generation: int, instance: str | None) -> Code:
        """Whether somebody speaks for the present generation (TxnOffsetCommit asks too)."""
        with self._changed:
            owner = None if instance is None else self._by_instance(instance)
            if owner is not None and owner.member_id != member_id:
                return Code.FENCED_INSTANCE_ID
            if member_id not in self._members:
                return Code.UNKNOWN_MEMBER_ID
            if generation != self._generation:
                return Code.ILLEGAL_GENERATION
            return Code.NONE

    def leave(self, member_id: str) -> Code:
        """Give one's share back."""
        with self._changed:
            if member_id not in self._members:
                return Code.UNKNOWN_MEMBER_ID
            self._drop(member_id)
            return Code.NONE

    def expel(self) -> None:
        """End every member's session; nobody tells them."""
        with self._changed:
            for member_id in list(self._members):
                self._drop(member_id)

    def _drop(self, member_id: str) -> None:
        del self._members[member_id]
        if self._members:
            self._rebalance(but="")
        else:
            self._generation += 1
            self._state = "empty"
        self._changed.notify_all()
