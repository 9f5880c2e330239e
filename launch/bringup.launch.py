# SPDX-License-Identifier: Apache-2.0
"""A whole robot's perception: cameras, segmif_node, grid_node and RViz. Copy this file and put your drivers in.

$ ros2 launch segmif_ros bringup.launch.py simulated_rig:=true
$ ros2 launch segmif_ros bringup.launch.py

All arguments of segmif.launch.py can be given here, too.
"""

from pathlib import Path


def generate_launch_description():
    """Describe what is started; segmif.launch.py declares the arguments."""
    from launch import LaunchDescription
    from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    segmif = Path(__file__).resolve().parent / "segmif.launch.py"
    return LaunchDescription(
        [
            DeclareLaunchArgument("grid", default_value="true", description="start grid_node"),
            DeclareLaunchArgument("rviz", default_value="true", description="start RViz"),
            # --- the drivers of your cameras -------------------------------------------------------------------------
            # Node(package="flir_boson_usb", executable="flir_boson_usb_node", namespace="infrared", output="screen"),
            # Node(package="realsense2_camera", executable="realsense2_camera_node", namespace="rgb", output="screen"),
            # --- where they are on the robot, unless your URDF has it ------------------------------------------------
            # Node(
            #     package="tf2_ros",
            #     executable="static_transform_publisher",
            #     arguments=[
            #         *("--x", "0.1", "--z", "0.6", "--roll", "-1.5708", "--yaw", "-1.5708"),
            #         *("--frame-id", "base_link", "--child-frame-id", "rgb_optical_frame"),
            #     ],
            # ),
            IncludeLaunchDescription(PythonLaunchDescriptionSource(str(segmif))),
        ]
    )
