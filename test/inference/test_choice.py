# SPDX-License-Identifier: Apache-2.0
"""The trial chooses the fastest backend that agrees with torch, and is remembered by everything it depends on."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segmif_ros.inference import choice, engine, networks
from segmif_ros.inference.backends import Backend, BackendOptions, Tolerance
from segmif_ros.inference.backends.base import FrameArrays
from segmif_ros.inference.choice import ChoiceCache, choice_key, try_backends
from segmif_ros.inference.engine import Engine, EngineConfig
from segmif_ros.inference.errors import EngineError

TOLERANCE = Tolerance(mask_agreement=0.99, fused_psnr_db=40.0)
IMAGES = (np.zeros((4, 5), np.uint8), np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), np.uint8))
FACTS = {
    "model_hash": "0123", "mode": "robot", "height": 4, "width": 5, "precision": "float32", "device": "cpu",
    "num_threads": 2,
}  # fmt: skip


class FakeClock:
    """Seconds, moved by the fake backends."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class FakeBackend:
    def __init__(self, clock: FakeClock, seconds: float, *, level: int = 0, label: int = 0) -> None:
        self._clock, self._seconds, self._level, self._label = clock, seconds, level, label

    def run(self, infrared: np.ndarray, rgb: np.ndarray, prior: np.ndarray) -> FrameArrays:
        self._clock.now += self._seconds
        shape = infrared.shape
        return np.full((*shape, 3), self._level, np.uint8), np.full(shape, self._label, np.uint8), prior


def _choose(**backends: tuple[float, dict[str, int]]) -> choice.Choice:
    clock = FakeClock()

    def maker(seconds: float, results: dict[str, int]) -> Callable[[], FakeBackend]:
        return lambda: FakeBackend(clock, seconds, **results)

    makers = {name: maker(*given) for name, given in backends.items()}
    return try_backends(makers, IMAGES, TOLERANCE, clock=clock)


def test_the_fastest_backend_is_chosen() -> None:
    found = _choose(torch=(0.2, {}), openvino=(0.1, {}), onnxruntime=(0.15, {}))
    assert found.backend == "openvino"
    assert found.median_ms == pytest.approx({"torch": 200, "openvino": 100, "onnxruntime": 150})
    assert found.line().startswith("backend openvino chosen by trial: openvino 100 ms, onnxruntime 150 ms, torch 200")


def test_a_tie_stays_with_torch() -> None:
    assert _choose(torch=(0.105, {}), openvino=(0.1, {})).backend == "torch"


@pytest.mark.parametrize("wrong", [{"level": 10}, {"label": 1}])
def test_a_fast_backend_with_other_results_is_refused_and_said(wrong: dict[str, int]) -> None:
    found = _choose(torch=(0.2, {}), openvino=(0.1, wrong))
    assert found.backend == "torch"
    assert "not openvino: masks agree" in found.line()


def test_a_backend_that_fails_is_left_out_and_said() -> None:
    clock = FakeClock()

    def broken() -> FakeBackend:
        raise EngineError("no such instruction")

    found = try_backends({"torch": lambda: FakeBackend(clock, 0.1), "openvino": broken}, IMAGES, TOLERANCE, clock=clock)
    assert (found.backend, found.refused) == ("torch", {"openvino": "no such instruction"})


def test_choices_are_remembered_across_caches(tmp_path: Path) -> None:
    path = tmp_path / "new" / "backends.json"
    ChoiceCache(path).put("a", "openvino")
    ChoiceCache(path).put("b", "torch")
    assert (ChoiceCache(path).get("a"), ChoiceCache(path).get("b"), ChoiceCache(path).get("c")) == (
        "openvino", "torch", None,
    )  # fmt: skip


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": 3}', "\x00"])
def test_a_broken_cache_counts_as_empty_and_is_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "backends.json"
    path.write_text(content)
    assert ChoiceCache(path).get("a") is None
    ChoiceCache(path).put("a", "torch")
    assert ChoiceCache(path).get("a") == "torch"


def test_a_cache_that_can_not_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = ChoiceCache(tmp_path / "file" / "backends.json")
    cache.put("a", "torch")
    assert cache.get("a") is None


@pytest.mark.parametrize(
    "changed",
    [{"model_hash": "4567"}, {"mode": "authors"}, {"height": 5}, {"width": 4}, {"precision": "bfloat16"},
     {"device": "cuda:0"}, {"num_threads": 1}, {"calibration_pairs": "pairs"}],
)  # fmt: skip
def test_a_choice_holds_only_for_what_it_was_made_for(changed: dict[str, object]) -> None:
    assert choice_key(**FACTS) == choice_key(**FACTS)
    assert choice_key(**FACTS | changed) != choice_key(**FACTS)


