"""A consumer group: members, generations, cooperative rebalances, committed offsets."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from stream.errors import CommitLost, Fenced, Retryable
from stream.ports import Committed


@dataclass(slots=True, eq=False)
class Member:
    """One membership, what Kafka calls a member id and its generation.

    A client that loses it and joins again gets another one; the old one commits no more.

    Attributes:
        instance: the stable name of a static member.
        owned: the partitions it was told it has.
    """

    instance: str | None
    owned: frozenset[int] = frozenset()


@dataclass(slots=True, eq=False)
class Group:
    """What Kafka's group coordinator keeps of one group.

    A partition moves in two steps, both inside polls: its old owner gives it up, then the new one
    gets it. So nobody loses a partition between a poll and the commit that follows, unless the
    whole membership was lost.

    Attributes:
        pending: offsets that wait for the end of a transaction, by that transaction.
    """

    name: str
    offsets: dict[int, Committed] = field(default_factory=dict)
    pending: dict[object, Mapping[int, Committed]] = field(default_factory=dict)
    _members: list[Member] = field(default_factory=list)
    _targets: dict[Member, frozenset[int]] = field(default_factory=dict)
    _partitions_n: int = 0

    def join(self, instance: str | None) -> Member:
        """Make a new membership; an older one with the same instance name ends here."""
        member = Member(instance)
        twin = self._holder(instance)
        if twin is None:
            self._members.append(member)
        else:
            # The place and the target are inherited: a restart under one name moves nothing.
            self._members[self._members.index(twin)] = member
            self._targets[member] = self._targets.pop(twin, frozenset())
        self._rebalance()
        return member

    def leave(self, member: Member) -> None:
        """End a membership, by its own wish or because its session expired; fine if it is gone."""
        if member in self._members:
            self._members.remove(member)
            self._targets.pop(member, None)
            self._rebalance()

    def members_n(self, but: str | None = None) -> int:
        """How many members there are now; those of the instance `but` are not counted."""
        return sum(but is None or member.instance != but for member in self._members)

    def holds(self, member: Member) -> bool:
        """Whether the membership lasts.

        Raises: Fenced: a younger member with the same instance name took its place.
        """
        if member in self._members:
            return True
        if self._holder(member.instance) is not None:
            raise Fenced.by_twin(member.instance)
        return False

    def sync(self, member: Member, partitions_n: int) -> tuple[frozenset[int], frozenset[int]]:
        """What one poll tells a member: the partitions it loses, and those it gains."""
        if partitions_n != self._partitions_n:
            self._partitions_n = partitions_n
            self._rebalance()
        target = self._targets[member]
        taken = frozenset().union(*(m.owned for m in self._members if m is not member))
        revoked = member.owned - target
        assigned = target - member.owned - taken
        member.owned = (member.owned - revoked) | assigned
        return revoked, assigned

    def commit(self, offsets: Mapping[int, Committed], member: Member) -> None:
        """Move offsets at once. Raises: CommitLost, Fenced."""
        self.admit(member)
        self.offsets.update(offsets)

    def admit(self, member: Member) -> None:
        """Let only a lasting membership commit. Raises: CommitLost, Fenced."""
        if not self.holds(member):
            raise CommitLost(f"the membership in group {self.name!r} was lost; poll again")

    def end_transaction(self, transaction: object, offsets: Mapping[int, Committed]) -> None:
        """Move the offsets that waited for the end of a transaction (none, if it aborted)."""
        self.pending.pop(transaction, None)
        self.offsets.update(offsets)

    def stable(self, partitions: Collection[int]) -> dict[int, Committed]:
        """The committed offsets. Raises: Retryable: an open transaction may still move one."""
        unstable = sorted(
            {p for offsets in self.pending.values() for p in offsets if p in partitions}
        )
        if unstable:
            raise Retryable(
                f"group {self.name!r}: a transaction with the offsets of partitions {unstable}"
                " is open yet"
            )
        return {p: self.offsets[p] for p in sorted(partitions) if p in self.offsets}

    def _holder(self, instance: str | None) -> Member | None:
        if instance is None:
            return None
        return next((m for m in self._members if m.instance == instance), None)

    def _rebalance(self) -> None:
        """Aim at an even share for all, moving as little as can be."""
        if not self._members:
            return
        everything = range(self._partitions_n)
        kept = {
            m: sorted(p for p in self._targets.get(m, ()) if p in everything) for m in self._members
        }
        share, rest = divmod(self._partitions_n, len(self._members))
        # The larger holdings get the larger shares; sorted() is stable, so age decides a tie.
        for place, member in enumerate(sorted(kept, key=lambda m: -len(kept[m]))):
            del kept[member][share + (place < rest) :]
        free = sorted(set(everything).difference(*kept.values()))
        for partition in free:
            min(kept.values(), key=len).append(partition)
        self._targets = {member: frozenset(held) for member, held in kept.items()}
