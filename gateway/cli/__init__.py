"""The command line: Dutch sub-commands, ``--json`` for scripts, and what to do next."""

from __future__ import annotations

import resource
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from gateway.cli.trouble import TROUBLE, sentence

MODULES = {
    "inrichten": "dienst",
    "dienst": "dienst",
    "lid": "dienst",
    "bewaring": "bewaring",
    "klok": "klok",
    "termijnen": "termijnen",
    "token": "ondertekenen",
    "onderteken": "ondertekenen",
    "partijen": "partijen",
    "gestrand": "gestrand",
    "rabbitmq": "rabbitmq",
    "bewijs": "bewijs",
    "betrokkene": "betrokkene",
    "reservekopie": "reservekopie",
    "sleutels": "sleutels",
}
"""By the first word, the module that has the command."""

LEFT_OUT = ("httpx._main", "pydantic.v1")
"""What libraries load at once and nothing here uses: a command line, and models of a past release.
They go on without, as where it is not installed: ``None`` among the modules says so."""

CORE_FILTER = Path("/proc/self/coredump_filter")
"""Which parts of the memory a core has; only Linux knows it."""


class Commands(TyperGroup):
    """All commands, each read when it is asked for: a gateway that starts needs one of them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The first words, in the order in which help shows them."""
        return list(MODULES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this word; None where there is none."""
        # of a word that is none of ours, the nearest is looked for among all
        for word in [cmd_name] if cmd_name in MODULES else MODULES:
            if word not in self.commands:
                part = typer.Typer()
                import_module(f"{__name__}.{MODULES[word]}").add_to(part)
                self.commands.update(get_group(part).commands)
        return self.commands.get(cmd_name)


app = typer.Typer(
    name="gateway",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def gateway() -> None:
    """Berichtengateway voor schuldhulpverlening."""


def leave_no_core() -> None:
    """Have the kernel keep no memory when this process crashes: it may hold content.

    What it starts inherits that. A limit of 0 keeps a core from the disk, but not from a program
    that collects cores; 1 does both (core(5), ``core_pattern`` with a pipe). Where it may not be
    set, and for whoever lifts it again, a core has no memory in it (``coredump_filter``, there).
    """
    most = resource.getrlimit(resource.RLIMIT_CORE)[1]
    at_most = 0 if most == 0 else 1
    resource.setrlimit(resource.RLIMIT_CORE, (at_most, at_most))
    if CORE_FILTER.exists():
        CORE_FILTER.write_text("0")


def main() -> None:
    """Run one command; trouble is one clear sentence and exit code 1, never a trace."""
    leave_no_core()
    for name in LEFT_OUT:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
    try:
        app()
    except TROUBLE as error:
        sys.exit(f"gateway: {sentence(error)}")
