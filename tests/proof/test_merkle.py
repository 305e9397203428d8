"""The Merkle tree beside the vectors of Certificate Transparency and a plain reading of RFC 6962."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whodid.proof.merkle import Tree, inclusion_path, leaf_hash, root_by_path

_HEX = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
INPUTS = [bytes.fromhex(text) for text in _HEX]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
"""Of the first 1 to 8 inputs: the reference tree of the Certificate Transparency project's own tests."""


def by_the_rfc(leaves: list[bytes]) -> bytes:
    """Section 2.1 as it reads, with its recursion."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + by_the_rfc(leaves[:k]) + by_the_rfc(leaves[k:])).digest()


def tree_of(leaves: list[bytes]) -> Tree:
    tree = Tree()
    for leaf in leaves:
        tree.add(leaf)
    return tree


@pytest.mark.parametrize("size", range(1, 9))
def test_the_vectors(size: int) -> None:
    assert tree_of(INPUTS[:size]).root().hex() == ROOTS[size - 1]


def test_the_tree_of_nothing() -> None:
    assert Tree().root().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(st.lists(st.binary(max_size=4), max_size=70))
def test_a_tree_that_grows_has_the_root_of_the_rfc_at_every_size(leaves: list[bytes]) -> None:
    tree = Tree()
    for size, leaf in enumerate(leaves, 1):
        tree.add(leaf)
        assert tree.root() == by_the_rfc(leaves[:size])
    assert len(tree.edge) == len(leaves).bit_count()


@given(st.lists(st.binary(max_size=4), max_size=70), st.integers(0, 70))
def test_a_tree_that_was_written_down_grows_on(leaves: list[bytes], at: int) -> None:
    first = tree_of(leaves[:at])
    again = Tree(first.size, [bytes(node) for node in first.edge])
    for leaf in leaves[at:]:
        again.add(leaf)
    assert again.root() == by_the_rfc(leaves)


def test_an_edge_that_does_not_fit_its_size_is_refused() -> None:
    with pytest.raises(ValueError, match="3 leaves has 2 complete subtrees, not 1"):
        Tree(3, [b"0" * 32])


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=70), st.data())
def test_each_leaf_leads_to_the_root_and_no_other_does(leaves: list[bytes], data: st.DataObject) -> None:
    size, root = len(leaves), by_the_rfc(leaves)
    hashes = [leaf_hash(leaf) for leaf in leaves]
    index = data.draw(st.integers(0, size - 1))
    path = inclusion_path(hashes, index)
    assert len(path) <= (size - 1).bit_length()
    assert root_by_path(hashes[index], index, size, path) == root
    assert root_by_path(leaf_hash(b"another"), index, size, path) != root
    for wrong in range(len(path)):
        assert root_by_path(hashes[index], index, size, [*path[:wrong], b"\0" * 32, *path[wrong + 1 :]]) != root
    with pytest.raises(ValueError, match="too long"):
        root_by_path(hashes[index], index, size, [*path, b"\0" * 32])
    if path:
        with pytest.raises(ValueError, match="too short"):
            root_by_path(hashes[index], index, size, path[:-1])


def test_a_leaf_that_is_not_there() -> None:
    with pytest.raises(IndexError, match="no leaf 3 among 3"):
        inclusion_path([b""] * 3, 3)
    with pytest.raises(ValueError, match="no leaf 3 among 3"):
        root_by_path(b"", 3, 3, [])


def test_the_root_of_the_format_page_is_that_of_its_entries() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "format.md").read_text()
    tree = Tree()
    first, second, _, _, third, *_ = re.findall(r'^\{"hash":"([0-9a-f]{64})"', page, re.M)
    for hash_ in (first, second, third):
        tree.add(hash_.encode())
    assert f"`{tree.root().hex()}`" in page


@given(parts=st.lists(st.integers(0, 40), max_size=6))
def test_leaves_put_in_together_are_as_one_by_one(parts: list[int]) -> None:
    together, single, number = Tree(), Tree(), 0
    for part in parts:
        leaves = [str(number + n).encode() for n in range(part)]
        number += part
        together.extend(leaves)
        for leaf in leaves:
            single.add(leaf)
        assert (together.size, together.edge, together.root()) == (single.size, single.edge, single.root())
