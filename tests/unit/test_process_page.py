"""The page for people of the field says what the tables say, and all of it."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from docs.process import PAGE, WORDS, page
from gateway.errors import Code
from gateway.routing import table
from gateway.routing.guards import CONDITIONS, GUARDS
from gateway.routing.policy import read as read_rights
from gateway.routing.stand import BEEINDIGD
from gateway.routing.terms import read as read_terms

TEXT = page()
TABLE = table.read()
STATES = tuple(TABLE.staten)


def words() -> dict[str, Any]:
    return tomllib.loads(WORDS.read_text(encoding="utf-8"))


def drawings() -> list[list[str]]:
    """The lines of every drawing."""
    return [
        [line.strip() for line in block.strip().splitlines()]
        for block in re.findall(r"^```mermaid\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
    ]


def section(heading: str) -> str:
    """The text under a heading, up to the next one of its level or above."""
    level = heading.split(" ", 1)[0]
    _, _, after = TEXT.partition(f"\n{heading}\n")
    return re.split(rf"^#{{2,{len(level)}}} ", after, maxsplit=1, flags=re.MULTILINE)[0]


def test_the_process_page_is_made_from_the_tables_as_they_are() -> None:
    assert PAGE.read_text(encoding="utf-8") == TEXT, "run: make docs"


def test_every_state_is_drawn_explained_and_has_a_section_of_its_own() -> None:
    drawn = {each for lines in drawings() for line in lines for each in re.findall(r"\w+", line)}

    assert set(STATES) <= drawn
    for state, meaning in TABLE.staten.items():
        assert f"| [{state}](#{state.lower()}) | {meaning} |" in TEXT
        assert section(f"### {state}").strip().startswith(meaning)


def test_a_drawing_is_an_arrow_or_a_declaration_on_each_line_and_no_arrow_comes_twice() -> None:
    end = r"(?:\[\*\]|\w+)"

    assert len(drawings()) == len(words()["fasen"])
    for first, *lines in drawings():
        assert first == "stateDiagram-v2"
        named = {
            m[1]
            for line in lines
            if (m := re.fullmatch(r'state "[^":]+(?::[^":]+)?" as (\w+)', line))
        }
        arrows = [
            m for line in lines if (m := re.fullmatch(rf"({end}) --> ({end})(?:: [^:]+)?", line))
        ]
        assert len(named) + len(arrows) == len(lines)
        ends = [(m[1], m[2]) for m in arrows]
        assert len(set(ends)) == len(ends)
        assert {each for way in ends for each in way} <= {*STATES, *named, "[*]"}


def arrows() -> list[tuple[str, str, str]]:
    """From, to, label; another phase by its name, as the drawing shows it."""
    found = []
    for lines in drawings():
        named = dict(
            re.findall(r'^state "\(fase: (.+)\)" as (\w+)$', "\n".join(lines), re.MULTILINE)
        )
        names = {short: name for name, short in named.items()}
        for start, to, label in re.findall(
            r"^(\w+) --> (\w+): (.+)$", "\n".join(lines), flags=re.MULTILINE
        ):
            found.append((names.get(start, start), names.get(to, to), label))
    return found


def test_every_move_to_another_state_is_in_a_drawing_or_in_the_list_below_it() -> None:
    phases = words()["fasen"].items()
    phase = {state: name for name, each in phases for state in each["standen"]}
    drawn, told = arrows(), section("## De loop van het gesprek").splitlines()

    for row in TABLE.moves():
        if row.naar is None or row.weigert is not None or table.RUNNING in row.van:
            continue
        said = row.soort if row.zegt != table.KLOK else ("voorbij",)
        for start in set(row.states(STATES)) - {row.naar}:
            for soort in said:
                assert any(
                    from_ in (start, phase[start])
                    and to in (row.naar, phase[row.naar])
                    and soort in label
                    for from_, to, label in drawn
                ) or any(
                    line.endswith(f" naar {row.naar}") and start in line and soort in line
                    for line in told
                ), (start, soort, row.naar)


def test_every_state_says_what_may_be_said_in_it_and_by_whom() -> None:
    for row in TABLE.moves():
        for state in set(row.van) & set(STATES):
            told = section(f"### {state}")
            outcome = row.weigert or (row.naar if row.naar != state else None) or "blijft"
            for soort in row.soort if row.zegt != table.KLOK else ("voorbij",):
                assert any(soort in line and outcome in line for line in told.splitlines()), row


def test_what_may_be_said_everywhere_is_told_once() -> None:
    told = section("## Wat overal kan")

    for row in TABLE.moves():
        if {table.EVERY, table.RUNNING} & set(row.van):
            assert all(soort in told for soort in row.soort)


def test_the_end_says_all_that_may_still_be_said() -> None:
    told = section(f"### {BEEINDIGD}")

    for row in TABLE.moves():
        if row.holds(BEEINDIGD):
            assert all(soort in told for soort in row.soort)


def test_every_condition_guard_and_mark_is_put_into_words_and_nothing_else_is() -> None:
    said = words()
    marks = {mark for row in TABLE.moves() for mark in row.merkt}

    assert said["voorwaarden"].keys() == CONDITIONS.keys()
    assert said["eisen"].keys() == GUARDS.keys()
    assert said["merken"].keys() == marks
    assert said["aan_zet"].keys() == TABLE.staten.keys()
    assert sorted(each for phase in said["fasen"].values() for each in phase["standen"]) == sorted(
        STATES
    )


def test_every_code_is_explained_once() -> None:
    told = section("## Elke code, en wat u dan doet")
    groups = words()["codes"]["groepen"].values()

    assert sorted(code for group in groups for code in group) == sorted(Code.__members__)
    for code in Code:
        assert told.count(f"\n| `{code}` | ") == 1


def test_every_right_term_and_answer_to_a_status_question_is_told() -> None:
    rights, book = read_rights(), read_terms()

    for module, name in rights.sends:
        assert name in section(f"### Module {module}")
    for row in book.rows.values():
        assert row.soort is None or row.soort in section("## Termijnen")
    for state, code in TABLE.status_codes.items():
        assert f"| {state} | `{code}` |" in TEXT


def test_no_name_of_a_working_paper_is_left_in_it() -> None:
    assert re.findall(r"process\.md \d|schuldenknooppunt\.md", TEXT) == []
