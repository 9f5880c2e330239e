# SPDX-License-Identifier: Apache-2.0
"""Health of one camera, from a subsample of its frames: does it send, does the picture move, is anything to be seen?

Plain values in, a condition and one line out. `CameraHealth` compares what `segmif_ros.imaging.look` saw over time. A
condition begins when it has held for some time and ends when it has been absent for some time, so a single odd frame
changes nothing. Every frame's arrival and stamp count; its picture is looked at ten times a second at most. Times are
those of arrival, passed in: the node, the offline replay and the tests share this.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import IntEnum

from segmif_ros.imaging.compressed import CompressedBuffer
from segmif_ros.imaging.crop import Crop
from segmif_ros.imaging.encodings import ImageBuffer
from segmif_ros.imaging.look import Look, look

NS_PER_S = 1_000_000_000
CAMERAS = ("infrared", "rgb")
SPOKEN = {"infrared": "infrared", "rgb": "RGB"}

_LOOK_PERIOD_NS = 100_000_000  # between two looks at the picture; conditions have to hold for longer anyway
_DARK = 10  # grey levels of 8 bit
_FLAT_LEVELS = 6.0  # width of the range, 8 bit
_FLAT_COUNTS = 4.0  # the same, raw counts
_SAME_RUN = 3  # looks at equal pixels before a picture can be called frozen
_MIN_FRAMES = 2  # of those looked at, before a condition of the content begins or ends


class Condition(IntEnum):
    """What a camera is like; the values are those of `segmif_ros/SemanticMap`."""

    OK = 0
    SILENT = 1  # no frames come
    FROZEN = 2  # the same pixels over and over
    STAMP_STUCK = 3  # frames come, their stamp stands still
    FLAT = 4  # one value everywhere
    BLACK = 5
    WHITE = 6  # saturated
    SHUTTER = 7  # infrared: the range collapsed from one frame to the next
    UNREADABLE = 8  # frames that can't be decoded
    BLURRED = 9  # detail collapsed: fog, dirt, defocus
    GLARE = 10  # a large share is saturated
    UNPAIRED = 11  # it sends, but its stamps never meet the other camera's

    @property
    def blind(self) -> bool:
        """Whether frames come that show nothing of the present scene."""
        return self in _BLIND

    @property
    def usable(self) -> bool:
        """Whether frames of such a camera are worth processing."""
        return self in (Condition.OK, Condition.BLURRED, Condition.GLARE)


_BLIND = frozenset(
    {
        Condition.FROZEN,
        Condition.STAMP_STUCK,
        Condition.FLAT,
        Condition.BLACK,
        Condition.WHITE,
        Condition.SHUTTER,
        Condition.UNREADABLE,
    }
)
_IN_WORDS = {
    Condition.FROZEN: "the picture is frozen: the same pixels under new stamps; a shutter event, or a hung driver",
    Condition.STAMP_STUCK: "frames come but their stamp stands still: the driver must stamp each frame",
    Condition.FLAT: "the picture is flat, one value everywhere: lens cap, dead sensor, or a gain that is stuck",
    Condition.BLACK: "the picture is black: lens cap, exposure, or no light at all",
    Condition.WHITE: "the picture is white: nearly all of it is saturated; exposure, or straight into the sun",
    Condition.SHUTTER: "the range of values collapsed at once: a shutter event (FFC), or something before the lens",
    Condition.UNREADABLE: "frames can't be decoded; the log states why",
    Condition.BLURRED: "detail collapsed: fog, dirt or water on the lens, or defocus",
    Condition.GLARE: "a large part of the picture is saturated: glare, or exposure",
    Condition.UNPAIRED: "frames come but none has a partner within slop_s: the two cameras' stamps don't agree",
}


@dataclass(frozen=True, kw_only=True)
class HealthConfig:
    """When a camera is called ill.

    Attributes:
        silent_after_s: Without a frame for so long, and for three of its own intervals, a camera is silent.
        frozen_after_s: The same pixels, or the same stamp, for so long; 0 never calls a picture frozen, as for a
            simulation without noise.
        content_after_s: A condition of the content must hold for so long, and be absent for so long to end.
        white_share: Share of saturated pixels from which a picture is white.
        glare_share: The same for glare.
        detail_share: Detail below this share of its usual value is called a collapse.
        range_share: An infrared range below this share of its usual width is a shutter.
    """

    silent_after_s: float = 0.5
    frozen_after_s: float = 0.5
    content_after_s: float = 0.3
    white_share: float = 0.9
    glare_share: float = 0.65
    detail_share: float = 0.25
    range_share: float = 0.1


class CameraHealth:
    """Health of one camera over time; not thread-safe.

    Args:
        camera: "infrared" or "rgb".
        config: When it is called ill.

    Attributes:
        crop: What of an image is no picture: rows of telemetry count on while the picture stands still.
        well_since_ns: Since when frames come without a silence; None before the first one.
    """

    def __init__(self, camera: str, config: HealthConfig | None = None) -> None:
        self.camera = camera
        self.config = config or HealthConfig()
        self.crop: Crop | None = None
        self.reset()

    def reset(self) -> None:
        """Forget the past, as after a pause."""
        self._last_ns: int | None = None
        self.well_since_ns: int | None = None
        self._intervals_ns: deque[int] = deque(maxlen=10)
        self._digest: int | None = None
        self._same = 0
        self._changed_ns = 0
        self._stamp_ns: int | None = None
        self._stamp_changed_ns = 0
        self._repeats = 0
        self._back = 0  # frames since the camera was silent, while it isn't trusted yet; 0: it is
        self._back_ns = 0
        self._usual_detail = _Usual()
        self._usual_width = _Usual()
        self._content = _Hysteresis(round(self.config.content_after_s * NS_PER_S))
        self._due_ns: int | None = None  # when the picture is to be looked at again
        self._looked_ns = 0

    def sees(self, image: ImageBuffer | CompressedBuffer, now_ns: int, stamp_ns: int) -> bool:
        """Take a frame that has just arrived; return whether its picture was looked at.

        Args:
            image: The frame's image, as it arrived.
            now_ns: Steady time.
            stamp_ns: The frame's stamp.
        """
        due = self._is_due(now_ns)
        if due:
            self.take(look(image, self.camera, self.crop), now_ns, stamp_ns)
        else:
            self._arrived(now_ns, stamp_ns)
        return due

    def take(self, seen: Look | None, now_ns: int, stamp_ns: int) -> None:
        """Take what was seen of a frame that has just arrived.

        Args:
            seen: What the look found; None for a frame that can't be decoded.
            now_ns: Steady time.
            stamp_ns: The frame's stamp.
        """
        self._arrived(now_ns, stamp_ns)
        self._looked_ns = now_ns
        if seen is not None:
            self._repeated(seen.digest, now_ns)
        content = self._judged(seen)
        held = self._content.take(content, now_ns)
        if seen is not None and (content is Condition.SHUTTER or not (content.blind or held.blind)):
            # a collapse is forgotten in minutes: a robot that leaves a forest for a corridor isn't warned for ever
            slowly = content is not Condition.OK or held is not Condition.OK
            self._usual_detail.take(seen.detail, now_ns, slowly=slowly)
            self._usual_width.take(seen.width, now_ns, slowly=slowly)

    def condition(self, now_ns: int) -> Condition:
        """Return what the camera is like at ``now_ns``."""
        if self._last_ns is None or now_ns - self._last_ns > self.silent_limit_ns or self._back:
            return Condition.SILENT
        frozen_ns = round(self.config.frozen_after_s * NS_PER_S)
        if frozen_ns and self._repeats >= _SAME_RUN - 1 and self._last_ns - self._stamp_changed_ns >= frozen_ns:
            return Condition.STAMP_STUCK
        held = self._content.held
        if held.blind:  # more than that it doesn't change
            return held
        if frozen_ns and self._same >= _SAME_RUN - 1 and self._looked_ns - self._changed_ns >= frozen_ns:
            return Condition.FROZEN
        return held

    def line(self, condition: Condition, now_ns: int) -> str:
        """Return ``condition`` in words, empty for a camera that is well.

        Args:
            condition: What the camera is like.
            now_ns: Steady time.
        """
        if condition is Condition.OK:
            return ""
        if condition is Condition.SILENT:
            if self._last_ns is None:
                return f"{SPOKEN[self.camera]}: no frame came yet"
            silent_s = (now_ns - self._last_ns) / NS_PER_S
            if self._back:
                return f"{SPOKEN[self.camera]}: frames come again, watched for a moment before they are used"
            return f"{SPOKEN[self.camera]}: no frame for {silent_s:.1f} s"
        return f"{SPOKEN[self.camera]}: {_IN_WORDS[condition]}"

    @property
    def started(self) -> bool:
        """Whether any frame has come."""
        return self._last_ns is not None

    @property
    def interval_ns(self) -> int:
        """Usual interval between frames; 0 if it isn't known.

        The upper quartile: frames that were queued while the process stood still come all at once after that.
        """
        return sorted(self._intervals_ns)[3 * len(self._intervals_ns) // 4] if self._intervals_ns else 0

    @property
    def silent_limit_ns(self) -> int:
        """How long without a frame makes the camera silent."""
        return max(round(self.config.silent_after_s * NS_PER_S), 3 * self.interval_ns)

    def _is_due(self, now_ns: int) -> bool:
        """Return whether the picture is to be looked at; a camera of ten frames a second or fewer loses no look."""
        due_ns = now_ns if self._due_ns is None else self._due_ns
        if now_ns < due_ns <= now_ns + _LOOK_PERIOD_NS:  # further ahead: the clock was set back
            return False
        late_ns = now_ns - due_ns
        # what is late now may be early next time, so that jitter costs nothing; a pause isn't made up for
        self._due_ns = (due_ns if 0 <= late_ns < 2 * _LOOK_PERIOD_NS else now_ns) + _LOOK_PERIOD_NS
        return True

    def _arrived(self, now_ns: int, stamp_ns: int) -> None:
        if self._last_ns is not None and now_ns < self._last_ns:
            self.reset()  # another clock
        if self._last_ns is None:
            self.well_since_ns = now_ns
        else:
            gap_ns = now_ns - self._last_ns
            if gap_ns > self.silent_limit_ns:
                if self._back:  # one long gap after the other: it has become slow, or always was
                    self._intervals_ns.append(gap_ns)
                self._back, self._back_ns = self._back + 1, self._back_ns if self._back else now_ns
                # what was before the silence is no evidence now
                self._digest, self._same, self._repeats = None, 0, 0
                self._stamp_ns, self._stamp_changed_ns, self._changed_ns = None, now_ns, now_ns
            else:
                self._intervals_ns.append(gap_ns)
                if self._back:
                    self._back += 1
        if self._back > _MIN_FRAMES and now_ns - self._back_ns >= round(self.config.content_after_s * NS_PER_S):
            self._back, self.well_since_ns = 0, now_ns
        if stamp_ns == self._stamp_ns:
            self._repeats += 1
        else:
            self._stamp_ns, self._stamp_changed_ns, self._repeats = stamp_ns, now_ns, 0
        self._last_ns = now_ns

    def _repeated(self, digest: int, now_ns: int) -> None:
        if digest == self._digest:
            self._same += 1
        else:
            self._digest, self._same, self._changed_ns = digest, 0, now_ns

    def _judged(self, seen: Look | None) -> Condition:
        """Return what one frame looks like by itself and against what is usual."""
        config = self.config
        if seen is None:
            return Condition.UNREADABLE
        if seen.saturated >= config.white_share:
            return Condition.WHITE
        dark = seen.high <= _DARK if seen.eight_bit else 0 <= seen.low <= seen.high <= 0
        if dark:
            return Condition.BLACK
        if seen.width <= (_FLAT_LEVELS if seen.eight_bit else _FLAT_COUNTS):
            return Condition.SHUTTER if self._collapsed(seen) else Condition.FLAT
        if self._collapsed(seen):
            return Condition.SHUTTER
        if seen.saturated >= config.glare_share:
            return Condition.GLARE
        usual = self._usual_detail.value
        if usual is not None and seen.detail < config.detail_share * usual:
            return Condition.BLURRED
        return Condition.OK

    def _collapsed(self, seen: Look) -> bool:
        usual = self._usual_width.value
        return self.camera == "infrared" and usual is not None and seen.width < self.config.range_share * usual


class _Usual:
    """What a value usually is: a slow mean, known once it has seen a second."""

    TIME_CONSTANT_NS = 10 * NS_PER_S
    SLOWLY = 30  # times as slow, while what is seen isn't usual
    KNOWN_AFTER_NS = NS_PER_S

    def __init__(self) -> None:
        self._mean = 0.0
        self._first_ns: int | None = None
        self._last_ns = 0

    @property
    def value(self) -> float | None:
        """The usual value, None if it isn't known yet."""
        known = self._first_ns is not None and self._last_ns - self._first_ns >= self.KNOWN_AFTER_NS
        return self._mean if known else None

    def take(self, value: float, now_ns: int, *, slowly: bool) -> None:
        """Take a value."""
        if self._first_ns is None:
            self._first_ns, self._mean = now_ns, value
        else:
            # a plain mean in the beginning, so that the first frame weighs no more than the others
            seen_ns = min(self.TIME_CONSTANT_NS, max(1, now_ns - self._first_ns)) * (self.SLOWLY if slowly else 1)
            self._mean += (value - self._mean) * min(1.0, (now_ns - self._last_ns) / seen_ns)
        self._last_ns = now_ns


class _Hysteresis:
    """The condition of the content that is held to be true: another one has to last before it is believed."""

    def __init__(self, after_ns: int) -> None:
        self._after_ns = after_ns
        self._rival = Condition.OK
        self._rival_ns = 0
        self._rival_frames = 0
        self.held = Condition.OK

    def take(self, seen: Condition, now_ns: int) -> Condition:
        """Take what one frame looks like; return what is held now."""
        if seen is self.held:
            self._rival_frames = 0
            return self.held
        # two ways of being blind in turn, as black and flat, are one fault
        same = self._rival_frames > 0 and (seen is self._rival or (seen.blind and self._rival.blind))
        if not same:
            self._rival_ns, self._rival_frames = now_ns, 0
        self._rival = seen
        self._rival_frames += 1
        if self._rival_frames >= _MIN_FRAMES and now_ns - self._rival_ns >= self._after_ns:
            self.held, self._rival_frames = seen, 0
        return self.held
