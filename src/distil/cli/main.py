"""The `distil` command: a table of commands, each imported only when called, and the mapping from errors to exit codes.

No work is done here: each command is a file next to this one that parses, calls and prints.
"""

from __future__ import annotations

import errno
import importlib
import io
import sys
from typing import NamedTuple, NoReturn

import click

from distil import __version__
from distil.cli.options import Context, echo, emit_error, say
from distil.errors import DistilError, did_you_mean
from distil.terminal import guard


class Entry(NamedTuple):
    """Where a command is defined, and its line in `distil --help`."""

    target: str
    help: str


COMMANDS: dict[str, Entry] = {
    "init": Entry("distil.cli.init:command", "Make a project folder with a commented distil.yaml."),
    "config": Entry("distil.cli.config:command", "Show the settings, or write some into distil.yaml (show | set)."),
    "plan": Entry("distil.cli.plan:command", "Before you spend: API or logits? Data, dollars, hours, memory, payback."),
    "forecast": Entry(
        "distil.cli.forecast:command", "From a log of requests: what a student would take over, and what it would save."
    ),
    "collect": Entry(
        "distil.cli.collect:command", "Collect the teacher's answers. Resumable; never pays twice for the same answer."
    ),
    "curate": Entry("distil.cli.curate:command", "Filter the answers, remove duplicates, split without leakage."),
    "train": Entry(
        "distil.cli.train:command", "Train a student: on answers, on distributions, or on its own rollouts."
    ),
    "evaluate": Entry(
        "distil.cli.evaluate:command", "Compare student, teacher and baseline, with error bars and a verdict."
    ),
    "cost": Entry("distil.cli.cost:command", "What you spent, what a month will cost, and when it pays back."),
    "report": Entry("distil.cli.report:command", "Write one self-contained HTML page with all results."),
    "doctor": Entry(
        "distil.cli.doctor:command", "Find what is wrong and what to change, from the files in the project."
    ),
    "serve": Entry(
        "distil.cli.serve:command", "Serve an OpenAI-compatible gateway: student first, teacher when unsure."
    ),
    "run": Entry("distil.cli.run:command", "Run every stage that is missing or stale, in order."),
    "until": Entry(
        "distil.cli.until:command", "Collect and train in rounds until SHIP is proven, or out of reach for the money."
    ),
    "status": Entry("distil.cli.status:command", "Show what is done, what is stale, and what comes next."),
    "demo": Entry("distil.cli.demo:command", "Run the whole loop on the bundled teacher and student; no key, no GPU."),
    "signals": Entry(
        "distil.cli.signals:command", "Cache the teacher's distributions once (build | verify | inspect)."
    ),
    "calibrate": Entry("distil.cli.calibrate:command", "Find the fallback threshold and its guarantee."),
    "prompts": Entry("distil.cli.prompts:command", "Load the prompts, or generate more like them (load | expand)."),
    "view": Entry("distil.cli.view:command", "Browse prompts, answers and predictions side by side, and mark them."),
    "compare": Entry("distil.cli.compare:command", "Compare two students on the same prompts, paired."),
    "export": Entry("distil.cli.export:command", "Export a student for other tools, or the data in their formats."),
    "ledger": Entry("distil.cli.ledger:command", "List every paid call; export them, or prune their bodies."),
    "batches": Entry("distil.cli.batches:command", "List the batches at the providers; cancel or forget one."),
    "mcp": Entry("distil.cli.mcp:command", "Serve the project's tools to an agent, under a cap in dollars."),
    "selfcheck": Entry(
        "distil.cli.selfcheck:command", "Check in seconds that losses, gradients and masks are correct."
    ),
}


class LazyGroup(click.Group):
    """A click group over COMMANDS: help reads the table; a command's file is imported only when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            raise click.UsageError(
                f"There is no command {args[0]!r}.{did_you_mean(args[0], COMMANDS)} Run `distil --help` for the list.",
                ctx,
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="distil")
def cli() -> None:
    """Distil a large language model into a small one that you own, with proof that it is good enough.

    \b
    Start:    distil demo                      the whole loop on bundled models, about five minutes
              distil init mytask --teacher openai/gpt-5-mini --student Qwen/Qwen3-0.6B --prompts prompts.jsonl
              distil plan --project mytask     what it will cost, before you spend anything
              distil run --project mytask      every stage in order
    """


def main() -> NoReturn:
    """Runs the command line and exits: 0 done, 1 the work failed, 2 invalid input, 3 budget reached, 4 a gate was
    not reached, 130 interrupted."""
    guard()
    Context.printed = False
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        say(shown.getvalue().rstrip("\n"))
        emit_error(error.format_message(), 2)
        sys.exit(2)
    except DistilError as error:
        _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _fail("Interrupted. Finished work is kept; run the same command again to resume.", 130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise
        where = f" ({error.filename})" if error.filename else ""
        _fail(
            f"Could not write{where}: {error.strerror}. Free some space or choose another folder, then run the command again.",
            1,
        )
    sys.exit(0)


def _fail(message: str, code: int) -> NoReturn:
    if code == 130:
        # An event loop that a signal interrupted during its setup would complain at exit.
        sys.unraisablehook = lambda _: None
    echo("distil: ", fg="red" if code != 130 else "yellow", bold=True, nl=False, err=True)
    say(message)
    emit_error(message, code)
    sys.exit(code)
