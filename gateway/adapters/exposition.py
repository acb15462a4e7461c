"""The text format of Prometheus, version 0.0.4: the little of it that a gateway needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric with its values.

    Attributes:
        kind: ``counter``, ``gauge`` or ``histogram``.
        samples: What comes after the name (as ``_bucket``), labels, and the value.
    """

    name: str
    help: str
    kind: str
    samples: Sequence[tuple[str, Labels, float]]


def value(name: str, told: str, number: float | None, *, kind: str = "gauge") -> Metric:
    """A metric with one value; with none where that is not known."""
    return Metric(name, told, kind, () if number is None else [("", {}, number)])


def histogram(
    name: str, told: str, limits: Sequence[float], counts: Sequence[int], total: float
) -> Metric:
    """A metric of how many fell within each limit.

    Args:
        counts: Within each limit and above the one before, and last: above all of them.
        total: The sum of all that was counted.
    """
    samples: list[tuple[str, Labels, float]] = []
    passed = 0
    for limit, count in zip([*map(_number, limits), "+Inf"], counts, strict=True):
        passed += count
        samples.append(("_bucket", {"le": limit}, passed))
    samples += [("_sum", {}, total), ("_count", {}, passed)]
    return Metric(name, told, "histogram", samples)


def text(metrics: Iterable[Metric]) -> str:
    """All of them as a page."""
    return "".join(f"{line}\n" for metric in metrics for line in _lines(metric))


def _lines(metric: Metric) -> Iterator[str]:
    told = metric.help.replace("\\", r"\\").replace("\n", r"\n")
    yield f"# HELP {metric.name} {told}"
    yield f"# TYPE {metric.name} {metric.kind}"
    for suffix, labels, number in metric.samples:
        inside = ",".join(f'{name}="{_escaped(each)}"' for name, each in labels.items())
        named = f"{metric.name}{suffix}{{{inside}}}" if inside else f"{metric.name}{suffix}"
        yield f"{named} {_number(number)}"


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(number: float) -> str:
    """Whole numbers without a fraction."""
    return str(int(number)) if float(number).is_integer() else repr(float(number))
