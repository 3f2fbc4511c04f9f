"""Findings: what an examination measured, what of it is wrong, what that means and what mends it; and how a page tells them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any

__all__ = ["Diagnosis", "Examined", "Finding", "findings_html"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing."""

    name: str
    problem: bool
    """Whether it should be mended; else it is a note."""
    measured: str
    """What was measured, with the numbers, as a sentence."""
    meaning: str
    """What that means, in plain words."""
    cure: str
    """What to do, as a sentence."""
    commands: tuple[str, ...] = ()
    """Commands that do it, the first the likeliest to help."""


@dataclass(frozen=True)
class Examined:
    """One thing that was looked at."""

    name: str
    measured: str
    """What was found, or why nothing could be, as a sentence."""
    figures: Mapping[str, float] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Diagnosis:
    """Everything that was looked at."""

    examined: tuple[Examined, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, problems first."""
        found = [finding for one in self.examined for finding in one.findings]
        return tuple(sorted(found, key=lambda finding: not finding.problem))

    @property
    def problems(self) -> tuple[Finding, ...]:
        """Those that should be mended."""
        return tuple(finding for finding in self.findings if finding.problem)

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        examined = [{"name": one.name, "measured": one.measured, "figures": dict(one.figures)} for one in self.examined]
        by = {finding.name: one.name for one in self.examined for finding in one.findings}
        findings = [{**asdict(finding), "commands": list(finding.commands), "by": by[finding.name]} for finding in self.findings]
        return {"healthy": not self.problems, "findings": findings, "examined": examined}


def findings_html(diagnosis: Diagnosis) -> str:
    """Each finding with its cure, and a list of what was looked at."""
    if not diagnosis.examined:
        return ""
    problems, notes = diagnosis.problems, [finding for finding in diagnosis.findings if not finding.problem]
    verdict = _count(problems, "thing is wrong", "things are wrong") if problems else "Nothing is wrong"
    verdict += f", and {_count(notes, 'thing is', 'things are')} worth knowing." if notes else "."
    parts = [f"<p>{verdict[:1].upper() + verdict[1:]}</p>", *map(_finding, diagnosis.findings)]
    rows = "".join(f"<div><dt>{escape(one.name)}</dt><dd>{escape(one.measured)}</dd></div>" for one in diagnosis.examined)
    parts.append(f'<details><summary>Everything that was looked at</summary><dl class="looked">{rows}</dl></details>')
    return "".join(parts)


def _finding(finding: Finding) -> str:
    kind, word = ("problem", "Problem") if finding.problem else ("note", "Note")
    commands = "".join(f'<pre tabindex="0"><code>{escape(command)}</code></pre>' for command in finding.commands)
    return (
        f'<div class="finding {kind}"><h3><span class="tag">{word}</span>{escape(finding.name[:1].upper() + finding.name[1:])}</h3>'
        f'<p>{escape(finding.meaning)}</p><p class="quiet">Measured: {escape(finding.measured)}</p><p>{escape(finding.cure)}</p>{commands}</div>'
    )


def _count(things: Sequence[object], one: str, many: str) -> str:
    words = ("no", "one", "two", "three", "four", "five")
    number = words[len(things)] if len(things) < len(words) else str(len(things))
    return f"{number} {one if len(things) == 1 else many}"
