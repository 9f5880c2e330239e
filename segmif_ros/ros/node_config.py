# SPDX-License-Identifier: Apache-2.0
"""The parameters of segmif_node: the one table that declaration, config/segmif.yaml and docs/parameters.md follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from segmif_ros.imaging.encodings import MAX_PIXELS
from segmif_ros.imaging.gain import GAIN_POLICIES, GainConfig
from segmif_ros.paths import user_path
from segmif_ros.rig.drift import LIMIT_PX
from segmif_ros.rig.registration import DEFAULT_DEPTH_M, VIEWS
from segmif_ros.rig.registration import MODES as REGISTRATION_MODES
from segmif_ros.ros.parameters import Changes, parameter
from segmif_ros.stream.pipeline import PipelineConfig
from segmif_ros.stream.single_camera import POLICIES
from segmif_ros.stream.temporal import FILTERS

if TYPE_CHECKING:  # torch would come with it
    from segmif_ros.inference.engine import EngineConfig

NODE_NAME = "segmif_node"
FILE_HEADER = """\
Every parameter of segmif_node at its default. Written by `make params` from segmif_ros/ros/node_config.py: change it
there, and copy this file to change values for a robot. QoS per topic can be overridden with rclpy's qos_overrides."""

# The choices of the engine, said here so that this table needs no torch; a test holds the two together.
PRIORS = ("auto", "vsm_wls", "visible", "mean")
MODES = ("robot", "authors")
PRECISIONS = ("float32", "bfloat16", "float16", "int8")
BACKENDS = ("auto", "fastest", "torch", "compile", "cuda_graph", "tensorrt", "openvino", "onnxruntime")
RELIABILITIES = ("best_effort", "reliable")
DEPTH_SOURCES = ("image", "points")
TIME_OFFSETS = ("fixed", "auto")
TRANSPORTS = ("raw", "compressed")
SYNC_POLICIES = ("nearest", "exact", "approximate")

_UNCONFIGURED = Changes.UNCONFIGURED
_NEVER = Changes.NEVER


