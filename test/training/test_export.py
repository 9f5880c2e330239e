# SPDX-License-Identifier: Apache-2.0
import torch

from segmif_ros.model import SegMiF, SegMiFConfig, load_checkpoint, save_checkpoint
from segmif_ros.training.export import main


def test_the_packaged_file_is_half_as_large_and_keeps_the_metadata(tmp_path, capsys):
    model = SegMiF(SegMiFConfig(encoder="mit_b0", fusion_channels=8, growth=4, decoder_channels=8))
    save_checkpoint(model, tmp_path / "full.safetensors", {"name": "tiny", "label_set": "fmb"})
    assert main([str(tmp_path / "full.safetensors"), str(tmp_path / "half.safetensors")]) == 0
    full, half = ((tmp_path / f"{name}.safetensors").stat().st_size for name in ("full", "half"))
    assert half < 0.6 * full
    loaded = load_checkpoint(tmp_path / "half.safetensors")
    assert loaded.metadata["name"] == "tiny"
    weight = "segmentation.denoise_net.encoder.patch_embed1.proj.weight"
    assert torch.allclose(loaded.state_dict()[weight], model.state_dict()[weight], atol=1e-3)


def test_a_missing_source_is_one_line(tmp_path, capsys):
    assert main([str(tmp_path / "none.safetensors"), str(tmp_path / "half.safetensors")]) == 2
    assert "none.safetensors" in capsys.readouterr().err
