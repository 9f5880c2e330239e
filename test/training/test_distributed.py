# SPDX-License-Identifier: Apache-2.0
"""Two real processes under gloo, started by torchrun; what they run is in `worker` at the end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from segmif_ros.training.distributed import ALONE, Processes, joined
from segmif_ros.training.trainer import Trainer

HERE = Path(__file__)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What two processes and one process left, in ``two`` and ``one``."""
    root = tmp_path_factory.mktemp("processes")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*torchrun, str(HERE), str(root / "two")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    subprocess.run([sys.executable, str(HERE), str(root / "one")], check=True)
    return root


@pytest.mark.parametrize("name", ["plain", "accumulated", "uncertainty"])
def test_two_processes_give_the_gradients_of_one(folder, name):
    expected = torch.load(folder / "one" / f"{name}-0.pt", weights_only=True)
    first, second = (torch.load(folder / "two" / f"{name}-{rank}.pt", weights_only=True) for rank in (0, 1))
    counts = [each["labelled"] for each in (first, second)]
    assert counts[0] != counts[1]  # or a mean of means would do
    assert sum(counts) == expected["labelled"]
    largest = max(float(each.abs().max()) for each in expected["gradients"].values())
    assert largest > 0
    for key, each in expected["gradients"].items():
        assert torch.equal(first["gradients"][key], second["gradients"][key])
        assert torch.allclose(each, first["gradients"][key], rtol=1e-4, atol=1e-6 * largest), key


def test_the_loss_that_is_logged_is_the_whole_batchs(folder):
    one, two = (json.loads((folder / each / "plain/log.jsonl").read_text().splitlines()[0]) for each in ("one", "two"))
    for name in ("loss", "fusion", "segmentation"):
        assert two[name] == pytest.approx(one[name])