def test_a_new_version_of_a_package_asks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = choice_key(**FACTS)
    monkeypatch.setattr(choice, "package_version", lambda name: "99" if name == "openvino" else None)
    assert choice_key(**FACTS) != before


def test_the_engine_chooses_at_warm_up_and_asks_the_cache_next_time(
    tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    trials = []

    def trial(makers: dict[str, object], *args: object, **_: object) -> choice.Choice:
        trials.append(sorted(makers))
        return choice.Choice(backend="compile", median_ms={"compile": 1.0}, refused={})

    monkeypatch.setattr(engine, "try_backends", trial)
    monkeypatch.setattr(engine, "available_backends", lambda device, precision: ("torch", "compile", "openvino"))
    created = []
    make = networks.create_backend
    monkeypatch.setattr(
        networks, "create_backend", lambda name, *rest: (created.append(name), make("torch", *rest))[1]
    )
    config = EngineConfig(weights=(str(tiny_weights),), device="cpu", backend="fastest")
    first = Engine(config)
    assert first.backend_name == "torch"
    first.warm_up(33, 47)
    assert (first.backend_name, trials) == ("compile", [["openvino", "torch"]])
    monkeypatch.setattr(engine, "available_backends", lambda device, precision: ("torch", "openvino"))
    ChoiceCache().put(
        choice_key(model_hash=first.model_hash, mode="robot", height=33, width=47, precision="float32", device="cpu",
                   num_threads=0), "openvino",
    )  # fmt: skip
    second = Engine(config)
    second.warm_up(33, 47)
    assert (second.backend_name, len(trials)) == ("openvino", 1)
    assert created == ["torch", "compile", "torch", "openvino"]


def test_int8_is_tried_only_where_the_precision_asks_for_it_and_against_torch_in_float32(
    tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    computes = {"torch": ("float32",), "openvino": ("float32", "int8")}
    monkeypatch.setattr(
        engine,
        "available_backends",
        lambda device, precision: tuple(name for name, known in computes.items() if precision in known),
    )
    tried = []
    make = networks.create_backend

    def create(name: str, network: object, options: BackendOptions) -> Backend:
        tried.append((name, options.precision))
        return make("torch", network, replace(options, precision="float32"))

    monkeypatch.setattr(networks, "create_backend", create)
    for precision in ("float32", "int8"):
        config = EngineConfig(weights=(str(tiny_weights),), device="cpu", backend="fastest", precision=precision)
        Engine(config).warm_up(33, 47)
    assert set(tried[: tried.index(("openvino", "int8"))]) == {("torch", "float32"), ("openvino", "float32")}
    assert set(tried) == {("torch", "float32"), ("openvino", "float32"), ("openvino", "int8")}


@pytest.mark.parametrize(("chosen", "precision"), [("torch", "float32"), ("openvino", "int8")])
def test_the_precision_in_force_is_that_of_what_was_chosen(
    tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str, precision: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(engine, "available_backends", lambda device, precision: ("openvino",))
    monkeypatch.setattr(
        engine, "try_backends", lambda *_, **__: choice.Choice(backend=chosen, median_ms={chosen: 1.0}, refused={})
    )
    make = networks.create_backend
    monkeypatch.setattr(
        networks, "create_backend", lambda _name, network, options: make(
            "torch", network, replace(options, precision="float32")
        ),
    )  # fmt: skip
    made = Engine(EngineConfig(weights=(str(tiny_weights),), device="cpu", backend="fastest", precision="int8"))
    assert (made.backend_name, made.precision) == ("torch", "float32")
    made.warm_up(33, 47)
    assert (made.backend_name, made.precision) == (chosen, precision)


def test_fastest_in_int8_without_a_backend_for_it_is_refused_in_one_line(
    tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "available_backends", lambda device, precision: ())
    with pytest.raises(EngineError, match="'int8' needs the backend openvino, on the CPU: pip install openvino"):
        Engine(EngineConfig(weights=(str(tiny_weights),), device="cpu", backend="fastest", precision="int8"))


def test_psnr_is_that_of_one_level_everywhere() -> None:
    zeros = np.zeros((4, 5, 3), np.uint8)
    assert choice.psnr_db(zeros + np.uint8(1), zeros) == pytest.approx(48.13, abs=0.01)
    assert choice.psnr_db(zeros, zeros) is None
