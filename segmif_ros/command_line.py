# SPDX-License-Identifier: Apache-2.0
"""How every command of ours is parsed and how it ends: one line on stderr, and an exit status decided here alone.

0    done
1    something failed or fell: a pair, a metric, a process, a full disk
2    a wrong command line or unusable input
130  interrupted
"""

from __future__ import annotations

import argparse
import difflib
import errno
import os
import select
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

DONE, FAILED, UNUSABLE, INTERRUPTED = 0, 1, 2, 130
# An OSError of these is no fault of the command line: the same command may work tomorrow.
_OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE}

# What options were called before, in some commands, by what all commands call them now. A command that has the new
# one takes the old one, too.
OLD_SPELLINGS = {
    "--output": "--out",
    "--models": "--weights",
    "--backends": "--backend",
    "--precisions": "--precision",
    "--sizes": "--size",
    "--form": "--format",
    "--infrared": "--infrared-topic",
    "--rgb": "--rgb-topic",
    "--labels": "--labels-topic",
    "--odom": "--odom-topic",
    "--rate-hz": "--rate",
}


class SizeError(ValueError):
    """A size that isn't written as WIDTHxHEIGHT; one line."""


class StoppedError(Exception):
    """A run was interrupted; the line states how to resume. ``status`` is 128 + the signal's number."""

    def __init__(self, line: str, status: int = INTERRUPTED) -> None:
        super().__init__(line)
        self.exit_status = status


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors look like those of the commands, and that names a near miss.

    It takes the old spellings of its options, and prints once for each what the new one is.
    """

    def parse_known_args(  # type: ignore[override]  # the overloads of argparse differ in the namespace alone
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse as argparse does, with old spellings replaced; a command's unknown options are its own error.

        Args:
            args: The words of a command line; None takes this process's own.
            namespace: What the values are set on; None makes one.

        Returns:
            The namespace, and the words that no option takes.
        """
        words = self._renamed(sys.argv[1:] if args is None else args)
        found, unknown = super().parse_known_args(words, namespace)
        if unknown and self._subparsers is None:
            near = difflib.get_close_matches(unknown[0].partition("=")[0], self._option_string_actions, n=1)
            self.error(f"unrecognized arguments: {' '.join(unknown)}" + (f": did you mean {near[0]}?" if near else ""))
        return found, unknown

    def _renamed(self, given: Sequence[str]) -> list[str]:
        mine = self._option_string_actions
        renamed: dict[str, str] = {}
        words: list[str] = []
        for at, word in enumerate(given):
            if word == "--":
                return [*words, *given[at:]]
            name, equals, value = word.partition("=")
            new = OLD_SPELLINGS.get(name, "")
            if new in mine and name not in mine:
                renamed[name] = new
                word = f"{new}{equals}{value}"
            words.append(word)
        for name, new in renamed.items():
            complain(self.prog, f"{name} is now called {new}; the old name works, too")
        return words

    def error(self, message: str) -> NoReturn:
        """Print the usage and one line, and end with status 2."""
        self.print_usage(sys.stderr)
        self.exit(UNUSABLE, f"{self.prog}: {message}{_near_miss(message)}\n")


def parse_size(text: str, option: str = "--size") -> tuple[int, int]:
    """Return (width, height) in pixels of a text such as 640x480.

    Args:
        text: As somebody wrote it.
        option: The option's name, for the message.

    Raises:
        SizeError: It is written otherwise, or one of them is 0.
    """
    width, separator, height = text.lower().partition("x")
    if not (separator and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise SizeError(f"{option} {text}: write it as WIDTHxHEIGHT, such as 640x480")
    return int(width), int(height)


def finish(prog: str, run: Callable[[], int]) -> int:
    """Run a command to its end.

    An error of ours, or of the operating system, becomes one line on stderr. Another one is a defect and keeps its
    traceback. A reader of stdout that ends early, as `head` does, is no error.

    Args:
        prog: What the line begins with, such as "segmif evaluate".
        run: Returns the exit status.

    Returns:
        The exit status.
    """
    try:
        status = run()
        sys.stdout.flush()
    except KeyboardInterrupt:
        complain(prog, "stopped")
        return INTERRUPTED
    except BrokenPipeError as error:
        return DONE if _stdout_is_closed() else _ended(prog, error)
    except SystemExit as ended:
        # rich ends the process with status 1 when the reader of stdout is gone
        if ended.code == 1 and isinstance(ended.__context__, BrokenPipeError):
            return DONE
        raise
    except Exception as error:
        if not _is_ours(error):
            raise
        return _ended(prog, error)
    return status


def run_module(
    module: str,
    description: str | None,
    add_arguments: Callable[[argparse.ArgumentParser], object],
    run: Callable[[argparse.Namespace], int],
    arguments: Sequence[str] | None = None,
) -> int:
    """Parse and run what `python -m MODULE` starts; return the exit status, as `finish`.

    Args:
        module: Its dotted name.
        description: The module's docstring; its lines are kept.
        add_arguments: Declares the options.
        run: Takes them, returns the exit status.
        arguments: The command line; None for the process's own.
    """
    prog = f"python -m {module.removesuffix('.__main__')}"
    parser = Parser(prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    options = parser.parse_args(arguments)
    return finish(parser.prog, lambda: run(options))


def complain(prog: str, line: str) -> None:
    """Print one line on stderr, after what is on stdout.

    Args:
        prog: The command's name.
        line: What is wrong, and what to do.
    """
    sys.stdout.flush()
    print(f"{prog}: {line}", file=sys.stderr)


def status_of(error: BaseException) -> int:
    """Return the exit status of an error: its own ``exit_status``, 1 where the machine failed, else 2."""
    own = getattr(error, "exit_status", None)
    if isinstance(own, int):
        return own
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            return FAILED if cause.errno in _OF_THE_MACHINE else UNUSABLE
        cause = cause.__cause__
    return UNUSABLE


def _ended(prog: str, error: BaseException) -> int:
    if line := _line(error):
        complain(prog, line)
    return status_of(error)


def _line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        named = [str(each) for each in (error.filename, error.filename2) if each is not None]
        return ": ".join([*named, error.strerror])
    return " ".join(str(error).split())


def _is_ours(error: BaseException) -> bool:
    # a module that is run by `python -m` is called __main__
    return isinstance(error, OSError) or type(error).__module__.startswith(("segmif_ros.", "__main__"))


def _stdout_is_closed() -> bool:
    """Return whether the reader of stdout is gone, and if so let nothing more be written to it."""
    poll = select.poll()
    try:
        poll.register(sys.stdout.fileno(), 0)  # errors and hang-ups are reported without being asked for
    except (OSError, ValueError):
        return False
    if not poll.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _near_miss(message: str) -> str:
    """Return a question where argparse lists the choices that it has."""
    before, _, rest = message.partition("invalid choice: ")
    given, _, choices = rest.partition(" (choose from ")
    if not (before and choices):
        return ""
    known = [each.strip(" '\"") for each in choices.rstrip(")").split(",")]
    near = difflib.get_close_matches(given.strip("'\""), known, n=1)
    return f": did you mean {near[0]}?" if near else ""
