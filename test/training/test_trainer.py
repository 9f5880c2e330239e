# SPDX-License-Identifier: Apache-2.0
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
import yaml
from module_command import command_of

from segmif_ros.data.transforms import AugmentConfig
from segmif_ros.evaluation.card import learning_curve as weights_curve
from segmif_ros.model import SegMiF, SegMiFConfig, load_checkpoint, save_checkpoint
from segmif_ros.model.checkpoint import load_network
from segmif_ros.training import __main__ as train
from segmif_ros.training.batches import as_tensors, batches
from segmif_ros.training.config import OptimiserConfig, RecipeError, RoundsConfig, SourceConfig, TrainingConfig
from segmif_ros.training.distributed import Processes
from segmif_ros.training.losses import labelled_weight
from segmif_ros.training.phases import Truth
from segmif_ros.training.trainer import Trainer, TrainingError, compile_networks

main = command_of(train)


CROP = AugmentConfig(crop_height=64, crop_width=64, dark=0.3, thermal_noise=0.3)
TINY = TrainingConfig(
    name="tiny",
    seed=3,
    steps=4,
    batch_size=2,
    model=SegMiFConfig(
        encoder="mit_b0", fusion_channels=8, growth=4, fusion_scale=2, fusion_output="blend", decoder_channels=16
    ),
    sources=(SourceConfig(kind="pairs", path="pairs", hold_out_every=3, augment=CROP),),
    validation=(SourceConfig(kind="pairs", path="pairs", hold_out_every=3),),
    validation_samples=1,
    optimiser=OptimiserConfig(warm_steps=2, clip_norm=1.0),
    weighting_window=1,
    first_round_steps=2,
    validate_every=4,
    log_every=1,
    num_threads=1,
    facts={"data": "noise"},
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Four labelled images and four pairs, 72x80, named so that a batch can be told."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for folder in ("pairs/infrared", "pairs/visible", "camvid/train/images", "camvid/train/labels"):
        (root / folder).mkdir(parents=True)
    for i in range(4):
        coarse = rng.integers(0, 256, (9, 10, 3), dtype=np.uint8)
        rgb = cv2.resize(coarse, (80, 72), interpolation=cv2.INTER_CUBIC)
        labels = np.kron(rng.integers(0, 12, (9, 10), dtype=np.uint8), np.ones((8, 8), np.uint8))
        cv2.imwrite(str(root / f"pairs/infrared/{i}.png"), rgb[..., 0])
        cv2.imwrite(str(root / f"pairs/visible/{i}.png"), rgb)
        cv2.imwrite(str(root / f"camvid/train/images/{i}.png"), rgb)
        cv2.imwrite(str(root / f"camvid/train/labels/{i}.png"), labels)
    return root


@pytest.fixture(scope="module")
def labelled():
    """The tiny recipe on labelled images and pairs."""
    source = SourceConfig(kind="camvid", path="camvid", augment=CROP)
    return dataclasses.replace(TINY, sources=(source, *TINY.sources))


def first_batches(trainer, count):
    return batches(trainer.samples, first=0, end=count, size=2, workers=0)


def weights_of(trainer):
    return {**trainer.model.state_dict(), **{f"mean.{k}": v for k, v in trainer.average.state_dict().items()}}


def losses_of(trainer, batch, step=0):
    truth = Truth(total=labelled_weight(batch.labels))
    return trainer.phase.losses(trainer.model, batch, step, truth)


def curve_of(folder):
    """The learning curve without what a clock says."""
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in each.items() if key not in ("seconds", "samples_per_s")} for each in records]


RECIPES = {
    "joint": {"log_every": 3},
    "learned weights": {"weighting": "uncertainty"},
    "in parts": {"accumulate": 2},
    "rounds": {
        "method": "alternating",
        "weighting": "uncertainty",
        "rounds": RoundsConfig(
            count=2, first_fusion_steps=1, fusion_steps=2, segmentation_steps=1, segmentation_crop=48
        ),
        "steps": 5,
    },
}


@pytest.mark.parametrize(("name", "stop"), [*((name, 2) for name in RECIPES), ("rounds", 3)])
def test_a_resumed_run_ends_in_the_same_weights_to_the_bit(tmp_path, data, labelled, name, stop):
    config = dataclasses.replace(labelled, **RECIPES[name])
    whole = Trainer(config, data_root=data, output=tmp_path / "whole")
    whole.run()
    Trainer(config, data_root=data, output=tmp_path / "parts").run(stop_at=stop)
    torch.rand(7)  # another process would not have this generator where it was
    rest = Trainer(config, data_root=data, output=tmp_path / "parts")
    assert rest.step == stop
    rest.run()
    expected, found = weights_of(whole), weights_of(rest)
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    assert whole.weighting.state() == rest.weighting.state()
    assert curve_of(tmp_path / "whole") == curve_of(tmp_path / "parts")


