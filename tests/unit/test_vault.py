"""A seal opens with its own key, for its own message, as its own part, and never otherwise."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from gateway.adapters import vault as module
from gateway.adapters.blind_index import BlindIndex
from gateway.adapters.secret_files import path_of, read_generations, write_secret
from gateway.adapters.vault import DataKey, SealBroken, Vault, VaultKeyMissing
from gateway.errors import Fault

OLD, NEW = b"o" * 32, b"n" * 32


def test_what_is_sealed_is_not_there_in_the_open() -> None:
    key = Vault({1: OLD}).make(b"a/1")
    content = b"een naam die niemand mag lezen " * 30

    sealed = key.seal("origineel", content)

    assert key.open("origineel", sealed) == content
    assert content[:12] not in sealed
    assert len(sealed) < len(content)  # it was compressed before it was sealed
    assert not any(content[:12] in inflated(sealed[at:]) for at in range(len(sealed)))


def inflated(content: bytes) -> bytes:
    """What comes out of bytes that begin as something deflated; nothing of any other."""
    try:
        return zlib.decompressobj().decompress(content)
    except zlib.error:
        return b""


@pytest.mark.parametrize("place", [0, 11, 12, -17, -1])
def test_a_changed_bit_is_noticed_wherever_it_is(place: int) -> None:
    key = Vault({1: OLD}).make(b"a/1")
    sealed = bytearray(key.seal("origineel", b"inhoud"))
    sealed[place] ^= 1

    with pytest.raises(SealBroken):
        key.open("origineel", bytes(sealed))


@pytest.mark.parametrize("sealed", [b"", b"kort", bytes(12), bytes(28)])
def test_what_was_never_sealed_does_not_open(sealed: bytes) -> None:
    with pytest.raises(SealBroken):
        Vault({1: OLD}).make(b"a/1").open("origineel", sealed)


def test_parts_and_messages_are_not_exchanged() -> None:
    vault = Vault({1: OLD})
    key = vault.make(b"a/1")
    sealed = key.seal("origineel", b"inhoud")

    renamed = DataKey(key.version, key.wrapped, b"a/2", key._cipher)

    with pytest.raises(SealBroken):
        key.open("canoniek", sealed)
    with pytest.raises(SealBroken):
        renamed.open("origineel", sealed)
    with pytest.raises(SealBroken):
        vault.take(b"a/2", key.version, key.wrapped)
    with pytest.raises(SealBroken):
        vault.make(b"a/1").open("origineel", sealed)


def test_a_key_that_is_missing_or_wrong_opens_nothing() -> None:
    key = Vault({1: OLD}).make(b"a/1")

    with pytest.raises(VaultKeyMissing, match="0001 is not here: restore"):
        Vault({2: NEW}).take(b"a/1", 1, key.wrapped)
    with pytest.raises(SealBroken):
        Vault({1: NEW}).take(b"a/1", 1, key.wrapped)


def test_wrapping_again_keeps_what_was_sealed() -> None:
    both = Vault({1: OLD, 2: NEW})
    both.use(1)
    key = both.make(b"a/1")
    sealed = key.seal("origineel", b"inhoud")

    wrapped = both.wrap_again(b"a/1", 1, key.wrapped, to=2)

    assert key.version == 1
    assert Vault({2: NEW}).take(b"a/1", 2, wrapped).open("origineel", sealed) == b"inhoud"


def test_content_that_would_grow_without_end_is_not_opened() -> None:
    key = Vault({1: OLD}).make(b"a/1")
    bomb = zlib.compress(bytes(module._LARGEST_CONTENT + 1), 1)
    nonce = bytes(12)
    sealed = nonce + key._cipher.encrypt(nonce, b"\x01" + bomb, key._bound("origineel"))

    with pytest.raises(SealBroken, match="larger"):
        key.open("origineel", sealed)


def test_a_key_that_came_while_we_ran_is_found_when_it_is_needed(tmp_path: Path) -> None:
    write_secret(path_of(tmp_path, "kluis", 1), OLD)
    vault = Vault(read_generations(tmp_path, "kluis"), lambda: read_generations(tmp_path, "kluis"))
    index = BlindIndex({1: OLD}, lambda: {2: NEW})
    elsewhere = Vault({1: OLD, 2: NEW}).make(b"a/1")
    write_secret(path_of(tmp_path, "kluis", 2), NEW)

    vault.take(b"a/1", 2, elsewhere.wrapped)
    index.learn()

    assert vault.newest == 1  # until it is told that all others have it as well
    assert vault.versions == index.versions == {1, 2}
    vault.use(2)
    assert vault.make(b"a/2").version == 2


@pytest.mark.parametrize("replaced", [True, False])
def test_a_key_file_that_changes_while_we_ran_changes_nothing_of_what_we_seal(
    *, replaced: bool, tmp_path: Path
) -> None:
    file = path_of(tmp_path, "kluis", 1)
    write_secret(file, OLD)
    vault = Vault(read_generations(tmp_path, "kluis"), lambda: read_generations(tmp_path, "kluis"))
    index = BlindIndex({1: OLD}, lambda: {1: NEW} if replaced else {})
    mark, check = index.mark("999990019"), vault.checks
    file.unlink()
    write_secret(path_of(tmp_path, "kluis", 1 if replaced else 2), NEW)

    vault.learn()
    index.learn()

    assert vault.checks[1] == check[1]
    made = vault.make(b"a/1")
    Vault({1: OLD}).take(b"a/1", made.version, made.wrapped)  # opens, or raises
    assert index.mark("999990019") == mark


def test_a_new_key_that_others_may_read_is_not_taken(tmp_path: Path) -> None:
    write_secret(path_of(tmp_path, "kluis", 1), OLD)
    vault = Vault(read_generations(tmp_path, "kluis"), lambda: read_generations(tmp_path, "kluis"))
    write_secret(path_of(tmp_path, "kluis", 2), NEW)
    path_of(tmp_path, "kluis", 2).chmod(0o640)

    with pytest.raises(Fault, match="open to others"):
        vault.learn()
    with pytest.raises(VaultKeyMissing, match="open to others"):
        vault.use(2)
    assert vault.newest == 1


def test_keys_of_another_length_or_none_are_refused() -> None:
    for keys in ({}, {1: b"kort"}, {1: OLD, 2: OLD + b"x"}):
        with pytest.raises(VaultKeyMissing):
            Vault(keys)


def test_what_a_key_answers_shows_which_it_is_and_is_not_the_key() -> None:
    checks = Vault({1: OLD, 2: NEW}).checks

    assert checks[1] != checks[2]
    assert checks == Vault({1: OLD, 2: NEW}).checks
    assert BlindIndex({1: OLD}).checks[1] != checks[1]  # one kind does not pass for another
    assert OLD not in checks.values()
