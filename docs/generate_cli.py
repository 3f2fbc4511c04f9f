"""Print the reference of the command line in Markdown, from the help that each verb gives; with --knobs, the keys that the shell offers after --set.

python docs/generate_cli.py > docs/cli.md
python docs/generate_cli.py --knobs > src/vaeworks/cli/knobs.txt
"""

from __future__ import annotations

import re
import sys
from typing import Any

import typer.main

from vaeworks.cli.main import app

HEADING = """# The command line

`vae VERB --help` says the same in the terminal. This page is generated from it: `python docs/generate_cli.py > docs/cli.md`.
`vae --install-completion` teaches bash, zsh or fish to complete verbs, options, recipes, built-in data, run folders and the keys of `--set`.

Exit codes of every verb: 0 done; 2 something given cannot be used, and one message says what and how to mend it; 1 a defect, or a check that failed; 130 interrupted.
"""


def plain(text: str) -> str:
    """Help as Markdown: what is bold in the terminal is code here."""
    return re.sub(r"\[bold\](.*?)\[/(?:bold)?\]", r"`\1`", " ".join(text.split()))


def cell(text: str) -> str:
    """``plain``, fit for a table."""
    return plain(text).replace("|", "\\|")


def default_of(option: Any) -> str:
    """What an option is where it is not given."""
    if isinstance(option.show_default, str):
        return option.show_default
    if option.default is None or option.show_default is False or not isinstance(option.default, int | float | str):
        return ""
    return ("on" if option.default else "off") if isinstance(option.default, bool) else str(option.default)


def section(name: str, verb: Any) -> str:
    """One verb: its usage, what it says of itself, its arguments and its options by panel."""
    paragraphs = [plain(paragraph) for paragraph in re.split(r"\n\s*\n", (verb.help or "").replace("\f", "").strip())]
    arguments = [p for p in verb.params if p.param_type_name == "argument"]
    options = [p for p in verb.params if p.param_type_name == "option" and not p.hidden and p.name != "help"]
    usage = " ".join([f"vae {name}", *(p.metavar or p.name.upper() for p in arguments), "[OPTIONS]"])
    lines = [f"## vae {name}", "", "```text", usage, "```", "", *(line for paragraph in paragraphs for line in (paragraph, ""))]
    for p in arguments:
        lines += [f"- `{(p.metavar or p.name.upper()).strip('[]')}`: {plain(p.help or '')}"]
    lines += [""] if arguments else []
    panels: dict[str, list[Any]] = {}
    for p in options:
        panels.setdefault(p.rich_help_panel or "Options", []).append(p)
    for panel in sorted(panels, key=lambda name: name != "Options"):
        lines += [f"| {panel} | | default |", "|---|---|---|"]
        for p in panels[panel]:
            names = ", ".join(f"`{name}`" for name in (*p.opts, *p.secondary_opts))
            lines.append(f"| {names} | {cell(p.help or '')} | {cell(default_of(p))} |")
        lines.append("")
    return "\n".join(lines)


def page() -> str:
    """The whole page."""
    group: Any = typer.main.get_command(app)
    return HEADING + "\n" + "\n".join(section(name, verb) for name, verb in group.commands.items())


def keys() -> str:
    """A line for each key of --set: the key, a tab, and the parts that have it; for ``AXIS.kind`` the parts of the axis."""
    from vaeworks.recipes.knobs import AXES, knobs
    from vaeworks.training import Trainer

    found: dict[str, list[str]] = {"latent_size": ["recipe"], "context": ["recipe"]}
    for axis, parts in AXES.items():
        found[f"{axis}.kind"] = sorted(parts)
        for kind, part in sorted(parts.items()):
            for knob in knobs(part):
                found.setdefault(f"{axis}.{knob}", []).append(kind)
    found |= {f"training.{knob}": ["training"] for knob in knobs(Trainer)}
    return "".join(f"{key}\t{' '.join(parts)}\n" for key, parts in sorted(found.items()))


if __name__ == "__main__":
    print(keys() if "--knobs" in sys.argv else page(), end="")
