# SPDX-License-Identifier: Apache-2.0
"""What becomes of every command line of README and docs: it is run, another test runs it, or it can't be run here.

A command line that a page gains goes into one of the four lists, or test_commands.py fails.
"""

# Run in this order in a folder with the files that the pages name (conftest.py), with what is added to keep it small.
RUN: dict[str, str] = {
    # python.md
    "segmif predict infrared.png rgb.png --save fused labels overlay confidence colours": "--weights tiny.safetensors",
    "segmif predict FOLDER --out out/mine": "--weights tiny.safetensors",
    "segmif predict thermal.mp4 camera.mp4 --save overlay": "--weights tiny.safetensors",
    "segmif predict raw16.png rgb.png --registration stereo --calibration-file rig.yaml": "--weights tiny.safetensors",
    # evaluation.md
    "segmif record-synthetic street --frames 100": "--frames 3 --size 64x48",
    "segmif replay street --labels-topic /rig/labels --out out/replay": "--weights tiny.safetensors",
    "segmif replay robot/*.mcap --infrared-topic /boson/image_raw --rgb-topic /camera/color/image_raw"
    " --params-file robot.yaml --workers 4": "--weights tiny.safetensors --out out/robot --workers 1",
    "segmif replay drive.mcap --labels-topic /labels --out new": "--weights tiny.safetensors",
    "segmif compare reference/report.json new/drive/report.json --metric segmentation.all.miou.present:0.01"
    " --metric segmentation.all.iou.person:0.02 --metric fusion.all.Qabf:0.02": "",
    "segmif models runs/mine/last.safetensors": "",
    # one_camera.md
    "segmif record-synthetic faults --frames 300 --fault rgb:white@10s+5s": "--frames 3 --size 64x48",
    "segmif replay faults --labels-topic /rig/labels --single-camera continue": "--weights tiny.safetensors"
    " --out out/faults",
    # grid.md
    "segmif record-synthetic drive --drive --frames 50 --size 640x480": "--frames 3 --size 64x48",
    "segmif replay drive --grid --weights segmif-rt": "--out out/grid",
    # own_network.md
    "segmif models my_network": "",
    "segmif evaluate DATA --dataset fmb --weights my_network": "",
    # training.md
    "segmif train RECIPE --data DATA --out RUN --dry-run": "",
    "segmif pseudo-label DATA/own --weights TEACHER --hold-out-every 4 --out DATA/own-labelled": "",
    "segmif models": "",
    # export.md, own_network.md
    "segmif export segmif-rt my_folder": "--size 64x64",
    "segmif convert runs/segmif-s-fusion/last.safetensors --to segmif segmif-s.safetensors --float16": "",
}

# Run by test_programs.py until it says so, and then stopped; images are made small.
STARTED: dict[str, str] = {
    "segmif rig &": "a loop of",
    "segmif rig --ros-args -p infrared_width:=640 -p infrared_height:=512 -p width:=1280 -p height:=720 -p rate_hz:=5.0"
    " -r infrared/image_raw:=/boson/image_raw -r rgb/image_raw:=/camera/color/image_raw": "infrared 640x512",
    "segmif rig --ros-args -p drive:=true &": "a drive with known poses",
    "segmif rig --fault infrared:shutter@10s+1s/30s": "a loop of",
    "segmif run &": "active",
    "segmif run --params-file params.yaml --ros-args -r infrared/image_raw:=/boson/image_raw"
    " -r rgb/image_raw:=/camera/color/image_raw": "/boson/image_raw and /camera/color/image_raw",
    "segmif run --ros-args -p frame_budget_ms:=100.0": "active",
    "segmif run --ros-args -p registration:=stereo -p calibration_file:=calibration/rig.yaml"
    " -p watch_registration:=true": "registration stereo",
    "segmif run --ros-args --enclave /segmif_node": "active",
    "segmif grid --camera-height 1.2 --odometry topic": "active",
    "segmif view": "http://",
}

_DEMO = "test/trials/demo/test_demo_command.py::test_from_two_cameras_to_a_report"
_NODE = "test/docs/test_quick_start.py::test_the_commands_of_the_quick_start_show_the_rig_in_a_page"
_QUICK = "test/docs/test_quick_start.py::test_cameras_are_recorded_and_calibrated_by_points_as_the_quick_start_says"
_RECIPES = "test/training/test_recipes.py::test_every_recipe_that_comes_with_the_package_can_be_read"
_RECORD = "test/trials/test_record.py::test_a_running_rig_is_recorded_to_a_bag_that_replay_reads"
_HOUR = "test/docs/test_first_hour.py::test_the_page_leads_from_cameras_to_a_registered_pair"
_EXPORT = "test/inference/test_export.py::test_the_command_writes_a_file_and_says_what_goes_in_and_comes_out"
_REPORT = "test/evaluation/card/test_card_command.py::test_a_run_ends_well_in_a_folder_of_the_models_name"
_BENCH = "test/trials/test_bench.py::test_the_real_thing_times_tiny_weights_and_agrees_with_the_plain_forward"
_GRID = "test/evaluation/ground/test_evaluate_grid.py::test_the_command_writes_figures_page_and_picture"
_SOAK = "test/trials/test_soak.py::test_the_command_runs_rig_and_node_and_prints_memory_and_verdict"
_OVERHEAD = "test/trials/test_overhead.py::test_the_command_prints_a_row_beside_the_ideal"
_COMPARE = "test/training/test_compare_recipes.py::test_the_command_trains_all_variants_and_writes_the_table"
_FOLDER = "test/trials/test_own_network.py::test_bench_times_a_model_folder_against_its_own_reference"

