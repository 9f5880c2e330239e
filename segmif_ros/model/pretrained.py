# SPDX-License-Identifier: Apache-2.0
"""Start the encoder from a file: ImageNet weights of MiT-B0 to MiT-B5 in the layouts they are published in.

Four layouts are known by their key names: the original one (ours has the same names), Hugging Face transformers' as
stored (4.x and 5.x) and as 5.x holds it in memory, and mmsegmentation's converted files. Numbers are never changed:
tensors get our names, keys and values are joined, and 1x1 convolutions lose their two sides of one pixel.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from segmif_ros.model.checkpoint import CheckpointError, read_state, shown
from segmif_ros.model.encoder import ENCODERS, MixTransformer
from segmif_ros.model.network import SegMiF

# what may come with an encoder; everything else that isn't used is refused
_HEADS = ("head.", "classifier.", "decode_head.", "auxiliary_head.", "segmentation_head.", "decoder.", "fusion.")
_OURS = re.compile(r"(patch_embed|block|norm)([1-4])\.(?:(\d+)\.)?(?:(.+)\.)?(weight|bias)")


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Names of one layout.

    Attributes:
        name: for messages.
        embedding: how keys of the patch embeddings go on after the prefix; tells the layout and the prefix.
        first_stage: number of the first stage.
        modules: our module to theirs; {stage} and {block} are numbers, {kind} is weight or bias. Several are joined,
            the first one first.
        stacked: the module that holds queries, keys and values as equal parts in this order.
        pointwise: our modules whose weights are 1x1 convolutions there.
    """

    name: str
    embedding: str
    first_stage: int
    modules: Mapping[str, tuple[str, ...]]
    stacked: str | None = None
    pointwise: tuple[str, ...] = ()

    def sources(self, module: str, stage: int, block: str, kind: str) -> list[str]:
        """Keys that our key is made of, without the prefix."""
        templates = (self.stacked,) if self.stacked and module in ("block.attn.q", "block.attn.kv") else None
        return [
            each.format(stage=stage - 1 + self.first_stage, block=block, kind=kind)
            for each in templates or self.modules[module]
        ]


