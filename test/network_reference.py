# SPDX-License-Identifier: Apache-2.0
"""The networks once more, slow and plain: float64 numpy, one image, explicit loops over heads and kernel offsets.

Written from the description alone and sharing no code with `segmif_ros.model`, so a test that compares both can fail.
Maps are (C, H, W), tokens are (N, C); weights are the authors' state dicts as {key: array}.
"""

import math

import numpy as np
import torch

Weights = dict[str, np.ndarray]
_erf = np.vectorize(math.erf)


def reference_outputs(
    fusion: Weights, seg: Weights, vis_u8: np.ndarray, ir_u8: np.ndarray, labels: np.ndarray
) -> dict[str, np.ndarray]:
    """All arrays that a file of parity vectors holds, in its types."""
    visible, infrared = vis_u8 / 255, ir_u8 / 255
    r, g, b = (plane.astype(int) for plane in vis_u8)
    mask_u8 = (((2 * r + 5 * g + b) // 8 + ir_u8[0].astype(int)) // 2).astype(np.uint8)[None]
    mask = mask_u8 / 255
    size = infrared.shape[1:]

    stages = encoder(seg, np.concatenate([mask] * 3))
    full = [resize(stage, size) for stage in stages[:2]]
    ycrcb = to_ycrcb(visible)
    parts: dict[str, np.ndarray] = {}
    fused_r = fusion_network(fusion, infrared, visible[:1], full[0], full[1], parts)
    fused_y = fusion_network(fusion, infrared, ycrcb[:1], full[0], full[1], {})
    raw_r, raw_y = to_rgb(fused_r, ycrcb), to_rgb(fused_y, ycrcb)
    u8_r, u8_y = display_bytes(raw_r), display_bytes(raw_y)
    seg_stages = encoder(seg, normalise(u8_r.transpose(2, 0, 1) / 255))
    logits_u8 = head(seg, seg_stages)
    logits_raw = head(seg, encoder(seg, normalise(raw_y)))

    arrays = {"mask_stage1": stages[0][None], "mask_stage2": stages[1][None]}
    for index, feature in enumerate(full):
        arrays[f"feat{index}_sub"] = feature[None, ::8, ::2, ::2]
        arrays[f"feat{index}_chan_mean"] = feature.mean(axis=(1, 2))
        arrays[f"feat{index}_chan_rms"] = np.sqrt((feature**2).mean(axis=(1, 2)))
    arrays |= {name: part[None, ::8, ::2, ::2] for name, part in parts.items()}
    arrays |= {"ycrcb": ycrcb[None], "fused_from_R": fused_r[None], "fused_from_Y": fused_y[None]}
    arrays |= {"rgb_raw_R": raw_r[None], "rgb_raw_Y": raw_y[None]}
    arrays |= {"seg_stage3": seg_stages[2][None], "seg_stage4": seg_stages[3][None]}
    arrays |= {"seg_logits_of_u8_R": logits_u8[None], "seg_logits_of_raw_Y": logits_raw[None]}
    arrays["ce_of_raw_Y"] = cross_entropy(resize(logits_raw, size), labels)
    arrays["loss_round1_of_Y"] = first_round_loss(fused_y[0], mask[0])
    arrays["loss_later_of_Y"] = later_rounds_loss(fused_y[0], mask[0])
    arrays = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
    arrays |= {"in_vis_u8": vis_u8, "in_ir_u8": ir_u8, "in_mask_u8": mask_u8, "rgb_u8_R": u8_r, "rgb_u8_Y": u8_y}
    arrays["seg_pred_of_u8_R"] = resize(logits_u8, size).argmax(axis=0).astype(np.uint8)[None]
    return arrays


# Layers.


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Float64 product. numpy's own has threads that can't be limited here, which makes it slow on a busy machine."""
    a, b = (np.ascontiguousarray(matrix, np.float64) for matrix in (a, b))
    return (torch.from_numpy(a) @ torch.from_numpy(b)).numpy()


def convolution(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, *, stride: int = 1, pad: int = 0, dilation: int = 1
) -> np.ndarray:
    """Cross-correlation, kernel offset by kernel offset; a weight of one input channel on many is depthwise."""
    out_channels, in_channels, kernel_h, kernel_w = weight.shape
    weight = weight.astype(np.float64)
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    height = (x.shape[1] + 2 * pad - dilation * (kernel_h - 1) - 1) // stride + 1
    width = (x.shape[2] + 2 * pad - dilation * (kernel_w - 1) - 1) // stride + 1
    result = np.zeros((out_channels, height, width))
    for i in range(kernel_h):
        for j in range(kernel_w):
            top, left = i * dilation, j * dilation
            bottom, right = top + stride * (height - 1) + 1, left + stride * (width - 1) + 1
            seen = padded[:, top:bottom:stride, left:right:stride]
            if in_channels == 1 and x.shape[0] > 1:
                result += weight[:, 0, i, j][:, None, None] * seen
            else:
                result += matmul(weight[:, :, i, j], seen.reshape(in_channels, -1)).reshape(result.shape)
    return result if bias is None else result + bias.astype(np.float64)[:, None, None]


def conv(weights: Weights, key: str, x: np.ndarray, **options: int) -> np.ndarray:
    return convolution(x, weights[key + ".weight"], weights.get(key + ".bias"), **options)


def linear(weights: Weights, key: str, tokens: np.ndarray) -> np.ndarray:
    result = matmul(tokens, weights[key + ".weight"].T)
    return result + weights[key + ".bias"].astype(np.float64) if key + ".bias" in weights else result


def layer_norm(weights: Weights, key: str, tokens: np.ndarray, eps: float) -> np.ndarray:
    mean = tokens.mean(axis=1, keepdims=True)
    variance = ((tokens - mean) ** 2).mean(axis=1, keepdims=True)
    scaled = (tokens - mean) / np.sqrt(variance + eps)
    return scaled * weights[key + ".weight"].astype(np.float64) + weights[key + ".bias"].astype(np.float64)


def relu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.0)


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    shifted = np.exp(x - x.max(axis=axis, keepdims=True))
    return shifted / shifted.sum(axis=axis, keepdims=True)


def tokens_of(x: np.ndarray) -> np.ndarray:
    return x.reshape(x.shape[0], -1).T


def map_of(tokens: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return tokens.T.reshape(-1, *size)


def resize(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear, pixel centres at halves, borders repeated."""

    def matrix(source: int, target: int) -> np.ndarray:
        rows = np.zeros((target, source))
        for i in range(target):
            position = max((i + 0.5) * source / target - 0.5, 0.0)
            first = min(math.floor(position), source - 1)
            second = min(first + 1, source - 1)
            rows[i, first] += 1 - (position - first)
            rows[i, second] += position - first
        return rows

    vertical, horizontal = matrix(x.shape[1], size[0]), matrix(x.shape[2], size[1])
    return np.stack([vertical @ plane @ horizontal.T for plane in x])


# Encoder and head.


def encoder(seg: Weights, image: np.ndarray) -> list[np.ndarray]:
    maps = []
    x = image
    for stage in range(1, 5):
        root = "denoise_net.encoder."
        stride, pad = (4, 3) if stage == 1 else (2, 1)
        x = conv(seg, f"{root}patch_embed{stage}.proj", x, stride=stride, pad=pad)
        size = x.shape[1:]
        tokens = layer_norm(seg, f"{root}patch_embed{stage}.norm", tokens_of(x), 1e-5)
        block = 0
        while f"{root}block{stage}.{block}.norm1.weight" in seg:
            name = f"{root}block{stage}.{block}."
            normed = layer_norm(seg, name + "norm1", tokens, 1e-6)
            tokens = tokens + attention(seg, name + "attn.", normed, size, stage)
            hidden = linear(seg, name + "mlp.fc1", layer_norm(seg, name + "norm2", tokens, 1e-6))
            hidden = tokens_of(conv(seg, name + "mlp.dwconv.dwconv", map_of(hidden, size), pad=1))
            hidden = hidden * 0.5 * (1 + _erf(hidden / math.sqrt(2)))
            tokens = tokens + linear(seg, name + "mlp.fc2", hidden)
            block += 1
        x = map_of(layer_norm(seg, f"{root}norm{stage}", tokens, 1e-6), size)
        maps.append(x)
    return maps


def attention(seg: Weights, name: str, tokens: np.ndarray, size: tuple[int, int], stage: int) -> np.ndarray:
    heads, reduction = (1, 2, 5, 8)[stage - 1], (8, 4, 2, 1)[stage - 1]
    source = tokens
    if reduction > 1:
        source = tokens_of(conv(seg, name + "sr", map_of(tokens, size), stride=reduction))
        source = layer_norm(seg, name + "norm", source, 1e-5)
    channels = tokens.shape[1]
    query, both = linear(seg, name + "q", tokens), linear(seg, name + "kv", source)
    width = channels // heads
    result = np.empty_like(query)
    for head_index in range(heads):
        part = slice(head_index * width, (head_index + 1) * width)
        key, value = both[:, :channels][:, part], both[:, channels:][:, part]
        result[:, part] = matmul(softmax(matmul(query[:, part], key.T) / math.sqrt(width), axis=1), value)
    return linear(seg, name + "proj", result)


def head(seg: Weights, maps: list[np.ndarray]) -> np.ndarray:
    root = "denoise_net.decoder."
    size = maps[0].shape[1:]
    projected = []
    for stage in (4, 3, 2, 1):
        x = maps[stage - 1]
        x = map_of(linear(seg, f"{root}linear_c{stage}.proj", tokens_of(x)), x.shape[1:])
        projected.append(resize(x, size))
    x = conv(seg, root + "linear_fuse.conv", np.concatenate(projected))
    bn = {name: seg[f"{root}linear_fuse.bn.{name}"].astype(np.float64)[:, None, None] for name in
          ("weight", "bias", "running_mean", "running_var")}
    x = (x - bn["running_mean"]) / np.sqrt(bn["running_var"] + 1e-5) * bn["weight"] + bn["bias"]
    return conv(seg, root + "linear_pred", relu(x))


def normalise(rgb: np.ndarray) -> np.ndarray:
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    return (255 * rgb - mean[:, None, None]) / std[:, None, None]


# Fusion.


def fusion_network(
    fusion: Weights,
    infrared: np.ndarray,
    visible: np.ndarray,
    f1: np.ndarray,
    f2: np.ndarray,
    parts: dict,
    scale: int = 1,
    blend: bool = False,
) -> np.ndarray:
    """`parts` receives the outputs of the first dense blocks and of both interactions.

    f1 and f2 have the size of the network's maps: the image's, or with a scale that divided by it, rounded up.
    """
    slope = float(fusion["relu.weight"][0])
    t, v = infrared, visible
    infrared, visible = unshuffle(infrared, scale), unshuffle(visible, scale)
    reference_tokens = 4096 if blend else None

    def prelu(x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, x, slope * x)

    a = dense_block(fusion, "DRDB1.", prelu(conv(fusion, "conv1_ir", infrared, pad=1)))
    b = dense_block(fusion, "DRDB2.", prelu(conv(fusion, "conv1_vis", visible, pad=1)))
    parts["drdb1_sub"], parts["drdb2_sub"] = a, b
    a, b = interaction(fusion, a, b, conv(fusion, "conv3", f1), reference_tokens)
    parts["ffm_call1_ir_sub"], parts["ffm_call1_vis_sub"] = a, b
    a, b = dense_block(fusion, "DRDB3.", a), dense_block(fusion, "DRDB4.", b)
    a, b = interaction(fusion, a, b, conv(fusion, "conv4", f2), reference_tokens)
    parts["ffm_call2_ir_sub"], parts["ffm_call2_vis_sub"] = a, b
    x = prelu(conv(fusion, "conv2", np.concatenate([a, b]), pad=1))
    x = prelu(conv(fusion, "conv21", x, pad=1))
    x = conv(fusion, "conv22", x, pad=1)
    if not blend:
        return shuffle(prelu(x), scale, t.shape[1:])
    share = 1 / (1 + np.exp(-shuffle(x[: scale**2], scale, t.shape[1:])))
    return share * t + (1 - share) * v + shuffle(x[scale**2 :], scale, t.shape[1:])


def unshuffle(plane: np.ndarray, scale: int) -> np.ndarray:
    """(1, H, W) -> (s * s, H / s, W / s): plane i * s + j holds rows i, i + s, ... and columns j, j + s, ..."""
    padded = np.pad(plane[0], ((0, -plane.shape[1] % scale), (0, -plane.shape[2] % scale)), mode="edge")
    return np.stack([padded[i::scale, j::scale] for i in range(scale) for j in range(scale)])


def shuffle(planes: np.ndarray, scale: int, size: tuple[int, int]) -> np.ndarray:
    result = np.zeros((planes.shape[1] * scale, planes.shape[2] * scale))
    for i in range(scale):
        for j in range(scale):
            result[i::scale, j::scale] = planes[i * scale + j]
    return result[None, : size[0], : size[1]]


def dense_block(fusion: Weights, name: str, x: np.ndarray) -> np.ndarray:
    layers = [x]
    for k in range(1, 6):
        layers.append(relu(conv(fusion, f"{name}Dcov{k}", np.concatenate(layers), pad=2, dilation=2)))
    return x + relu(conv(fusion, name + "conv", np.concatenate(layers)))


def interaction(
    fusion: Weights, infrared: np.ndarray, visible: np.ndarray, semantic: np.ndarray, reference_tokens: int | None
) -> tuple[np.ndarray, np.ndarray]:
    name = "ffm.cross."
    size = infrared.shape[1:]
    x1, x2, s = tokens_of(infrared), tokens_of(visible), tokens_of(semantic)
    half = x1.shape[1]
    gain = reference_tokens / len(x1) if reference_tokens else 1.0
    p1, p2, p3 = (relu(linear(fusion, f"{name}channel_proj{i}", x)) for i, x in ((1, x1), (2, x2), (3, s)))
    c1 = contexts(p1[:, :half], fusion[name + "cross_attn2.kv1.weight"], gain)
    c2 = contexts(p2[:, :half], fusion[name + "cross_attn2.kv2.weight"], gain)
    c3 = contexts(p3[:, half:], fusion[name + "cross_attn.kv3.weight"], gain)
    y3 = p3[:, :half]
    out1 = linear(fusion, name + "end_proj1", np.hstack([attend(y3, c1), attend(p1[:, half:], c3)]))
    out2 = linear(fusion, name + "end_proj2", np.hstack([attend(y3, c2), attend(p2[:, half:], c3)]))
    out1 = layer_norm(fusion, name + "norm1", x1 + out1, 1e-5)
    out2 = layer_norm(fusion, name + "norm2", x2 + out2, 1e-5)
    return map_of(out1, size), map_of(out2, size)


def contexts(tokens: np.ndarray, weight: np.ndarray, gain: float) -> list[np.ndarray]:
    channels = tokens.shape[1]
    both = matmul(tokens, weight.T)
    result = []
    for head_index in range(channels // 8):
        part = slice(head_index * 8, head_index * 8 + 8)
        key, value = both[:, :channels][:, part], both[:, channels:][:, part]
        result.append(softmax(gain * key.T @ value / math.sqrt(8), axis=0))
    return result


def attend(queries: np.ndarray, context: list[np.ndarray]) -> np.ndarray:
    return np.hstack([queries[:, 8 * h : 8 * h + 8] @ matrix for h, matrix in enumerate(context)])


# Colour, the display step, losses.


def to_ycrcb(rgb: np.ndarray) -> np.ndarray:
    r, g, b = rgb
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return np.stack([y, 0.713 * (r - y) + 0.5, 0.564 * (b - y) + 0.5])


def to_rgb(luma: np.ndarray, ycrcb: np.ndarray) -> np.ndarray:
    y, cr, cb = luma[0], ycrcb[1] - 0.5, ycrcb[2] - 0.5
    return np.stack([y + 1.403 * cr, y - 0.714 * cr - 0.344 * cb, y + 1.773 * cb])


def display_bytes(rgb: np.ndarray) -> np.ndarray:
    """(3, H, W) -> uint8 (H, W, 3), value by value."""
    planes = np.clip(rgb, 0, 1).astype(np.float32)
    levels = [[[int(np.float32(255) * value) for value in row] for row in plane] for plane in planes]
    flat = [value for plane in levels for row in plane for value in row]
    low, high = min(flat), max(flat)
    if low == high:
        return np.zeros((*rgb.shape[1:], 3), np.uint8)
    stretched = [[[int(255.0 * ((v - low) / (high - low))) for v in row] for row in plane] for plane in levels]
    return np.array(stretched, np.uint8).transpose(1, 2, 0)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    losses = []
    for y, x in zip(*np.nonzero(labels != 255), strict=True):
        values = logits[:, y, x]
        losses.append(math.log(np.exp(values - values.max()).sum()) + values.max() - values[labels[y, x]])
    return sum(losses) / len(losses)


def first_round_loss(fused: np.ndarray, mask: np.ndarray) -> float:
    def edges(image: np.ndarray) -> np.ndarray:
        kx = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])[None, None]
        ky = np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]])[None, None]
        return sum(np.abs(convolution(image[None], kernel, None, pad=1)[0]) for kernel in (kx, ky))

    return np.abs(mask - fused).mean() + np.abs(edges(mask) - edges(fused)).mean()


def later_rounds_loss(fused: np.ndarray, mask: np.ndarray) -> float:
    window = np.array([[math.exp(-((i - 5) ** 2 + (j - 5) ** 2) / 4.5) for j in range(11)] for i in range(11)])
    window = (window / window.sum())[None, None]

    def blur(image: np.ndarray) -> np.ndarray:
        return convolution(image[None], window, None, pad=5)[0]

    mf, mm = blur(fused), blur(mask)
    vf, vm, cov = blur(fused**2) - mf**2, blur(mask**2) - mm**2, blur(fused * mask) - mf * mm
    ssim = (2 * mf * mm + 1e-4) * (2 * cov + 9e-4) / ((mf**2 + mm**2 + 1e-4) * (vf + vm + 9e-4))
    return ((mask - fused) ** 2).mean() + 1.1 * (1 - ssim.mean())
