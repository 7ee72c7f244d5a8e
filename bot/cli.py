"""The command line: a command is a function, and adding one is adding it to the tuple."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

# Nothing heavy is imported here: `--help` and `check` answer at once.

CONFIG = Path("config.toml")

Command = Callable[[argparse.Namespace], int]


def run(arguments: argparse.Namespace) -> int:
    """Run the bot: Telegram, its clock, health and webhooks, until told to stop."""
    from bot.company import Part
    from bot.running import run as running

    return running(arguments.config, Part(arguments.role), arguments.port)


def playground(arguments: argparse.Namespace) -> int:
    """Try the bot in a browser, without any token: a sample community with people in it."""
    from bot.running import playground as playing

    return playing(arguments.host, arguments.port, fresh=arguments.fresh)


def migrate(arguments: argparse.Namespace) -> int:
    """Bring the database to this program's schema; `--to` names another, `--check` compares."""
    from bot.chores import migrate as migrating

    return migrating(arguments.config, to=arguments.to, check=arguments.check)


def check(arguments: argparse.Namespace) -> int:
    """Check configuration, database, key, texts, knowledge and tokens; say how to mend each."""
    from bot.doctor import check as checking

    return checking(arguments.config, as_json=arguments.json, online=arguments.online)


def capabilities(arguments: argparse.Namespace) -> int:
    """List what the bot does, and what each channel cannot do of it."""
    from bot.chores import capabilities as listing

    return listing()


def timetable(arguments: argparse.Namespace) -> int:
    """Show what happens today in each community, and when."""
    from bot.chores import timetable as showing

    return showing(arguments.config)


def quarantine(arguments: argparse.Namespace) -> int:
    """Show what could not be dealt with and was set aside; try it again, or drop it."""
    from bot.chores import quarantine as showing

    return showing(
        arguments.config, whole=arguments.whole, retry=arguments.retry, drop=arguments.drop
    )


def broadcast(arguments: argparse.Namespace) -> int:
    """Write a message to many members, or show and steer those that are under way."""
    from bot.campaigns import broadcast as broadcasting

    return broadcasting(arguments)


def simulate(arguments: argparse.Namespace) -> int:
    """Simulate a town on a clock of its own: seeded people, faults, crashes; check everything."""
    from bot.simulation.command import simulate as simulating

    return simulating(arguments)


def key(arguments: argparse.Namespace) -> int:
    """Make a key to seal names and messages with, for BOT_STORAGE__SEAL_KEY."""
    from storage.sealing import fresh_key

    print(fresh_key())
    return 0


COMMANDS: tuple[Command, ...] = (
    run, playground, check, migrate, capabilities, timetable, quarantine, broadcast, simulate, key,
)  # fmt: skip


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; returns the status the process ends with."""
    arguments = _parser().parse_args(words)
    command: Command = arguments.command
    try:
        return command(arguments)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if type(error).__name__ not in EXPECTED:
            raise
        print(error, file=sys.stderr)
        return 1


# What may be wrong without anything being wrong with us: said in a line, without a traceback.
# By name, so that naming them imports nothing.
EXPECTED = frozenset(
    {"Misconfigured", "WrongSchema", "Taken", "BadURL", "BadKey", "BadText", "Unreadable",
     "Conflict", "CommandError", "NotToBeStarted", "Unsealable"}
)  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bot",
        description="Innkeeper (掌柜): the community-operations bot.",
        epilog="Begin with: python -m bot playground",
    )
    commands = parser.add_subparsers(metavar="command", required=True)
    for command in COMMANDS:
        summary = (command.__doc__ or "").partition("\n")[0]
        one = commands.add_parser(command.__name__, help=summary, description=summary)
        one.set_defaults(command=command)
        if command not in (key, playground, capabilities, simulate):
            one.add_argument("--config", type=Path, default=CONFIG, help="default: config.toml")
        for words, more in OPTIONS.get(command.__name__, ()):
            one.add_argument(words, **more)  # type: ignore[arg-type]
    return parser


OPTIONS: dict[str, tuple[tuple[str, dict[str, object]], ...]] = {
    "run": (
        (
            "--role",
            {
                "choices": ("all", "web", "worker"),
                "default": "all",
                "help": "of several processes on PostgreSQL: web takes in, worker deals with it",
            },
        ),
        ("--port", {"type": int, "help": "default: config.toml's; a worker then serves none"}),
    ),
    "playground": (
        ("--host", {"default": "127.0.0.1", "help": "default: this machine only"}),
        ("--port", {"type": int, "default": 8080, "help": "default: 8080"}),
        ("--fresh", {"action": "store_true", "help": "begin with a new sample community"}),
    ),
    "migrate": (
        ("--to", {"default": "head", "help": "a schema's number, or base for an empty database"}),
        ("--check", {"action": "store_true", "help": "only compare tables.py with the migrations"}),
    ),
    "check": (
        ("--json", {"action": "store_true", "help": "for programs"}),
        ("--online", {"action": "store_true", "help": "ask the platforms too"}),
    ),
    "simulate": (
        ("--members", {"type": int, "default": 1000, "help": "default: 1000"}),
        ("--days", {"type": int, "default": 30, "help": "default: 30"}),
        ("--seed", {"type": int, "default": 7, "help": "the same seed, the same history"}),
        ("--crashes", {"type": int, "default": 0, "help": "how often the house dies meanwhile"}),
        ("--faults", {"action": "store_true", "help": "the platform makes trouble, as they do"}),
        ("--url", {"default": "", "help": "an empty database, or one of an earlier simulation"}),
        ("--keep", {"action": "store_true", "help": "as demonstration data, in var/demo.sqlite"}),
        ("--start", {"metavar": "DAY", "help": "the first day, such as 2025-03-03"}),
    ),
    "quarantine": (
        ("--whole", {"action": "store_true", "help": "with payloads, which are personal data"}),
        ("--retry", {"type": int, "metavar": "NUMBER", "help": "give it another try"}),
        ("--drop", {"type": int, "metavar": "NUMBER", "help": "delete it"}),
    ),
    "broadcast": (
        ("--community", {"metavar": "NAME", "help": "whose members; not needed for the only one"}),
        ("--text", {"help": "what they are told; {name} becomes each reader's name"}),
        ("--file", {"type": Path, "help": "or a file with the text"}),
        ("--language", {"metavar": "CODE", "help": "only those who speak it, such as zh"}),
        (
            "--audience",
            {
                "choices": ("everybody", "present", "new7", "new30", "silent30"),
                "default": "everybody",
                "help": "only those in the group, or who came, or were silent, for so many days",
            },
        ),
        ("--yes", {"action": "store_true", "help": "send it without asking"}),
        ("--list", {"action": "store_true", "help": "show the last ones"}),
        ("--show", {"type": int, "metavar": "NUMBER", "help": "show one, with its figures"}),
        ("--pause", {"type": int, "metavar": "NUMBER", "help": "send no more of it for now"}),
        ("--resume", {"type": int, "metavar": "NUMBER", "help": "go on with it"}),
        ("--cancel", {"type": int, "metavar": "NUMBER", "help": "send no more of it, ever"}),
    ),
}