# Another test runs the command, with other values: patterns of command lines, and that test.
RUN_ELSEWHERE: dict[str, str] = {
    "segmif demo --fault *": _DEMO,
    "segmif demo --weights *": _DEMO,
    "segmif status": _NODE,
    "segmif rig --ros-args -p board*": _HOUR,
    "segmif record board *": _HOUR,
    "segmif record drive --seconds 20 *": _QUICK,
    "segmif record drive --seconds 120": _HOUR,
    "segmif record drive --seconds 120 --outputs": _RECORD,
    "segmif calibrate * --infrared-topic *": _QUICK,
    "segmif calibrate * --out calibration": _HOUR,
    "segmif calibrate * --out from-*": _HOUR,
    "segmif replay street --online*": "test/trials/test_online.py::test_a_looped_bag_goes_through_a_node_over_dds",
    "segmif evaluate-grid *": _GRID,
    "segmif export segmif-rt * --format *": _EXPORT,
    "segmif weights-report *": _REPORT,
    "segmif train config/*": _RECIPES,
    "segmif bench": _BENCH,
    "segmif bench --weights my_network segmif-rt": _FOLDER,
    "segmif bench --weights my_folder --against segmif-rt *": _FOLDER,
    "segmif bench --precision *": _BENCH,
    "segmif bench --weights a.safetensors b.safetensors *": _BENCH,
    "python -m segmif_ros.training.compare *": _COMPARE,
    "torchrun *": "test/training/test_distributed.py::test_two_processes_give_the_gradients_of_one",
    "python -m segmif_ros.trials.overhead": _OVERHEAD,
    "python -m segmif_ros.trials.overhead --infer-ms 20 --seconds 10": _OVERHEAD,
    "python -m segmif_ros.trials.overhead --infer-ms 20 --seconds 10 --single-camera none": _OVERHEAD,
    "make soak": _SOAK,
    "python -m segmif_ros.trials.soak --mishaps --minutes 10 --weights segmif-rt --size 320x240 --rate 10": _SOAK,
}

_ROS = "needs ROS 2 from apt; the arguments of ros2 launch are tested"
_DATA = "needs data sets that don't come with the package, and minutes"
_MINUTES = "takes minutes: it times the full network"
_INSTALL = "installs from a package index: what the continuous integration does before its tests"
_GPU = "needs an NVIDIA GPU"

# Not run by any test: patterns of command lines, and the reason.
NOT_RUN: dict[str, str] = {
    "make install": _INSTALL,
    "make quick": "runs the tests",
    "make test": "runs the tests",
    "make demo*": _INSTALL,
    "make gpu-check*": _GPU,
    "python -m pytest *": _GPU,
    "segmif bench --device cuda *": _GPU,
    "segmif bench --weights random:mit_b3,9 --device cuda *": _GPU,
    "segmif demo --device cuda *": _GPU,
    "segmif run --ros-args -p device:=cuda *": _GPU,
    "pip uninstall onnxruntime *": _GPU,
    "trtexec *": _GPU,
    "cd ~/ws/src *": _INSTALL,
    "rosdep install *": _ROS,
    "sudo *": _ROS,
    "source /opt/ros/*": _ROS,
    "mkdir -p ~/ws/src *": _INSTALL,
    "git clone *": _INSTALL,
    "export FASTDDS_DEFAULT_PROFILES_FILE=*": "a shell's own: test/trials/test_doctor.py runs segmif doctor --profile",
    "colcon build *": _ROS,
    "python3 -m venv *": _INSTALL,
    "pip install *": _INSTALL,
    "ros2 *": _ROS,
    "docker *": "needs a container engine and a network",
    "SEGMIF_PARAMS=*": "needs a container engine and a network",
    "export ROS_SECURITY_*": _ROS,
    "segmif bench --weights random:mit_b3,9 --precision *": _MINUTES,
    "segmif bench --weights random:mit_b3,9 --backend torch *": _MINUTES,
    "segmif bench --weights segmif-s segmif-rt *": _DATA,
    "segmif pseudo-label DATA/roadscene *": _DATA,
    "OMP_NUM_THREADS=1 python -m segmif_ros.grid.bench": "times the grid for a minute",
}