@dataclass(frozen=True, kw_only=True)
class NodeConfig:
    """What each parameter means is said in its description."""

    # the model
    weights: str = parameter(
        "segmif-s",
        "Model to run: a name that comes with the package, a checkpoint file, the two files of the SegMiF authors "
        "separated by a comma, or a model folder with a network of one's own (docs/own_network.md).",
        changes=Changes.RELOAD,
        group="Model",
    )
    device: str = parameter(
        "auto",
        "Where to run: auto (CUDA where there is one), cpu, cuda, or cuda:N or N, a number from 0.",
        changes=_UNCONFIGURED,
        takes_number=True,
    )
    backend: str = parameter(
        "auto",
        "What runs the network: torch, compile (torch.compile), cuda_graph or tensorrt (both CUDA; tensorrt by ONNX "
        "Runtime), openvino (CPU) or onnxruntime; auto is torch, or what runs a model folder's file; fastest tries "
        "what is installed when it configures, and remembers.",
        choices=BACKENDS,
        changes=_UNCONFIGURED,
    )
    precision: str = parameter(
        "float32",
        "Arithmetic of the network; float16 needs CUDA, int8 (where it is safe; bfloat16 elsewhere) the backend "
        "openvino.",
        choices=PRECISIONS,
        changes=_UNCONFIGURED,
    )
    calibration_pairs: str = parameter(
        "",
        "Folder with infrared/ and visible/ pairs, as these cameras see, that int8 is calibrated with when it is first "
        "configured; without one it takes built-in patterns.",
        changes=_UNCONFIGURED,
    )
    frame_budget_ms: float = parameter(
        0.0,
        "Longest that a pair may keep the node busy, in milliseconds: where the median takes longer, the network's "
        "image gets smaller in steps (outputs keep their size), and larger again once that fits; 0 is off. See "
        "docs/node_performance.md.",
        minimum=0.0,
        maximum=60_000.0,
        changes=Changes.RELOAD,
    )
    inference_width: int = parameter(
        0,
        "Columns of the image that the network sees; 0 follows from inference_height, and with both 0 it is as the "
        "cameras' images. Outputs keep the cameras' size. A frame's time goes with the number of pixels.",
        minimum=0,
        maximum=8192,
        changes=Changes.RELOAD,
    )
    inference_height: int = parameter(
        0,
        "Rows of the same; 0 follows from inference_width.",
        minimum=0,
        maximum=8192,
        changes=Changes.RELOAD,
    )
    prior: str = parameter(
        "auto",
        "Prior image that the semantic features are taken from; auto is what the weights were trained with.",
        choices=PRIORS,
        changes=_UNCONFIGURED,
    )
    mode: str = parameter(
        "robot",
        "robot: luma in and no frame-dependent stretch, so video doesn't flicker; authors: their test script.",
        choices=MODES,
        changes=_UNCONFIGURED,
    )
    label_set: str = parameter(
        "auto",
        "Names and colours of the classes: auto (the checkpoint's, or by class count), fmb, mfnet, camvid, pst900 "
        "or a .yaml file of one's own.",
        changes=_UNCONFIGURED,
    )
    classes: int = parameter(
        0, "Refuse weights with another number of classes; 0 takes any.", minimum=0, maximum=256, changes=_UNCONFIGURED
    )
    warm_up_height: int = parameter(
        480, "Rows of the image that the model is warmed up with.", minimum=29, maximum=8192, changes=_UNCONFIGURED
    )
    warm_up_width: int = parameter(
        640, "Columns of the image that the model is warmed up with.", minimum=29, maximum=8192, changes=_UNCONFIGURED
    )
    num_threads: int = parameter(
        0,
        "Threads of torch on the CPU; 0 leaves torch's choice (all cores).",
        minimum=0,
        maximum=1024,
        changes=_UNCONFIGURED,
    )
    opencv_threads: int = parameter(
        0, "Threads of OpenCV; 0 leaves OpenCV's choice.", minimum=0, maximum=1024, changes=_UNCONFIGURED
    )

    # inputs
    infrared_transport: str = parameter(
        "raw",
        "How infrared images come: raw, or compressed (JPEG or PNG, 8 and 16 bit) on the image topic with /compressed "
        "added.",
        choices=TRANSPORTS,
        changes=_UNCONFIGURED,
        group="Inputs",
    )
    rgb_transport: str = parameter(
        "raw", "How RGB images come, as infrared_transport.", choices=TRANSPORTS, changes=_UNCONFIGURED
    )

    # pairing
    sync_policy: str = parameter(
        "nearest",
        "How frames pair: nearest stamp within slop_s; exact or approximate as message_filters, which must be "
        "installed, does it (approximate pairs greedily on arrival).",
        choices=SYNC_POLICIES,
        changes=_UNCONFIGURED,
        group="Pairing",
    )
    slop_s: float = parameter(
        0.0,
        "Largest difference of the stamps of a pair in seconds; half a frame period or more pairs wrongly. 0 takes "
        "half the frame period that the stamps show, at most 0.05 (0.02 with sync_policy approximate).",
        minimum=0.0,
        maximum=10.0,
    )
    queue_size: int = parameter(10, "Frames of each camera that wait for a partner at most.", minimum=1, maximum=1000)
    time_offset_s: float = parameter(
        0.0,
        "Taken off the infrared stamps before pairing, in seconds: positive where the driver stamps late (on arrival).",
        minimum=-10.0,
        maximum=10.0,
    )
    master: str = parameter("rgb", "Camera whose view, stamp and frame_id all outputs have.", choices=VIEWS)

    # one camera
    single_camera: str = parameter(
        "continue",
        "Where one camera is silent or blind (frozen, flat, black, white): continue with the other one, with lowered "
        "confidence; stop, so that nothing comes out; none: nobody looks, and pairs are processed whatever they show.",
        choices=POLICIES,
    )
    single_camera_after_s: float = parameter(
        0.5,
        "Silence, or a frozen picture, for so long makes a camera missing, in seconds; a slow camera gets three of "
        "its own frame periods.",
        minimum=0.05,
        maximum=60.0,
    )
    frozen_images: bool = parameter(
        True, "A picture that doesn't change is a fault; false for a simulation whose images have no noise."
    )
    infrared_alone_confidence: float = parameter(
        0.0,
        "Factor of the confidence while infrared is alone; 0 takes what was calibrated for the weights (0.5 where "
        "nothing was: segmif single-camera does it).",
        minimum=0.0,
        maximum=1.0,
    )
    rgb_alone_confidence: float = parameter(0.0, "The same while RGB is alone.", minimum=0.0, maximum=1.0)
    temporal: str = parameter(
        "none",
        "filter steadies the labels over time: evidence for each pixel's class, carried along by optical flow; none "
        "takes each frame by itself.",
        choices=FILTERS,
    )

    # registration
    registration: str = parameter(
        "none",
        "How the other camera's image gets into the master's view: none (they show the same at one size), resize (at "
        "two sizes), homography, stereo (two calibrated cameras, one plane), ground (the road exactly), depth (by a "
        "depth image), adaptive (distances are estimated from both images). See docs/calibration.md.",
        choices=REGISTRATION_MODES,
        group="Registration",
    )
    calibration_file: str = parameter(
        "",
        "Calibration of the rig, for homography and stereo; what it leaves out for stereo, ground, depth and adaptive "
        "is taken from camera_info. "
        "Read when it is set and when the node is configured.",
    )
    reference_depth_m: float = parameter(
        DEFAULT_DEPTH_M,
        "Distance in metres at which stereo registers exactly, 0 takes the calibration's plane; of what stands on the "
        "ground (0: far away); where depth and adaptive can't tell.",
        minimum=0.0,
        maximum=100_000.0,
    )
    depth_source: str = parameter(
        "image",
        "Where registration depth takes it from: image (depth/image, aligned with the RGB camera, 32FC1 in metres or "
        "16UC1 in millimetres), points (depth/points in the RGB camera's optical frame).",
        choices=DEPTH_SOURCES,
    )
    watch_registration: bool = parameter(
        False,
        "Look at a registered pair a second and tell in /diagnostics and the log when the cameras moved since "
        "calibration.",
    )
    registration_limit_px: float = parameter(
        LIMIT_PX,
        "Displacement in pixels of the master's view from which on watch_registration tells.",
        minimum=0.5,
        maximum=100.0,
    )
    refine_registration_px: float = parameter(
        0.0,
        "Largest correction in pixels, right and down, that watch_registration may make, slowly, for homography, "
        "stereo and ground; 0: none.",
        minimum=0.0,
        maximum=50.0,
    )
    time_offset: str = parameter(
        "fixed",
        "fixed: time_offset_s holds; auto: what the images tell (as estimate_time_offset, within half a second) takes "
        "its place once two estimates agree.",
        choices=TIME_OFFSETS,
    )
    estimate_time_offset: bool = parameter(
        False,
        "Compare how both images move and report in /diagnostics by how much the infrared stamps are late; corrects "
        "nothing.",
    )

    # images
    infrared_crop: str = parameter(
        "",
        "Rows and columns to cut off infrared images, for telemetry lines: top, bottom, left, right, for example "
        "'0, 2, 0, 0'. Calibration and camera_info are of what is left.",
        group="Images",
    )
    max_pixels: int = parameter(
        MAX_PIXELS,
        "Largest image that is taken, in pixels; a compressed one is refused by its header, before it is decoded.",
        minimum=1024,
        maximum=1 << 30,
    )

    # thermal gain, for 16-bit and float infrared
    gain_policy: str = parameter(
        "plateau",
        "How raw thermal values become 8-bit: plateau (equalised and smoothed over time, the usual gain of thermal "
        "cameras), percentile (linear, smoothed over time), fixed range, minmax a frame, clahe.",
        choices=GAIN_POLICIES,
        group="Thermal gain (16-bit and float infrared)",
    )
    gain_low_percentile: float = parameter(
        1.0, "Percentile that becomes 0 (percentile, clahe).", minimum=0.0, maximum=100.0
    )
    gain_high_percentile: float = parameter(
        99.0, "Percentile that becomes 255 (percentile, clahe).", minimum=0.0, maximum=100.0
    )
    gain_time_constant_s: float = parameter(
        1.0, "How slowly the percentile range follows the scene, in seconds; 0 at once.", minimum=0.0, maximum=600.0
    )
    gain_fixed_low: float = parameter(0.0, "Raw value (counts, or the unit of 32FC1) that becomes 0 (fixed).")
    gain_fixed_high: float = parameter(16383.0, "Raw value that becomes 255 (fixed).")
    gain_clahe_clip_limit: float = parameter(2.0, "Contrast limit (clahe).", minimum=0.1, maximum=100.0)
    gain_clahe_tiles: int = parameter(8, "Tiles in each direction (clahe).", minimum=1, maximum=64)

    # outputs
    mask_classes: str = parameter(
        "",
        "Names of the classes, separated by commas, that are 255 in segmentation/classes_mask; empty publishes none.",
        group="Outputs",
    )
    output_width: int = parameter(
        0,
        "Columns of the class and confidence images and of the semantic map; 0 follows from output_height, and with "
        "that 0 as well it is the cameras'. Ids are taken from the nearest pixel.",
        minimum=0,
        maximum=8192,
    )
    output_height: int = parameter(
        0, "Rows of the same; 0 follows from output_width.", minimum=0, maximum=8192
    )
    jpeg_quality: int = parameter(90, "Quality of fused/image/compressed in percent.", minimum=1, maximum=100)
    fused_encoding: str = parameter("rgb8", "Encoding of fused/image.", choices=("rgb8", "mono8"))
    overlay_alpha: float = parameter(
        0.5, "Weight of the class colours in segmentation/overlay.", minimum=0.0, maximum=1.0
    )

    # life
    snapshot_folder: str = parameter(
        "", "Where ~/snapshot writes, a folder for each; empty means $ROS_HOME/segmif_snapshots (~/.ros without it).",
        group="Life and diagnostics",
    )
    autostart: bool = parameter(
        True, "Configure and activate at start; false waits for lifecycle transitions.", changes=_NEVER
    )
    diagnostics_period_s: float = parameter(
        1.0, "Time between two messages on /diagnostics in seconds.", minimum=0.05, maximum=60.0, changes=_NEVER
    )
    input_timeout_s: float = parameter(
        2.0, "An input without a frame for this long is reported as silent, in seconds.", minimum=0.1, maximum=3600.0
    )
    output_timeout_s: float = parameter(
        5.0,
        "Nothing delivered for this long although both cameras send is an error in /diagnostics, in seconds.",
        minimum=0.1,
        maximum=3600.0,
    )
    input_reliability: str = parameter(
        "best_effort",
        "QoS of both inputs; best_effort receives from every publisher, reliable only from reliable ones.",
        choices=RELIABILITIES,
        changes=_NEVER,
    )
    input_depth: int = parameter(5, "Queue depth of both inputs.", minimum=1, maximum=1000, changes=_NEVER)
    output_reliability: str = parameter(
        "reliable",
        "QoS of the outputs; reliable suits every subscriber.",
        choices=RELIABILITIES,
        changes=_NEVER,
    )
    output_depth: int = parameter(5, "Queue depth of the outputs.", minimum=1, maximum=1000, changes=_NEVER)

    def __post_init__(self) -> None:
        self.pipeline()  # says what doesn't go together
        try:
            user_path(self.snapshot_folder)
        except FileNotFoundError as error:
            raise ValueError(f"parameter 'snapshot_folder' is '{self.snapshot_folder}': {error.strerror}") from None

    @property
    def estimates_time_offset(self) -> bool:
        """Whether both images' motion is compared."""
        return self.estimate_time_offset or self.time_offset == "auto"

    def gain(self) -> GainConfig:
        """Return the gain stage's part."""
        return GainConfig(
            policy=self.gain_policy,
            low_percentile=self.gain_low_percentile,
            high_percentile=self.gain_high_percentile,
            time_constant_s=self.gain_time_constant_s,
            fixed_low=self.gain_fixed_low,
            fixed_high=self.gain_fixed_high,
            clahe_clip_limit=self.gain_clahe_clip_limit,
            clahe_tiles=self.gain_clahe_tiles,
        )

    def pipeline(self) -> PipelineConfig:
        """Return the pipeline's part."""
        return PipelineConfig(
            slop_s=self.slop_s,
            queue_size=self.queue_size,
            time_offset_s=self.time_offset_s,
            master=self.master,
            registration=self.registration,
            calibration_file=self.calibration_file,
            reference_depth_m=self.reference_depth_m,
            gain=self.gain(),
            infrared_crop=self.infrared_crop,
            max_pixels=self.max_pixels,
            single_camera=self.single_camera,
            single_camera_after_s=self.single_camera_after_s,
            frozen_images=self.frozen_images,
            infrared_alone_confidence=self.infrared_alone_confidence,
            rgb_alone_confidence=self.rgb_alone_confidence,
            temporal=self.temporal,
        )

    def engine(self) -> EngineConfig:
        """Return the engine's part."""
        from segmif_ros.inference.engine import EngineConfig

        return EngineConfig(
            weights=tuple(each.strip() for each in self.weights.split(",") if each.strip()),
            device=self.device,
            backend=self.backend,
            precision=self.precision,
            prior=self.prior,
            mode=self.mode,
            label_set=self.label_set,
            expected_classes=self.classes,
            num_threads=self.num_threads,
            calibration_pairs=self.calibration_pairs,
        )