def test_steps_after_the_last_state_are_taken_again_and_logged_once(tmp_path, data):
    Trainer(TINY, data_root=data, output=tmp_path).run(stop_at=2)
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write(json.dumps({"step": 3, "loss": 9.0}) + '\n{"step": 4, "lo')
    Trainer(TINY, data_root=data, output=tmp_path).run()
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if "loss" in record] == [1, 2, 3, 4]


def test_a_killed_run_ends_as_an_uninterrupted_one_to_the_bit(tmp_path, data):
    config = dataclasses.replace(TINY, steps=8, validate_every=8, checkpoint_minutes=0.0)
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(json.loads(json.dumps(dataclasses.asdict(config)))))
    output = tmp_path / "run"
    command = [sys.executable, "-m", "segmif_ros.training", str(recipe), "--data", str(data), "--out", str(output)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:  # a line comes after its step and before the step's state is written
            if line.startswith("step 3/"):
                os.kill(process.pid, signal.SIGKILL)
                break
    rest = Trainer(config, data_root=data, output=output)
    assert 2 <= rest.step < 8
    rest.run()
    whole = Trainer(config, data_root=data, output=tmp_path / "whole")
    whole.run()
    expected, found = weights_of(whole), weights_of(rest)
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    assert curve_of(output) == curve_of(tmp_path / "whole")


def test_a_signal_to_the_whole_process_group_leaves_the_state_saved(tmp_path, data):
    recipe = tmp_path / "tiny.yaml"
    plain = json.loads(json.dumps(dataclasses.asdict(TINY)))
    recipe.write_text(yaml.safe_dump({**plain, "steps": 400, "validate_every": 400, "data_workers": 1}))
    output = tmp_path / "run"
    command = [sys.executable, "-m", "segmif_ros.training", str(recipe), "--data", str(data), "--out", str(output)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        for line in process.stdout:
            if line.startswith("step 2/"):
                os.killpg(process.pid, signal.SIGTERM)
                break
        _, errors = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert torch.load(output / "state.pt", weights_only=True)["step"] >= 3


def test_training_lowers_the_loss_of_a_batch_it_sees_again(tmp_path, data, labelled):
    rates = OptimiserConfig(encoder_lr=1e-3, decoder_lr=3e-3, fusion_lr=3e-3, warm_steps=0)
    config = dataclasses.replace(labelled, steps=16, batch_size=1, optimiser=rates, ema_decay=0.0, validation=())
    trainer = Trainer(config, data_root=data, output=tmp_path)
    trainer.samples = [trainer.samples[number] for number in [0] * 16]
    trainer.run()
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    curve = [record["segmentation"] for record in records if "segmentation" in record]
    assert np.mean(curve[-3:]) < 0.85 * np.mean(curve[:2])


def test_the_segmentation_loss_reaches_the_fusion_network(tmp_path, data, labelled):
    trainer = Trainer(labelled, data_root=data, output=tmp_path)
    batch = next(batch for batch in first_batches(trainer, 8) if (batch.labels != 255).any())
    losses_of(trainer, batch)[1].backward()
    assert trainer.model.fusion.conv22.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("asked", [False, True])
def test_the_priors_features_pass_no_gradient_unless_asked(tmp_path, data, asked):
    trainer = Trainer(dataclasses.replace(TINY, prior_gradient=asked), data_root=data, output=tmp_path)
    batch = next(first_batches(trainer, 1))
    stem = trainer.model.segmentation.denoise_net.encoder.patch_embed1.proj.weight
    losses_of(trainer, batch)[0].backward()
    assert (stem.grad is not None and bool(stem.grad.any())) == asked


def test_a_loss_that_is_not_finite_names_the_batch(tmp_path, data):
    trainer = Trainer(TINY, data_root=data, output=tmp_path)
    with torch.no_grad():
        trainer.model.fusion.conv22.bias.fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"step 0: loss is not finite \(loss nan.*pairs/infrared/\d\.png; .*\.png"):
        trainer.run()


def test_the_exported_weights_carry_the_facts_of_the_recipe(tmp_path, data):
    Trainer(TINY, data_root=data, output=tmp_path).run()
    metadata = load_checkpoint(tmp_path / "last.safetensors").metadata
    expected = {"name": "tiny", "label_set": "fmb", "prior": "mean", "seed": "3", "steps": "4 of 4", "data": "noise"}
    assert {key: metadata[key] for key in expected} == expected


def test_the_log_of_a_run_is_a_learning_curve_and_so_are_those_of_its_stages(tmp_path, data):
    Trainer(TINY, data_root=data, output=tmp_path).run()
    log, curve = tmp_path / "log.jsonl", tmp_path / "x.curve.json"
    assert command_of(weights_curve)([str(log), str(log), str(curve)]) == 0
    points = weights_curve.read_curve(curve)
    assert [point["step"] for point in points if "loss" in point] == list(range(1, 9))
    assert [point["step"] for point in points if "validation" in point] == [4, 8]
    assert {"fusion", "segmentation", "fusion_weight"} <= points[0].keys()


def test_another_recipe_in_the_same_folder_is_refused(tmp_path, data):
    Trainer(TINY, data_root=data, output=tmp_path).run(stop_at=1)
    with pytest.raises(RecipeError, match="started with another batch_size"):
        Trainer(dataclasses.replace(TINY, batch_size=1), data_root=data, output=tmp_path)


def test_a_run_goes_on_on_another_device_and_without_the_weights_it_started_from(tmp_path, data):
    save_checkpoint(SegMiF(TINY.model), tmp_path / "first.safetensors")
    config = dataclasses.replace(TINY, init=str(tmp_path / "first.safetensors"))
    Trainer(config, data_root=data, output=tmp_path / "run").run(stop_at=1)
    (tmp_path / "first.safetensors").unlink()
    moved = dataclasses.replace(config, device="cpu", channels_last=True, data_workers=1)
    trainer = Trainer(moved, data_root=data, output=tmp_path / "run")
    trainer.run(stop_at=2)
    assert trainer.step == 2
    with pytest.raises(RecipeError, match=r"init .*first\.safetensors"):
        Trainer(config, data_root=data, output=tmp_path / "new")


def test_classes_that_were_edited_since_the_start_are_refused(tmp_path, data):
    file = tmp_path / "own.yaml"
    file.write_text("name: own\nclasses: [{name: road}, {name: person}]\n")
    model = dataclasses.replace(TINY.model, num_classes=2)
    config = dataclasses.replace(TINY, label_set=str(file), model=model)
    Trainer(config, data_root=data, output=tmp_path / "run").run(stop_at=1)
    file.write_text("name: own\nclasses: [{name: person}, {name: road}]\n")
    with pytest.raises(RecipeError, match="other classes than the recipe's label_set names now") as refused:
        Trainer(config, data_root=data, output=tmp_path / "run")
    assert "\n" not in str(refused.value)


def test_the_command_refuses_to_go_on_with_other_data(tmp_path, data, capsys):
    own, recipe, run = tmp_path / "data", tmp_path / "tiny.yaml", tmp_path / "run"
    shutil.copytree(data, own)
    Trainer(TINY, data_root=own, output=run).run(stop_at=1)
    recipe.write_text((run / "recipe.json").read_text())  # JSON is YAML
    shutil.copy(own / "pairs/visible/0.png", own / "pairs/visible/1.png")
    assert main([str(recipe), "--data", str(own), "--out", str(run)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "other contents of sources[0] (pairs pairs): put the files back" in said
    assert main([str(recipe), "--data", str(own), "--out", str(run), "--dry-run"]) == 2
    assert "PROBLEM" in capsys.readouterr().out


def test_a_finished_run_is_not_trained_again(tmp_path, data, capsys):
    Trainer(TINY, data_root=data, output=tmp_path).run()
    Trainer(TINY, data_root=data, output=tmp_path).run()
    assert "nothing left to do at step 4 of 4" in capsys.readouterr().out


def test_validation_uses_held_out_pairs_alone(tmp_path, data):
    trainer = Trainer(TINY, data_root=data, output=tmp_path)
    ((_, held_out),) = trainer.validation._sources
    assert held_out.names == ("2",)
    names = {name for batch in first_batches(trainer, 20) for name in batch.names}
    assert not any(name.endswith("/2.png") for name in names)


def test_the_target_is_the_vsm_wls_image_of_the_augmented_pair(tmp_path, data):
    trainer = Trainer(TINY, data_root=data, output=tmp_path)
    tensors = as_tensors(trainer.samples._mixture[0], "vsm_wls")
    assert torch.equal(tensors["target"], tensors["prior"])
    assert tensors["target"].shape == (1, 64, 64)


def test_the_command_reports_missing_data_in_one_line(tmp_path, capsys):
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(json.loads(json.dumps(dataclasses.asdict(TINY)))))
    assert main([str(recipe), "--data", str(tmp_path), "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("python -m segmif_ros.training: ")
    assert f"{tmp_path / 'pairs'}: no such folder" in error
    assert len(error.splitlines()) == 1


def test_training_the_segmentation_network_alone_leaves_the_fusion_network_as_it_was(tmp_path, data, labelled):
    trainer = Trainer(dataclasses.replace(labelled, method="segmentation"), data_root=data, output=tmp_path / "run")
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.run()
    moved = {name for name, value in trainer.model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved
    assert not [name for name in moved if name.startswith("fusion.")]


def test_bfloat16_gives_nearly_the_losses_of_float32(tmp_path, data, labelled):
    exact, rounded = (
        Trainer(dataclasses.replace(labelled, precision=precision), data_root=data, output=tmp_path / precision)
        for precision in ("float32", "bfloat16")
    )
    batch = next(first_batches(exact, 1))
    for trainer in (exact, rounded):
        trainer.model.eval()
    expected, found = ([each.item() for each in losses_of(trainer, batch, 3)] for trainer in (exact, rounded))
    assert found == pytest.approx(expected, rel=0.02)
    assert found[1] != expected[1]  # it was taken in bfloat16; on a CPU the fusion network is not


class Doubled:
    """Samples in double precision: the interaction block's small gradients are differences of large numbers."""

    def __init__(self, samples):
        self.samples = samples

    def __getitem__(self, number):
        sample = self.samples[number]
        # losses are taken in single precision, as always
        return {k: v.double() if k in ("infrared", "rgb", "prior") else v for k, v in sample.items()}


def gradients_of(config, data, folder, **changes):
    """Gradients of the first step, normalisation with fixed statistics so that they don't depend on the parts."""
    trainer = Trainer(dataclasses.replace(config, **changes), data_root=data, output=folder)
    trainer.model.eval().double()
    trainer.average.double()
    trainer.samples = Doubled(trainer.samples)
    trainer.run(stop_at=1)
    return {name: each.grad for name, each in trainer.model.named_parameters() if each.grad is not None}, trainer


def assert_close(expected, found):
    assert expected.keys() == found.keys()
    largest = max(float(each.abs().max()) for each in expected.values())
    for name, each in expected.items():
        assert torch.allclose(each, found[name], rtol=1e-4, atol=1e-6 * largest), name


@pytest.mark.parametrize("class_weights", [{}, {"sky": 0.3, "car": 3.0}], ids=["plain", "weighted"])
@pytest.mark.parametrize("weighting", ["fixed", "uncertainty", "gradient_norm"])
def test_a_batch_cut_into_parts_gives_the_whole_batchs_gradients(tmp_path, data, labelled, weighting, class_weights):
    config = dataclasses.replace(
        labelled,
        batch_size=4,
        optimiser=OptimiserConfig(),
        weighting=weighting,
        class_weights=class_weights,
        first_round_steps=0,
    )
    whole, one = gradients_of(config, data, tmp_path / "whole")
    parts, two = gradients_of(config, data, tmp_path / "parts", accumulate=4)
    counts = [int((batch.labels != 255).sum()) for batch in batches(one.samples, first=0, end=4, size=1, workers=0)]
    assert len(set(counts)) > 1  # or a mean of means would do
    assert_close(whole, parts)
    assert one.weighting.weights() == pytest.approx(two.weighting.weights())
    assert curve_of(tmp_path / "parts")[0]["loss"] == pytest.approx(curve_of(tmp_path / "whole")[0]["loss"])


def test_channels_last_and_compiled_networks_give_the_same_gradients(tmp_path, data, labelled, monkeypatch):
    config = dataclasses.replace(labelled, optimiser=OptimiserConfig())
    plain, _ = gradients_of(config, data, tmp_path / "plain")
    used = []

    def traced(model):
        used.append(model)
        compile_networks(model, backend="eager")  # traced as usual, but nothing is built: that would take minutes

    monkeypatch.setattr("segmif_ros.training.trainer.compile_networks", traced)
    other, trainer = gradients_of(config, data, tmp_path / "other", channels_last=True, compile=True)
    assert used
    assert trainer.model.fusion.conv2.weight.is_contiguous(memory_format=torch.channels_last)
    assert_close(plain, other)


@pytest.mark.parametrize("weighting", ["uncertainty", "gradient_norm"])
def test_learned_weights_move_and_are_saved(tmp_path, data, labelled, weighting):
    labelled = dataclasses.replace(labelled, weighting=weighting, first_round_steps=0)
    trainer = Trainer(labelled, data_root=data, output=tmp_path)
    assert trainer.weighting.weights() == (1.0, 1.0)
    trainer.run()
    assert all(weight != 1.0 for weight in trainer.weighting.weights())
    again = Trainer(labelled, data_root=data, output=tmp_path)
    assert again.weighting.weights() == trainer.weighting.weights()


def test_a_batch_that_cannot_be_cut_equally_is_refused(tmp_path, data):
    with pytest.raises(RecipeError, match="batch_size is 2: it cannot be cut into equal parts for 3 processes"):
        Trainer(TINY, data_root=data, output=tmp_path, processes=Processes(rank=0, world=3))


def test_a_state_of_another_version_is_refused(tmp_path, data):
    Trainer(TINY, data_root=data, output=tmp_path).run(stop_at=1)
    torch.save({"step": 1, "model": {}}, tmp_path / "state.pt")
    with pytest.raises(RecipeError, match="written by another version"):
        Trainer(TINY, data_root=data, output=tmp_path)


def test_a_run_of_a_recipe_written_before_a_key_existed_goes_on(tmp_path, data):
    Trainer(TINY, data_root=data, output=tmp_path).run(stop_at=1)
    recipe = json.loads((tmp_path / "recipe.json").read_text())
    del recipe["accumulate"], recipe["sources"][0]["augment"]["rare_crop"]
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    assert Trainer(TINY, data_root=data, output=tmp_path).step == 1


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_with_its_state_saved(tmp_path, data, monkeypatch, capsys, number, status):
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(json.loads(json.dumps(dataclasses.asdict(TINY)))))
    take_step = Trainer._take_step

    def interrupted(trainer, batch, wishes):
        if trainer.step == 1:
            os.kill(os.getpid(), number)  # comes while the second step is taken
        return take_step(trainer, batch, wishes)

    monkeypatch.setattr(Trainer, "_take_step", interrupted)
    before = signal.getsignal(number)
    assert main([str(recipe), "--data", str(data), "--out", str(tmp_path / "run")]) == status
    assert signal.getsignal(number) is before
    assert torch.load(tmp_path / "run" / "state.pt", weights_only=True)["step"] == 3
    assert f"stopped at step 3 by {number.name}" in capsys.readouterr().err


def test_a_second_signal_ends_the_process_at_once(tmp_path, data):
    program = (
        "import os, signal\n"
        "from segmif_ros.training.stopping import StopRequest\n"
        "with StopRequest() as request:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('noted', request.signal_number, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('still here')\n"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.stdout == "noted 2\n"
    assert found.returncode == -signal.SIGINT
    assert "once more ends at once" in found.stderr


def test_camvid_can_be_trained_on_with_its_own_classes(tmp_path, data, labelled):
    config = dataclasses.replace(
        labelled,
        method="segmentation",
        segmentation_input="rgb",
        label_set="camvid",
        model=dataclasses.replace(labelled.model, num_classes=12),
        class_weights={"fence": 2.0},
    )
    trainer = Trainer(config, data_root=data, output=tmp_path / "run")
    ids = torch.cat([batch.labels.flatten() for batch in first_batches(trainer, 2)]).unique().tolist()
    assert 7 in ids  # fence, which FMB doesn't have
    assert 11 not in ids  # unlabelled is ignored
    assert float(trainer.evidence.class_weights[7]) == 2.0


@pytest.mark.parametrize("design", ["early", "two_branch"])
def test_another_design_than_the_cascade_is_trained_validated_and_saved(tmp_path, data, labelled, design):
    model = dataclasses.replace(labelled.model, design=design)
    trainer = Trainer(dataclasses.replace(labelled, model=model, steps=2), data_root=data, output=tmp_path)
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}
    trainer.run()
    still = {name for name, value in trainer.model.named_parameters() if torch.equal(value, before[name])}
    assert still == {"segmentation.denoise_net.classifier.weight"}
    assert load_network(tmp_path / "best.safetensors").config.design == design
