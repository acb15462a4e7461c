"""What an operator typed: is it what we asked for, and who typed it?"""

from __future__ import annotations

import getpass
import os
import re

from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger.ledger import SqlLedger, open_ledger
from gateway.errors import Fault
from gateway.message import Oin
from gateway.settings import load


def the_ledger() -> SqlLedger:
    """The ledger of the gateway that the environment describes, opened with its keys.

    Raises:
        Fault: it was not prepared, or does not answer.
    """
    settings = load(os.environ)
    return open_ledger(settings.ledger, Keyring.load(settings.keys))


def an_oin(option: str, text: str) -> Oin:
    """An OIN as it was typed.

    Raises:
        Fault: it is not 20 digits.
    """
    if not re.fullmatch(r"[0-9]{20}", text):
        raise Fault(f"{option}: an OIN is 20 digits")
    return Oin(text)


def not_blank(option: str, text: str) -> str:
    """A text that says something.

    Raises:
        Fault: it does not.
    """
    if not text.strip():
        raise Fault(f"{option}: may not be blank")
    return text.strip()


def who(named: str | None) -> str:
    """Who does this: as named, or else as this machine knows the user."""
    if named is not None:
        return not_blank("door", named)
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number without a name
        return f"uid-{os.getuid()}"
