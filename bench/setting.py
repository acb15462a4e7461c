"""What every measurement works with: servers, keys, documents, the plan and the screen."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import corpus
from bench.corpus import Size
from bench.plan import Plan
from bench.servers import Servers, servers
from fixtures.pki import Pki, make
from gateway.schemas import Catalogue

screen = Console(width=118, highlight=False)


@dataclass
class Setting:
    """Built once for a whole run."""

    plan: Plan
    folder: Path
    pki: Pki
    catalogue: Catalogue
    servers: Servers
    progress: Progress
    _sizes: dict[str, Size] = field(default_factory=dict)

    def size(self, name: str) -> Size:
        """One of the sizes of the race."""
        if not self._sizes:
            found = corpus.sizes(self.catalogue, self.pki)
            self._sizes = {each.name: each for each in found}
        return self._sizes[name]

    @contextmanager
    def documents(self, count: int, *sizes: Size) -> Iterator[Path]:
        """A corpus of so many documents that take turns in these sizes; gone afterwards."""
        path = self.folder / f"corpus-{'-'.join(str(each.claims) for each in sizes)}"
        with self.step(f"signing {count} documents", count) as advance:
            pattern = tuple(each.claims for each in sizes)
            corpus.write(path, self.pki, pattern, count, advance)
        try:
            yield path
        finally:
            path.unlink()

    @contextmanager
    def step(self, what: str, total: float) -> Iterator[Callable[[int], None]]:
        """A bar for one thing that takes a while."""
        task = self.progress.add_task(what, total=total)
        try:
            yield lambda by: self.progress.advance(task, by)
        finally:
            self.progress.remove_task(task)


@contextmanager
def opened(plan: Plan) -> Iterator[Setting]:
    """A setting with both servers running."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-bench-")))
        progress = Progress(*columns, TimeElapsedColumn(), console=screen, transient=True)
        started = stack.enter_context(servers())
        stack.enter_context(progress)
        yield Setting(plan, folder, make(folder / "pki"), Catalogue.load(), started, progress)
