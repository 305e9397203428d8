"""The Merkle tree: one hash over many entries, from which each entry can be proven without the others.

As in RFC 6962, section 2.1, a leaf is SHA-256(0x00 ‖ data), a node SHA-256(0x01 ‖ left ‖ right), and the empty tree
SHA-256 of nothing. The data of a leaf is the entry's `hash` as written: 64 hex digits.

Invariant: a growing tree keeps only the roots of its complete subtrees, one for each bit of its size. It needs the
memory of a few dozen hashes, however many entries it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

__all__ = ["Tree", "inclusion_path", "leaf_hash", "root_by_path"]

_LEAF, _NODE = b"\x00", b"\x01"


def leaf_hash(data: bytes) -> bytes:
    return sha256(_LEAF + data).digest()


def _node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(_NODE + left + right).digest()


class Tree:
    """A growing tree. `edge` has the roots of its complete subtrees, the largest first."""

    __slots__ = ("edge", "size")

    def __init__(self, size: int = 0, edge: Iterable[bytes] = ()) -> None:
        self.size = size
        self.edge = list(edge)
        if len(self.edge) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} complete subtrees, not {len(self.edge)}")

    def add(self, data: bytes) -> None:
        """Appends a leaf."""
        node, above = leaf_hash(data), self.size
        while above & 1:
            node = _node_hash(self.edge.pop(), node)
            above >>= 1
        self.edge.append(node)
        self.size += 1

    def extend(self, data: Iterable[bytes]) -> None:
        """Appends many leaves at half the cost of `add` for each."""
        level = [sha256(_LEAF + one).digest() for one in data]
        size, edge = self.size, []
        self.size += len(level)
        while level or size:
            if size & 1:
                level = [self.edge.pop(), *level]
            if len(level) & 1:
                edge.append(level.pop())
            level = [sha256(_NODE + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=True)]
            size >>= 1
        self.edge = edge[::-1]

    def root(self) -> bytes:
        if not self.edge:
            return sha256().digest()
        *others, node = self.edge
        for left in reversed(others):
            node = _node_hash(left, node)
        return node


def inclusion_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Returns the hashes that lead from leaf `index` up to the root. `leaves` are leaf hashes.

    Raises `IndexError`.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(f"there is no leaf {index} among {len(leaves)}")
    path = []
    level = list(leaves)
    while len(level) > 1:
        beside = index ^ 1
        if beside < len(level):
            path.append(level[beside])
        pairs = [_node_hash(level[n], level[n + 1]) for n in range(0, len(level) - 1, 2)]
        level = pairs + level[len(pairs) * 2 :]
        index //= 2
    return path


def root_by_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Computes the root from a leaf hash, number `index` of `size`, by RFC 9162, section 2.1.3.2.

    Raises `ValueError` for a path that is too long or too short.
    """
    if not 0 <= index < size:
        raise ValueError(f"there is no leaf {index} among {size}")
    last, node = size - 1, leaf
    for beside in path:
        if last == 0:
            raise ValueError("the path is too long")
        if index & 1 or index == last:
            node = _node_hash(beside, node)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            node = _node_hash(node, beside)
        index, last = index >> 1, last >> 1
    if last:
        raise ValueError("the path is too short")
    return node