def test_all_processes_end_with_the_same_weights(folder):
    first, second = (torch.load(folder / "two" / f"whole-{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_two_processes_go_on_to_the_same_weights_to_the_bit(folder):
    whole, resumed = (torch.load(folder / "two" / f"{name}-0.pt", weights_only=True) for name in ("whole", "resumed"))
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_one_process_alone_writes_the_log(folder):
    steps = [json.loads(line) for line in (folder / "two/whole/log.jsonl").read_text().splitlines()]
    assert [each["step"] for each in steps if "loss" in each] == [1, 2, 3]
    assert len([each for each in steps if "validation" in each]) == 1


def test_an_error_of_the_main_process_ends_the_others_in_silence(folder):
    assert (folder / "two" / "failure-0.txt").read_text().startswith("RecipeError")
    assert (folder / "two" / "failure-1.txt").read_text().startswith("ReportedElsewhereError")


def test_a_loss_that_is_not_finite_names_the_samples_of_the_process_that_had_it(folder):
    assert (folder / "two" / "broken-1.txt").read_text().startswith("ReportedElsewhereError")
    text = (folder / "two" / "broken-0.txt").read_text()
    assert text.startswith("TrainingError step 0: loss is not finite")
    assert text.endswith("batch: sample 2; sample 3")


def test_shares_cover_each_batch_once():
    shares = [Processes(rank=rank, world=2).share(range(8), 4) for rank in (0, 1)]
    assert [[share[i] for i in range(4)] for share in shares] == [[0, 1, 4, 5], [2, 3, 6, 7]]
    samples = range(3)
    assert ALONE.share(samples, 2) is samples


def test_alone_nothing_is_waited_for():
    values = torch.ones(2)
    assert ALONE.sum(values) is values
    assert ALONE.gather("a") == ["a"]
    assert ALONE.on_main(lambda: 3) == 3
    with joined() as processes:
        assert processes is ALONE


class Noise:
    """Sample n: noise of generator n, with as many labelled rows as n says."""

    def __init__(self, dtype=torch.float32, broken=()):
        self.dtype = dtype
        self.broken = broken

    def __getitem__(self, number):
        generator = torch.Generator().manual_seed(number)
        shapes = {"infrared": 1, "rgb": 3, "prior": 1, "target": 1}
        sample = {
            key: torch.rand((planes, 32, 32), generator=generator, dtype=torch.float64).to(self.dtype)
            for key, planes in shapes.items()
        }
        sample["target"] = sample["target"].float()  # losses are taken in single precision, as always
        labels = torch.full((32, 32), 255)
        labels[: 5 * number + 3] = torch.randint(0, 15, (min(32, 5 * number + 3), 32), generator=generator)
        if number in self.broken:
            sample["infrared"][:] = float("nan")
        absent = torch.zeros((32, 32), dtype=torch.uint8)
        return {**sample, "labels": labels, "absent": absent, "names": f"sample {number}"}


def worker(folder, processes):
    """Train in several ways and leave what the tests look at."""
    import dataclasses

    from segmif_ros.data.transforms import AugmentConfig
    from segmif_ros.model import SegMiFConfig
    from segmif_ros.training.config import OptimiserConfig, RecipeError, SourceConfig, TrainingConfig
    from segmif_ros.training.distributed import ReportedElsewhereError
    from segmif_ros.training.trainer import TrainingError

    scenes = SourceConfig(kind="scenes", count=1, height=32, width=32, augment=AugmentConfig(crop_height=32))
    held_out = dataclasses.replace(scenes, first_seed=1)
    config = TrainingConfig(
        name="tiny",
        steps=3,
        batch_size=4,
        model=SegMiFConfig(
            encoder="mit_b0", fusion_channels=8, growth=4, fusion_scale=2, fusion_output="blend", decoder_channels=8
        ),
        sources=(scenes,),
        weighting="fixed",
        optimiser=OptimiserConfig(warm_steps=1),
        log_every=1,
        validate_every=3,
        num_threads=1,
        device="cpu",
    )

    def trainer(name, samples, **changes):
        recipe = dataclasses.replace(config, **changes)
        made = Trainer(recipe, data_root=Path(), output=folder / name, processes=processes)
        made.samples = samples
        return made

    def keep(name, content):
        torch.save(content, folder / f"{name}-{processes.rank}.pt")

    folder.mkdir(parents=True, exist_ok=True)
    for name, changes in {
        "plain": {},
        "accumulated": {"accumulate": 2},
        "uncertainty": {"weighting": "uncertainty"},
    }.items():
        # double precision, and fixed statistics: those of a batch are those of the process's share
        made = trainer(name, Noise(torch.float64), **changes)
        made.model.eval().double()
        made.average.double()
        made.run(stop_at=1)
        gradients = {key: each.grad for key, each in made.model.named_parameters() if each.grad is not None}
        if name == "uncertainty":
            gradients["log variances"] = made.weighting.log_variances.grad
        mine = processes.share(Noise(), 4)
        labelled = sum(int((mine[i]["labels"] != 255).sum()) for i in range(4 // processes.world))
        keep(name, {"gradients": gradients, "labelled": labelled})
    if processes.world == 1:
        return
    whole = trainer("whole", Noise(), validation=(held_out,), validation_samples=1)
    whole.run()
    keep("whole", whole.model.state_dict())
    trainer("resumed", Noise(), validation=(held_out,), validation_samples=1).run(stop_at=1)
    resumed = trainer("resumed", Noise(), validation=(held_out,), validation_samples=1)
    resumed.run()
    keep("resumed", resumed.model.state_dict())

    def fail(name, run, samples, seed):
        try:
            trainer(run, samples, seed=seed).run()
        except (RecipeError, TrainingError, ReportedElsewhereError) as error:
            (folder / f"{name}-{processes.rank}.txt").write_text(f"{type(error).__name__} {error}")

    fail("failure", "whole", Noise(), seed=2)  # the run there has another one
    fail("broken", "broken", Noise(broken=(2, 3)), seed=1)


if __name__ == "__main__":
    torch.set_num_threads(1)
    with joined() as ours:
        worker(Path(sys.argv[1]), ours)