def _named(stem: str, modules: Mapping[str, str | tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The modules of a block under its stem."""
    return {
        f"block.{ours}": tuple(f"{stem}.{each}.{{kind}}" for each in ((theirs,) if isinstance(theirs, str) else theirs))
        for ours, theirs in modules.items()
    }


_IN_A_BLOCK = (
    *("norm1", "attn.q", "attn.kv", "attn.proj", "attn.sr", "attn.norm"),
    *("norm2", "mlp.fc1", "mlp.dwconv.dwconv", "mlp.fc2"),
)
_ORIGINAL = _Layout(
    name="original",
    embedding=r"patch_embed[1-4]\.(?:proj|norm)\.",
    first_stage=1,
    modules={
        "patch_embed.proj": ("patch_embed{stage}.proj.{kind}",),
        "patch_embed.norm": ("patch_embed{stage}.norm.{kind}",),
        "norm": ("norm{stage}.{kind}",),
        **_named("block{stage}.{block}", {each: each for each in _IN_A_BLOCK}),
    },
)
_TRANSFORMERS = _Layout(
    name="transformers",
    embedding=r"patch_embeddings\.[0-3]\.(?:proj|layer_norm)\.",
    first_stage=0,
    modules={
        "patch_embed.proj": ("patch_embeddings.{stage}.proj.{kind}",),
        "patch_embed.norm": ("patch_embeddings.{stage}.layer_norm.{kind}",),
        "norm": ("layer_norm.{stage}.{kind}",),
        **_named(
            "block.{stage}.{block}",
            {
                "norm1": "layer_norm_1",
                "attn.q": "attention.self.query",
                "attn.kv": ("attention.self.key", "attention.self.value"),
                "attn.proj": "attention.output.dense",
                "attn.sr": "attention.self.sr",
                "attn.norm": "attention.self.layer_norm",
                "norm2": "layer_norm_2",
                "mlp.fc1": "mlp.dense1",
                "mlp.dwconv.dwconv": "mlp.dwconv.dwconv",
                "mlp.fc2": "mlp.dense2",
            },
        ),
    },
)
_TRANSFORMERS_IN_MEMORY = _Layout(
    name="transformers 5 in memory",
    embedding=r"stages\.[0-3]\.patch_embeddings\.(?:proj|layer_norm)\.",
    first_stage=0,
    modules={
        "patch_embed.proj": ("stages.{stage}.patch_embeddings.proj.{kind}",),
        "patch_embed.norm": ("stages.{stage}.patch_embeddings.layer_norm.{kind}",),
        "norm": ("stages.{stage}.layer_norm.{kind}",),
        **_named(
            "stages.{stage}.blocks.{block}",
            {
                "norm1": "layernorm_before",
                "attn.q": "attention.q_proj",
                "attn.kv": ("attention.k_proj", "attention.v_proj"),
                "attn.proj": "attention.o_proj",
                "attn.sr": "attention.sequence_reduction.sequence_reduction",
                "attn.norm": "attention.sequence_reduction.layer_norm",
                "norm2": "layernorm_after",
                "mlp.fc1": "mlp.fc1",
                "mlp.dwconv.dwconv": "mlp.dwconv.dwconv",
                "mlp.fc2": "mlp.fc2",
            },
        ),
    },
)
_MMSEGMENTATION = _Layout(
    name="mmsegmentation",
    embedding=r"layers\.[0-3]\.0\.(?:projection|norm)\.",
    first_stage=0,
    modules={
        "patch_embed.proj": ("layers.{stage}.0.projection.{kind}",),
        "patch_embed.norm": ("layers.{stage}.0.norm.{kind}",),
        "norm": ("layers.{stage}.2.{kind}",),
        **_named(
            "layers.{stage}.1.{block}",
            {
                "norm1": "norm1",
                "attn.proj": "attn.attn.out_proj",
                "attn.sr": "attn.sr",
                "attn.norm": "attn.norm",
                "norm2": "norm2",
                "mlp.fc1": "ffn.layers.0",
                "mlp.dwconv.dwconv": "ffn.layers.1",
                "mlp.fc2": "ffn.layers.4",
            },
        ),
    },
    stacked="layers.{stage}.1.{block}.attn.attn.in_proj_{kind}",
    pointwise=("block.mlp.fc1", "block.mlp.fc2"),
)
_LAYOUTS = (_ORIGINAL, _TRANSFORMERS, _TRANSFORMERS_IN_MEMORY, _MMSEGMENTATION)


@dataclass(frozen=True, kw_only=True)
class EncoderFile:
    """An encoder that was read.

    Attributes:
        layout: 'original', 'transformers', 'transformers 5 in memory' or 'mmsegmentation'.
        tensors: float32 on the CPU, by the keys of `MixTransformer.state_dict()`.
        ignored: keys of the file that belong to a classification or segmentation head or to a fusion network.
    """

    layout: str
    tensors: dict[str, Tensor]
    ignored: tuple[str, ...]


def read_encoder(path: str | Path, encoder_name: str) -> EncoderFile:
    """Reads an encoder by the names of its keys; each must be there, of the right shape, and no other but a head's.

    Args:
        path: safetensors, or PyTorch with tensors only (a {'state_dict': ...} wrapper is taken off): an encoder or a
            whole classifier or segmentation model, a checkpoint of ours or the authors' segmentation network.
        encoder_name: 'mit_b0' .. 'mit_b5', what the file must hold.

    Raises:
        CheckpointError: the file can't be read or holds no encoder in a layout known here, another encoder, or a key
            that is missing, unexpected, or of another shape or type. One line with the file and the key.
    """
    file = Path(path)
    if encoder_name not in ENCODERS:
        raise CheckpointError(f"encoder '{encoder_name}' is unknown: choose one of {', '.join(ENCODERS)}")
    state, _ = read_state(file)
    layout, prefix = _recognise(state, file)
    found = _sizes(state, layout, prefix)
    other = next((name for name, sizes in ENCODERS.items() if sizes == found), None)
    if other not in (None, encoder_name):
        raise CheckpointError(f"{file}: holds {other}, and {encoder_name} was asked for: give weights of that")
    tensors, used = {}, set()
    for key, shape in _shapes(*ENCODERS[encoder_name]).items():
        tensors[key], keys = _gather(state, layout, prefix, key, shape, file)
        used.update(keys)
    ignored = sorted(set(state) - used)
    heads = tuple(parent + head for parent in _parents(prefix) for head in _HEADS)
    for key in ignored:
        if not key.startswith(heads):
            raise CheckpointError(f"{file}: unexpected key {shown(key)}: give weights of {encoder_name}")
    return EncoderFile(layout=layout.name, tensors=tensors, ignored=tuple(ignored))


def load_encoder(path: str | Path, encoder_name: str) -> dict[str, Tensor]:
    """The tensors of `read_encoder` alone, for `MixTransformer.load_state_dict`."""
    return read_encoder(path, encoder_name).tensors


def apply_encoder(model: SegMiF, path: str | Path) -> EncoderFile:
    """Replaces the weights of the model's encoder, wherever the model is, by those of a file.

    Returns:
        what was read, with the keys that were ignored.

    Raises:
        CheckpointError: as `read_encoder`; the model is then as before.
    """
    read = read_encoder(path, model.config.encoder)
    model.segmentation.denoise_net.encoder.load_state_dict(read.tensors)
    return read


@functools.cache
def _shapes(widths: tuple[int, ...], depths: tuple[int, ...]) -> dict[str, torch.Size]:
    """Keys and shapes of our encoder."""
    with torch.device("meta"):  # no memory, and no numbers are drawn from the generator that training is seeded with
        return {key: tensor.shape for key, tensor in MixTransformer(widths, depths).state_dict().items()}


def _recognise(state: Mapping[str, Tensor], file: Path) -> tuple[_Layout, str]:
    """Layout and what stands before its keys, such as 'backbone.'."""
    found = {
        (layout.name, key[: match.start()]): layout
        for layout in _LAYOUTS
        for key in state
        if (match := re.search(rf"(?:^|(?<=\.)){layout.embedding}(?:weight|bias)$", key))
    }
    if not found:
        first = next(iter(state), "none")
        names = ", ".join(layout.name for layout in _LAYOUTS)
        raise CheckpointError(
            f"{file}: holds no MiT encoder in a layout known here ({names}; its first key is {shown(first)}): "
            f"give other weights"
        )
    if len(found) > 1:
        where = ", ".join(f"'{shown(prefix)}' ({name})" for name, prefix in found)
        raise CheckpointError(f"{file}: holds more than one encoder, under {where}: give a file with one")
    ((_, prefix), layout) = next(iter(found.items()))
    return layout, prefix


def _sizes(
    state: Mapping[str, Tensor], layout: _Layout, prefix: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Widths and depths of the stages, as far as the file has what tells them."""
    widths, depths = [], []
    for stage in range(1, 5):
        embedding = state.get(prefix + layout.sources("patch_embed.norm", stage, "", "weight")[0])
        widths.append(embedding.shape[0] if embedding is not None and embedding.ndim == 1 else 0)
        (key,) = layout.sources("block.norm1", stage, "@", "weight")
        pattern = re.compile(re.escape(prefix) + re.escape(key).replace("@", r"(\d{1,4})"))
        numbers = [int(match[1]) for each in state if (match := pattern.fullmatch(each))]
        depths.append(1 + max(numbers, default=-1))
    return tuple(widths), tuple(depths)


def _gather(
    state: Mapping[str, Tensor], layout: _Layout, prefix: str, key: str, shape: torch.Size, file: Path
) -> tuple[Tensor, list[str]]:
    """Our tensor and the file's keys that it was made of."""
    match = _OURS.fullmatch(key)
    assert match is not None, key  # all keys of our encoder are of this form
    part, stage, block, inner, kind = match.groups()
    module = f"{part}.{inner}" if inner else part
    sources = [prefix + each for each in layout.sources(module, int(stage), block, kind)]
    rows = shape[0] // len(sources)
    stacked = layout.stacked is not None and module in ("block.attn.q", "block.attn.kv")
    if stacked:
        rows = 3 * shape[0] if module.endswith(".q") else 3 * shape[0] // 2
    tail = (1, 1) if kind == "weight" and module in layout.pointwise else ()
    wanted = (rows, *shape[1:], *tail)
    for source in sources:
        if source not in state:
            raise CheckpointError(f"{file}: key {shown(source)} is missing: get the file again or give another")
        found = state[source]
        if tuple(found.shape) != wanted or not found.is_floating_point():
            raise CheckpointError(
                f"{file}: {shown(source)} is {_described(found.dtype, found.shape)}, expected "
                f"{_described(torch.float32, wanted)}: give weights of the encoder that was asked for"
            )
    whole = torch.cat([state[source] for source in sources]).float()
    if stacked:
        whole = whole[: shape[0]] if module.endswith(".q") else whole[-shape[0] :]
    return whole.reshape(shape).clone(memory_format=torch.contiguous_format), sources


def _parents(prefix: str) -> list[str]:
    """What a head's key may start with: '', 'a.' and 'a.b.' for the prefix 'a.b.'."""
    parts = prefix.split(".")[:-1]
    return ["".join(f"{part}." for part in parts[:count]) for count in range(len(parts) + 1)]


def _described(dtype: torch.dtype, shape: tuple[int, ...]) -> str:
    return f"{str(dtype).removeprefix('torch.')} of shape {tuple(shape)}"


__all__ = ["EncoderFile", "apply_encoder", "load_encoder", "read_encoder"]
