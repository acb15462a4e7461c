"""What every fault test says in the end: how many, in the table at the end of the run."""

from tests.conftest import Counts

__all__ = ["Counts"]
