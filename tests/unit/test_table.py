"""The table of moves is read whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import Code, Fault
from gateway.routing.stand import BEEINDIGD, NIEUW, Soort
from gateway.routing.table import GESPREK, read

GOOD = """
[staten]
NIEUW = "Er is nog niets gezegd."
GEVRAAGD = "Er is iets gevraagd."
BEEINDIGD = "Het gesprek is voorbij."

[[rij]]
soort = ["Saldoverzoek", "Navraag"]
zegt = "shv"
van = ["NIEUW", "GEVRAAGD"]
naar = "GEVRAAGD"
bron = "proef"

[[rij]]
soort = ["RegelingBeeindigd"]
zegt = "*"
van = ["+"]
naar = "BEEINDIGD"
reden = "="
bron = "proef"

[statusantwoord]
GEVRAAGD = "INVENTARISATIE"
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "gesprek.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_table_is_read_by_kind_in_the_order_of_the_file(tmp_path: Path) -> None:
    table = read(written(tmp_path, GOOD))

    (asked,) = table.rows["Saldoverzoek"]
    assert table.rows["Navraag"] == (asked,)
    assert asked.naar == "GEVRAAGD"
    assert [row.soort[0] for row in table.moves()] == ["Saldoverzoek", "RegelingBeeindigd"]
    assert table.status_codes == {"GEVRAAGD": "INVENTARISATIE"}


def test_any_state_is_before_the_end_and_a_running_one_is_not_new(tmp_path: Path) -> None:
    anywhere = GOOD.replace('van = ["NIEUW", "GEVRAAGD"]', 'van = ["*"]')
    first, last = read(written(tmp_path, anywhere)).moves()

    assert first.states([NIEUW, "GEVRAAGD", BEEINDIGD]) == [NIEUW, "GEVRAAGD"]
    assert last.states([NIEUW, "GEVRAAGD", BEEINDIGD]) == ["GEVRAAGD"]


def test_codes_and_terms_are_those_that_the_gateway_knows(tmp_path: Path) -> None:
    text = GOOD.replace('naar = "GEVRAAGD"', 'weigert = "SALDO_NOG_OPEN"\nterm = "voorstel"')

    (row,) = read(written(tmp_path, text)).rows["Saldoverzoek"]

    assert row.weigert is Code.SALDO_NOG_OPEN
    assert row.term is Soort.VOORSTEL


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('soort = ["Saldoverzoek", "Navraag"]', "soort = []", "rij 1: soort"),
        ('soort = ["Saldoverzoek", "Navraag"]', 'soort = "Navraag"', "rij 1: soort"),
        ('zegt = "shv"', "", "rij 1: zegt"),
        ('zegt = "shv"', 'zegt = "rechter"', "rij 1: unknown side rechter"),
        ('van = ["NIEUW", "GEVRAAGD"]', "van = []", "rij 1: van"),
        ('van = ["NIEUW", "GEVRAAGD"]', 'van = ["NIEUWER"]', "rij 1: unknown state NIEUWER"),
        ('naar = "GEVRAAGD"', 'naar = "GEVRAAGT"', "rij 1: unknown state GEVRAAGT"),
        ('naar = "GEVRAAGD"', 'naar = "BEEINDIGD"', "rij 1: an end has a reden"),
        ('naar = "GEVRAAGD"', 'reden = "="', "rij 1: an end has a reden"),
        ('reden = "="', "", "rij 2: an end has a reden"),
        ('bron = "proef"\n\n[[rij]]', 'bron = ""\n\n[[rij]]', "rij 1: bron"),
        ('naar = "GEVRAAGD"', 'nar = "GEVRAAGD"', "rij 1: unknown key nar"),
        ('naar = "GEVRAAGD"', 'eist = ["alles_goed"]', "rij 1: unknown guard alles_goed"),
        ('naar = "GEVRAAGD"', 'wanneer = ["ooit"]', "rij 1: unknown condition ooit"),
        ('naar = "GEVRAAGD"', 'eist = "alleen_bij_sb"', "rij 1: eist must be a list"),
        ('naar = "GEVRAAGD"', 'als = "AKKOORD"', "rij 1: als must be a list"),
        ('naar = "GEVRAAGD"', 'kern = "alles"', "rij 1: unknown kern alles"),
        ('naar = "GEVRAAGD"', 'weigert = "FOUT"', "rij 1: unknown code FOUT"),
        ('naar = "GEVRAAGD"', 'term = "ooit"', "rij 1: unknown term ooit"),
        ('naar = "GEVRAAGD"', 'merkt = "verouderd"', "rij 1: merkt must be a list"),
        ('naar = "GEVRAAGD"', 'ontmerkt = "verouderd"', "rij 1: ontmerkt must be a list"),
        ('GEVRAAGD = "INVENTARISATIE"', 'GEVRAAGT = "X"', "unknown state GEVRAAGT"),
        ('BEEINDIGD = "Het gesprek is voorbij."', "", "no states"),
        ('NIEUW = "Er is nog niets gezegd."', "", "no states"),
        ("[[rij]]", "[[rijen]]", "no rows"),
        ("[staten]", "[staten", "cannot be read"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused_and_named(
    tmp_path: Path, old: str, new: str, named: str
) -> None:
    assert old in GOOD

    with pytest.raises(Fault, match="gesprek: ") as refused:
        read(written(tmp_path, GOOD.replace(old, new)))

    assert named in str(refused.value)


def test_a_table_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="cannot be read"):
        read(tmp_path / "gesprek.toml")


def test_the_table_of_this_gateway_can_be_read() -> None:
    table = read(GESPREK)

    assert NIEUW in table.staten
    assert all(row.bron for row in table.moves())
