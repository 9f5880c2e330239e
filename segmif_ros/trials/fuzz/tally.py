# SPDX-License-Identifier: Apache-2.0
"""What became of the inputs: taken, refused in one line, or something that must not be."""

from __future__ import annotations

import os
import resource
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

Made = TypeVar("Made")
Describe = str | Callable[[], str]

_LONGEST_LINE = 1000  # characters of a refusal


class Tally:
    """Counts outcomes.

    Args:
        keep: Folder for the first input of each unexpected kind; None keeps none.

    Attributes:
        counts: By (reader, outcome).
        unexpected: First input by reader, exception and place.
        written: Lines that decoders wrote to standard error, see `listening`.
    """

    def __init__(self, keep: Path | None = None) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.unexpected: dict[str, str] = {}
        self.written = 0  # lines that decoders wrote to standard error
        self._keep = keep
        self._started = time.monotonic()
        self._slowest = (0.0, "")

    def attempt(
        self,
        reader: str,
        call: Callable[[], Made],
        refusals: type[Exception] | tuple[type[Exception], ...],
        describe: Describe,
        content: Callable[[], bytes] | None = None,
    ) -> Made | None:
        """Call a reader and count what comes of it.

        Args:
            reader: Its name.
            call: Reads one input.
            refusals: What it may raise, with one line.
            describe: Which input it was, or what describes it.
            content: The input's bytes, to be kept.

        Returns:
            What the reader returned; None if it raised.
        """
        started = time.monotonic()
        try:
            made = call()
        except refusals as error:
            line = str(error)
            if len(line.splitlines()) != 1 or len(line) > _LONGEST_LINE:
                self._note(reader, f"a refusal of {len(line)} characters in {len(line.splitlines())} lines", describe)
            self.counts[reader, "refused"] += 1
            return None
        except Exception as error:  # noqa: BLE001  # what this program is for
            places = [each for each in traceback.extract_tb(error.__traceback__) if "segmif_ros" in each.filename]
            place = f"{Path(places[-1].filename).name}:{places[-1].lineno}" if places else "?"
            self._note(reader, f"{type(error).__name__} at {place}: {str(error)[:100]!r}", describe, content)
            self.counts[reader, type(error).__name__] += 1
            return None
        finally:
            took = time.monotonic() - started
            if took > self._slowest[0]:
                self._slowest = took, f"{reader}: {_said(describe)[:100]}"
        self.counts[reader, "taken"] += 1
        return made

    def require(self, reader: str, kept: bool, what: str, describe: Describe) -> None:
        """Count as unexpected what a reader returned if it doesn't keep its promise."""
        if not kept:
            self.counts[reader, "wrong"] += 1
            self._note(reader, what, describe)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Count the lines that C libraries write to standard error in here; their text is lost."""
        kept = os.dup(2)
        try:
            with tempfile.TemporaryFile() as heard:
                os.dup2(heard.fileno(), 2)
                try:
                    yield
                finally:
                    os.dup2(kept, 2)
                    heard.seek(0)
                    self.written += len(heard.read().splitlines())
        finally:
            os.close(kept)

    def text(self) -> str:
        """Return the counts and what was unexpected."""
        lines = [f"  {reader:28} {outcome:18} {count}" for (reader, outcome), count in sorted(self.counts.items())]
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        lines.append(
            f"  {sum(self.counts.values())} calls in {time.monotonic() - self._started:.0f} s, peak {peak_mib:.0f} MiB"
        )
        lines.append(f"  slowest {self._slowest[0]:.2f} s ({self._slowest[1]})")
        lines.append(f"  {self.written} lines written to standard error by decoders")
        lines.append(f"  {len(self.unexpected)} unexpected kinds")
        lines += [f"    {what}\n      first by {which}" for what, which in self.unexpected.items()]
        return "\n".join(lines)

    def _note(self, reader: str, what: str, describe: Describe, content: Callable[[], bytes] | None = None) -> None:
        kind = f"{reader}: {what}"
        if kind in self.unexpected:
            return
        self.unexpected[kind] = _said(describe)
        if self._keep is not None and content is not None:
            self._keep.mkdir(parents=True, exist_ok=True)
            (self._keep / f"{len(self.unexpected):03d}-{reader.replace(' ', '-')}").write_bytes(content())


def _said(describe: Describe) -> str:
    return describe if isinstance(describe, str) else describe()
