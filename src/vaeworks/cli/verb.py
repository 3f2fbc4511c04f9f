"""What all verbs have in common: options stand in the same panels whatever the verb, and help ends with what the exit code says."""

from __future__ import annotations

from typing import Any, Final

import typer
from typer.core import TyperCommand

__all__ = ["EXIT_CODES", "PANELS", "Verb", "dress"]

EXIT_CODES: Final = "Exit codes: 0 done; 2 something given cannot be used, and one message says what and how to mend it; 1 a defect, or a check that failed; 130 interrupted."
_DATA, _TRAINING, _OUTPUT, _MACHINE = "Reading data", "Recipe and training", "Output", "Seed and machine"
PANELS: Final = {
    **dict.fromkeys(("data_dir", "download", "limit", "split", "size", "binarise", "strict", "column", "label", "labels", "validation"), _DATA),
    **dict.fromkeys(("recipe", "set_", "epochs", "max_minutes", "steps", "checkpoint_seconds", "resume"), _TRAINING),
    **dict.fromkeys(("out", "overwrite", "as_json", "track"), _OUTPUT),
    **dict.fromkeys(("seed", "device"), _MACHINE),
}
"""The panel of an option that more than one verb has, by the name of its parameter; what a verb alone has stands under Options."""


class Verb(TyperCommand):
    """A verb of the command line."""

    def __init__(self, name: str | None, **settings: Any):
        for option in settings.get("params") or ():
            if getattr(option, "rich_help_panel", None) is None and option.param_type_name == "option" and option.name in PANELS:
                option.rich_help_panel = PANELS[option.name]
        super().__init__(name, **{**settings, "epilog": settings.get("epilog") or EXIT_CODES})


def dress(app: typer.Typer) -> None:
    """Make every verb of ``app`` a Verb."""
    for verb in app.registered_commands:
        verb.cls = Verb
