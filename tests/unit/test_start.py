"""What a starting gateway loads: each module is time before it is ready, and memory for good."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest
import typer
from typer.main import get_group

from fixtures.running import ROOT
from gateway import cli

STARTS = """
import sys
from gateway import cli
from gateway.cli import dienst
dienst._run = lambda work: work.close()
sys.argv = ["gateway", "dienst"]
try:
    cli.main()
except SystemExit as ended:
    assert not ended.code, ended.code
print(*sys.modules)
"""
"""``gateway dienst`` until all is loaded; nothing is opened."""

ONLY_FOR_OTHERS = {
    "fpdf": "pages of evidence",
    "fontTools": "pages of evidence",
    "PIL": "pages of evidence",
    "gateway.adapters.exhibit_files": "'gateway bewijs'",
    "gateway.prepare": "'gateway inrichten'",
    "aio_pika": "a gateway with a broker",
    "aiormq": "a gateway with a broker",
}


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", STARTS], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ONLY_FOR_OTHERS)
def test_a_starting_gateway_loads_nothing_that_only_others_need(
    module: str, loaded: set[str]
) -> None:
    assert "gateway.process" in loaded
    assert module not in loaded, ONLY_FOR_OTHERS[module]


@pytest.mark.parametrize("module", sorted(set(cli.MODULES.values())))
def test_each_command_of_a_module_is_found_by_its_word(module: str) -> None:
    part = typer.Typer()

    import_module(f"gateway.cli.{module}").add_to(part)

    words = {word for word, its in cli.MODULES.items() if its == module}
    assert set(get_group(part).commands) == words
