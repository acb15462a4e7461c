"""A folder of keys is complete or nothing starts, and no key is made that would fit nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.world import GATEWAY
from gateway.adapters.keyring import DIGEST, Keyring, make_missing
from gateway.adapters.secret_files import path_of, write_secret
from gateway.errors import Fault

KINDS = {"kluis": "kluis-0001.sleutel", "index": "index-0001.sleutel", "samenvatting": DIGEST}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys") / "sleutels"
    make_missing(folder, GATEWAY)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    copied = tmp_path / "sleutels"
    copied.mkdir()
    for each in made.iterdir():
        (copied / each.name).write_bytes(each.read_bytes())
        (copied / each.name).chmod(0o600)
    return copied


@pytest.mark.parametrize("kind", KINDS)
def test_each_key_is_needed(folder: Path, kind: str) -> None:
    (folder / KINDS[kind]).unlink()

    with pytest.raises(Fault, match=f"{KINDS[kind]} is missing"):
        Keyring.load(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_that_the_ledger_was_used_with_is_not_made_anew(folder: Path, kind: str) -> None:
    (folder / KINDS[kind]).unlink()

    with pytest.raises(Fault, match="restore it from its own backup"):
        make_missing(folder, GATEWAY, {kind})
    assert not (folder / KINDS[kind]).exists()

    assert make_missing(folder, GATEWAY) != []
    assert (folder / KINDS[kind]).exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", ["short", "open", "folder"])
def test_a_key_that_is_not_what_it_should_be_stops_the_start(
    folder: Path, kind: str, wrong: str
) -> None:
    path = folder / KINDS[kind]
    if wrong == "short":
        path.write_bytes(b"x" * 31)
    elif wrong == "open":
        path.chmod(0o604)
    else:
        path.unlink()
        path.mkdir()

    with pytest.raises(Fault, match=KINDS[kind]):
        Keyring.load(folder)


def test_every_key_says_which_it_is(folder: Path) -> None:
    write_secret(path_of(folder, "kluis", 2))
    keyring = Keyring.load(folder)

    checks = keyring.checks()

    assert set(checks) == {("samenvatting", 1), ("kluis", 1), ("kluis", 2), ("index", 1)}
    assert len(set(checks.values())) == 4
    assert keyring.in_use() == {"samenvatting": 1, "kluis": 2, "index": 1}


def test_a_key_is_never_written_over_another(folder: Path) -> None:
    path = path_of(folder, "kluis", 1)
    before = path.read_bytes()

    with pytest.raises(FileExistsError):
        write_secret(path)

    assert path.read_bytes() == before
    assert sorted(each.name for each in folder.iterdir() if "kluis" in each.name) == [path.name]
