"""docs/first-party.md is true: its commands run, one after the other, as a newcomer runs them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.pki import Pki
from fixtures.running import ROOT, as_process
from fixtures.world import lay_out, process_environment

PAGE = ROOT / "docs" / "first-party.md"


@pytest.mark.timeout(300)  # every command is a process of its own, and there are many
def test_every_command_of_the_page_works_against_a_running_gateway(
    tmp_path: Path, pki: Pki
) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    script = "set -euo pipefail\n" + "\n".join(blocks).replace(".venv/bin/python", sys.executable)
    world = lay_out(tmp_path / "gateway", [], pki=pki)
    environment = {**process_environment(world), "WERK": str(tmp_path / "werk")}

    with as_process(world):
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    assert len(blocks) >= 10
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "ontvangstbevestiging" in done.stdout
