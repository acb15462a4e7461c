"""Hostile XML costs next to nothing: milliseconds, flat memory, and nothing left behind.

Each is measured in a process of its own: the parser's memory is invisible to tracemalloc,
and a high-water mark never goes down again.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.errors import Code

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")

BOMBS = {
    "namespaces": b"<K %s>%s</K>"
    % (b" ".join(b'xmlns:p%d="urn:x%d"' % (n, n) for n in range(6_000)), b"<A/>" * 5_000),
    "one-long-namespace": b'<K xmlns="urn:%s">%s</K>' % (b"x" * 130_000, b"<A/>" * 5_000),
    "one-long-prefix": b'<K xmlns:%s="%s"/>' % (b"p" * 130_000, b"urn:nld:schuldhulp-gateway:x:v1"),
    "depth": b"<A>" * 100_000 + b"</A>" * 100_000,
    "depth-unclosed": b"<A>" * 100_000,
    "attributes": b"<A " + b" ".join(b'a%d=""' % n for n in range(100_000)) + b"/>",
    "long-attribute": b'<K a="' + b"x" * 5_000_000 + b'"/>',
    "quotes": b"<K " + b"a='" * 1_000_000,
    "space": b"<K" + b" " * 5_000_000 + b"/>",
    "openings-before-a-long-text": b"<K>" + b"<![CDATA[" * 90_000 + b"x" * 8_000_000 + b"</K>",
    "character-data": b"<K>" + b"<![CDATA[" * 100_000 + b"</K>",
    "entities": b'<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><a>&b;</a>',
    "elements": b"<A>" + b"<A/>" * 1_000_000 + b"</A>",
    "ampersands": b"<A>" + b"&" * 1_000_000 + b"</A>",
    "angles": b"<" * 1_000_000,
}

FLOOD = """
import sys
from gateway import xml
from gateway.errors import Refusal

def digits(number):
    return "".join(" \\n\\t"[number // 3**place % 3] for place in range(24))

HOSTILE = {
    "names": lambda n: "".join(f"<n{n}x{i}/>" for i in range(400)),
    "ends": lambda n: "".join(f"</n{n}x{i}>" for i in range(400)),
    "prefixes": lambda n: "".join(f"<n{n}x{i}:A/>" for i in range(400)),
    "attributes": lambda n: "<A " + " ".join(f'n{n}x{i}=""' for i in range(400)) + "/>",
    "space": lambda n: "".join(digits(n * 400 + i) + "<A/>" for i in range(400)),
    "entities": lambda n: "".join(f"&n{n}x{i};" for i in range(400)),
    "hidden": lambda n: '<A Id="<![CDATA[" />' + HOSTILE["names"](n) + ']]>"/>',
    "broken": lambda n: "<A " + "".join(f"<n{n}x{i} " for i in range(400)),
}

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4

def flood(first):
    for number in range(first, first + 400):
        inside = HOSTILE[sys.argv[1]](number)
        try:
            xml.parse(f'<K xmlns="urn:nld:schuldhulp-gateway:x:v1">{inside}</K>'.encode())
        except Refusal:
            pass

flood(0)
before = resident()
flood(1_000)
print(resident() - before)
"""


@pytest.mark.parametrize(
    "kind",
    ["names", "ends", "prefixes", "attributes", "space", "entities", "hidden", "broken"],
)
def test_hostile_names_leave_nothing_behind_in_the_parser(kind: str) -> None:
    # 160 000 new names; unguarded, libxml2 keeps about 10 MB of them for ever.
    measured = subprocess.run(
        [sys.executable, "-c", FLOOD, kind], capture_output=True, check=True, timeout=50
    )

    assert int(measured.stdout) < 3_000


MEASURE = """
import sys, time
from gateway import xml
from gateway.errors import Refusal

def highest():
    # Not ru_maxrss: that begins with what the parent process had.
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))

try:
    xml.parse(b"<a>")
except Refusal:
    pass
body = sys.stdin.buffer.read()
before, start = highest(), time.process_time()
try:
    xml.parse(body)
except Refusal as refusal:
    took = time.process_time() - start
    print(refusal.code, took * 1000, highest() - before)
"""


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_milliseconds_with_flat_memory(name: str) -> None:
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE],
        input=BOMBS[name],
        capture_output=True,
        check=True,
        timeout=30,
    )

    code, milliseconds, kilobytes = measured.stdout.decode().split()
    assert code in {Code.XML_ONGELDIG, Code.DOCTYPE_VERBODEN}
    assert float(milliseconds) < 500  # of a slow core; at most twenty of a fast one
    assert int(kilobytes) < 40_000
