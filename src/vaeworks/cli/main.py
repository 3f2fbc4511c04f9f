"""The command's entry: verbs are gathered, and a user's mistake becomes one message and exit code 2."""

from __future__ import annotations

import sys

import typer

from vaeworks.cli import exploring, exporting, filling, inspecting, learning, scoring, serving, telling, using
from vaeworks.cli.verb import dress
from vaeworks.errors import VaeworksError

__all__ = ["app", "main"]

app = typer.Typer(
    name="vae",
    help="Variational autoencoders on your own data: train, sample, reconstruct, encode, score.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
)
for room in (learning, using, filling, scoring, telling, inspecting, exploring, exporting, serving):
    room.add_to(app)
dress(app)


def main() -> None:
    """Run the command line; exit code 0, 2 for a user's mistake, 1 for a defect."""
    try:
        app()
    except VaeworksError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
    except MemoryError:
        print("Error: out of memory: use a smaller --size, --limit, or --set training.batch_size=32", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
