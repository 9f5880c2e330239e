# SPDX-License-Identifier: Apache-2.0
"""`segmif convert`: weights as one file of this project, or as the authors' two files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from segmif_ros.inference.weights import WeightsError, resolve_checkpoint
from segmif_ros.result_folder import require_new

# what the weights can't be read rightly without
_OF_THE_FILE = ("format_version", "prior_scale")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `segmif convert`."""
    parser.description = (
        "Writes weights of a run, packaged ones or the authors' as one file of this project (--to segmif, with "
        "--float16 half as large, as packaged) or as the authors' two files (--to authors; the paper's sizes only)."
    )
    parser.add_argument("weights", help="name, file, or the authors' two files with a comma between")
    parser.add_argument("output", type=Path, help="segmif: the file; authors: a folder for the two files")
    parser.add_argument("--to", choices=("segmif", "authors"), required=True, help="what to write")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    parser.add_argument("--float16", action="store_true", help="segmif: half precision, but for biases and norms")
    parser.add_argument(
        "--metadata",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="segmif: set a string beside the weights, such as label_set=fmb or name=mine; more than once for several",
    )
    parser.add_argument(
        "--format",
        choices=("pth", "safetensors"),
        default="pth",
        help="authors: what their code loads, or safetensors, which keeps the metadata (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Convert, and print what was written; return 0."""
    # here, as torch comes with them
    from segmif_ros.model import load_checkpoint, save_checkpoint
    from segmif_ros.model.conversion import authors_files, save_authors_checkpoint

    if options.to == "authors" and (options.float16 or options.metadata):
        raise WeightsError("--float16 and --metadata are for --to segmif: leave them out")
    if options.to == "segmif" and options.format != "pth":
        raise WeightsError("--format is for --to authors: leave it out, --to segmif always writes safetensors")
    added = _metadata(options.metadata)
    if options.to == "segmif":
        require_new(options.output, overwrite=options.overwrite)
    elif not options.overwrite:
        for name in authors_files(options.output, options.format):
            require_new(name)
    model = load_checkpoint(resolve_checkpoint(options.weights.split(",")))
    if options.to == "authors":
        _say(*save_authors_checkpoint(model, options.output, form=options.format))
        if options.format == "pth" and model.metadata:
            print(f"left out, as .pth has no place for metadata (--format safetensors has):{_listed(model.metadata)}")
        if model.config.encoder == "mit_b0":
            print("the authors' fusion network is written for mit_b1 .. b5: give its conv3 and conv4 32 and 64 inputs")
        return 0
    if not options.output.parent.is_dir():
        raise WeightsError(f"{options.output}: there is no folder {options.output.parent}: create it")
    kept = dict(model.metadata)
    if added.get("label_set", kept.get("label_set")) != kept.get("label_set"):
        kept.pop("label_classes", None)  # of the old label set; readers take them before the name
    metadata = {**kept, **added}
    save_checkpoint(model, options.output, metadata, float16=options.float16)
    _say(options.output)
    print(f"metadata:{_listed(metadata) or ' none (set it with --metadata NAME=VALUE)'}")
    return 0


def _metadata(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or not name.strip():
            raise WeightsError(f"--metadata '{text}': write NAME=VALUE")
        if name.strip() in _OF_THE_FILE:
            raise WeightsError(f"--metadata '{text}': {name.strip()} belongs to the weights: leave it out")
        found[name.strip()] = value
    return found


def _say(*paths: Path) -> None:
    for path in paths:
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


def _listed(metadata: dict[str, str]) -> str:
    return "".join(f"\n  {name}={metadata[name]}" for name in sorted(metadata) if name not in _OF_THE_FILE)
