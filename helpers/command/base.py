"""What all commands share: errors for people, --help with examples, the console."""

from __future__ import annotations

import json
import sys
from typing import Any

import click
from click.shell_completion import CompletionItem
from rich.console import Console

from helpers.command import progress
from helpers.core import notebooks
from helpers.core.errors import BadInput, RunbookError

console = progress.new_console()


class ChapterName(click.ParamType[str]):
    """A chapter, by id, number or file name; shells complete the ids."""

    name = "chapter"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in notebooks.load_all() if name.startswith(incomplete)]


CHAPTER = ChapterName()

target_option = click.option(
    "--target",
    "-t",
    default=None,
    metavar="T",
    help="ssh://user@host[:port], local, sandbox or sandbox:NAME.  [default: sandbox]",
)

#: of a run, which may be on several hosts
targets_option = click.option(
    "--target",
    "-t",
    "targets",
    multiple=True,
    metavar="[HOST=]T",
    help="ssh://user@host[:port], local, sandbox or sandbox:NAME, for all chapters; with HOST= for those of that "
    "host (may be given again).  [default: sandbox]",
)


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON, and nothing else on standard output."
)


def only_json() -> None:
    """From now on what people read goes to standard error."""
    console.stderr = True


def print_json(result: dict[str, Any]) -> None:
    """The result on standard output."""
    click.echo(json.dumps(result, indent=1, ensure_ascii=False))


def say(text: str) -> None:
    """Print a line as it is, however wide."""
    console.print(text, markup=False, soft_wrap=True)


def examples(text: str) -> str:
    """--help with examples below the options."""
    return "\b\nExamples:\n" + "\n".join("  " + line for line in text.strip().splitlines())


class Group(click.Group):
    """Errors for people: one screen, exit code 2 for bad input, 1 for the rest, 130 for Ctrl-C."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        debug = "--debug" in sys.argv
        kwargs["standalone_mode"] = False
        try:
            sys.exit(super().main(*args, **kwargs) or 0)
        except RunbookError as e:
            if debug:
                raise
            _tell(e)
            sys.exit(2 if isinstance(e, BadInput) else 1)
        except click.exceptions.Exit as e:
            sys.exit(e.exit_code)
        except (click.exceptions.Abort, KeyboardInterrupt):
            click.echo("stopped", err=True)
            sys.exit(130)
        except click.ClickException as e:
            e.show()
            sys.exit(e.exit_code)
        except OSError as e:  # the operator's own disk: full, read-only, another user's
            if debug or not e.filename:
                raise
            do = "Check its owner, its mode, and df -h there."
            click.echo(f"error  use {e.filename}\nsaw    {e.strerror}\ndo     {do}", err=True)
            sys.exit(1)


def _tell(error: RunbookError) -> None:
    errors = Console(stderr=True, highlight=False)
    for label, text in error.lines():
        colour = {"error": "red", "do": "green"}.get(label)
        indented = text.replace("\n", "\n       ")
        errors.print(f"{label:<6} {indented}", style=colour, markup=False, soft_wrap=True)
    errors.print(error.more, markup=False, soft_wrap=True)
