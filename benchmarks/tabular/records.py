"""What a contestant reached in one run, kept in a file of its own, and the means of runs with their intervals."""

__all__ = ["Record", "cell", "interval", "load", "ranks", "save", "table"]

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata, t

from vaeworks.files import replace_file


@dataclass(frozen=True)
class Record:
    """Figures of a contestant on one split."""

    data: str
    setting: str
    """Of the task: the share of missing cells, what rows are learned from; empty where there is only one."""
    contestant: str
    seed: int
    figures: dict[str, float]
    seconds: float
    """Of the processor, in training."""
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """Its name in a folder of records."""
        parts = (self.data, self.setting, self.contestant, str(self.seed))
        return re.sub(r"[^\w.-]+", "_", "-".join(part for part in parts if part)) + ".json"


def save(record: Record, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / record.file, json.dumps(asdict(record), indent=1).encode())


def load(folder: Path) -> list[Record]:
    """All records of a folder."""
    return [Record(**json.loads(path.read_text("utf-8"))) for path in sorted(folder.glob("*.json"))]


def once(
    folder: Path, data: str, setting: str, contestant: str, seed: int, run: Callable[[], tuple[dict[str, float], float, dict[str, Any]]]
) -> Record:
    """The record of a run, from its file where it has been run before."""
    record = Record(data, setting, contestant, seed, {}, 0.0)
    if (folder / record.file).is_file():
        return Record(**json.loads((folder / record.file).read_text("utf-8")))
    figures, seconds, more = run()
    record = Record(data, setting, contestant, seed, figures, seconds, more)
    save(record, folder)
    told = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
    print(f"{data} {setting} {contestant}, seed {seed}: {told} ({seconds:.0f} s)", flush=True)
    return record


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean over seeds and half the width of its 95% interval by Student's t; NaN of one run."""
    held = np.asarray(values, dtype=np.float64)
    if len(held) < 2:
        return float(held.mean()), math.nan
    return float(held.mean()), float(t.ppf(0.975, len(held) - 1) * held.std(ddof=1) / math.sqrt(len(held)))


def cell(values: Sequence[float], digits: int, scale: float = 1.0) -> str:
    """Mean ± half an interval, as text; a dash where nothing was measured."""
    known = [scale * value for value in values if not math.isnan(value)]
    if not known:
        return ""
    mean, half = interval(known)
    return f"{mean:.{digits}f}" + ("" if math.isnan(half) else f" ± {half:.{digits}f}")


def table(records: Iterable[Record], columns: dict[str, tuple[str, int, float]], contestants: Sequence[str]) -> list[str]:
    """Lines of Markdown: a row for each data set, setting and contestant, a column for each figure: its name -> (heading, digits, scale)."""
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.data, record.setting, record.contestant), []).append(record)
    settings = any(setting for _, setting, _ in groups)
    lines = [
        f"| data |{' setting |' if settings else ''} contestant | {' | '.join(heading for heading, _, _ in columns.values())} | CPU seconds | seeds |",
        f"|---|{'---|' if settings else ''}---|{'---|' * len(columns)}---|---|",
    ]
    order = sorted(groups, key=lambda key: (key[0], key[1], contestants.index(key[2]) if key[2] in contestants else len(contestants)))
    for data, setting, contestant in order:
        runs = groups[data, setting, contestant]
        cells = [cell([run.figures.get(name, math.nan) for run in runs], digits, scale) for name, (_, digits, scale) in columns.items()]
        seconds = f"{np.mean([run.seconds for run in runs]):.0f}"
        lines.append(f"| {data} |{f' {setting} |' if settings else ''} {contestant} | {' | '.join(cells)} | {seconds} | {len(runs)} |")
    return lines


def ranks(records: Iterable[Record], figure: str, contestants: Sequence[str], setting: str, higher: bool = True) -> dict[str, tuple[float, float]]:
    """Mean rank over data sets of each contestant, by its mean over seeds, 1 the best, and how many sets; only sets that all have run."""
    held = [record for record in records if record.setting == setting]
    means = []
    for data in sorted({record.data for record in held}):
        row = [[r.figures[figure] for r in held if (r.data, r.contestant) == (data, name) and figure in r.figures] for name in contestants]
        if all(row):
            means.append([np.mean(each) for each in row])
    if not means:
        return {}
    places = np.array([rankdata([-value if higher else value for value in row]) for row in means])
    return {name: (float(places[:, i].mean()), len(means)) for i, name in enumerate(contestants)}
