"""Figures as people read them: a median, its range, and its share of what the machine can do."""

import statistics
from dataclasses import dataclass, field


@dataclass
class Figure:
    """One line of the table: a value for each run, with the yardstick measured just before it."""

    name: str
    unit: str
    values: list[float] = field(default_factory=list)
    yardsticks: list[float] = field(default_factory=list)
    note: str = ""

    def add(self, value: float, *, yardstick: float) -> None:
        """Take the result of one more run."""
        self.values.append(value)
        self.yardsticks.append(yardstick)

    @property
    def ratio(self) -> float:
        """Return the median share of the yardstick, each run against its own."""
        shares = [value / yard for value, yard in zip(self.values, self.yardsticks, strict=True)]
        return statistics.median(shares)

    def row(self) -> tuple[str, str, str, str]:
        """Return the cells of its line."""
        value = f"{_short(statistics.median(self.values))} {self.unit}"
        spread = f"{_short(min(self.values))} – {_short(max(self.values))}"
        ratio = f"{self.ratio:.2f}" if self.unit == "/s" else ""
        return self.name, value, spread, ratio


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def percentile(values: list[float], share: float) -> float:
    """Return the smallest value that at least that share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def table(figures: list[Figure]) -> str:
    """Return the figures as an aligned table, which is also Markdown."""
    head = ("what", "median", "lowest – highest", "of the yardstick")
    rows = [head, *(figure.row() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
