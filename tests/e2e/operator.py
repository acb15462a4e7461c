"""The operator's command line, on the gateway of a world."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner

from fixtures.world import World
from gateway.cli import app
from gateway.errors import Fault

WIDE = "400"
"""Columns of the screen: no table breaks a line here."""


class Said(str):
    """What a command printed.

    Attributes:
        code: Its exit code.
    """

    __slots__ = ("code",)

    code: int


def operator(world: World, *arguments: str, answer: str | None = None) -> Said:
    """Run ``gateway …`` as an operator would; ``answer`` is what is typed in."""
    environment = {**world.environment, "COLUMNS": WIDE}
    done = CliRunner().invoke(app, arguments, env=environment, input=answer)
    if isinstance(done.exception, Fault):  # main() makes one sentence and exit code 1 of it
        said = Said(done.output + str(done.exception))
        said.code = 1
        return said
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    said = Said(done.output)
    said.code = done.exit_code
    return said


def operator_json(world: World, *arguments: str) -> Any:
    """The same with ``--json``, read."""
    said = operator(world, *arguments, "--json")
    assert said.code == 0, said
    return json.loads(said)
