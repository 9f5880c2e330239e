# SPDX-License-Identifier: Apache-2.0
"""The topics that a user may remap; launch arguments and config/sros2_policy.xml follow from this table."""

from __future__ import annotations

# argument, the node's name of the topic, what it carries; the argument's default is the node's name, so that it follows
# the namespace
TOPICS = (
    ("infrared_topic", "infrared/image_raw", "input: infrared images"),
    ("rgb_topic", "rgb/image_raw", "input: RGB images"),
    ("infrared_info_topic", "infrared/camera_info", "input: CameraInfo of the infrared camera"),
    ("rgb_info_topic", "rgb/camera_info", "input: CameraInfo of the RGB camera"),
    ("fused_topic", "fused/image", "output: fused images"),
    ("mask_topic", "segmentation/mask", "output: class id of every pixel, mono8"),
    ("confidence_topic", "segmentation/confidence", "output: confidence of every pixel, mono8, 0 to 255"),
    ("fused_info_topic", "fused/camera_info", "output: CameraInfo of the fused image"),
    ("segmentation_info_topic", "segmentation/camera_info", "output: CameraInfo of mask and confidence"),
    ("classes_mask_topic", "segmentation/classes_mask", "output: mask of the chosen classes, mono8, 0 or 255"),
    ("label_info_topic", "segmentation/label_info", "output: vision_msgs/LabelInfo"),
    ("overlay_topic", "segmentation/overlay", "output: classes drawn over the image, for people"),
    ("semantic_map_topic", "segmentation/semantic_map", "output: segmif_ros/SemanticMap"),
    ("labels_topic", "rig/labels", "output of the simulated rig: exact labels, mono8"),
    ("odom_topic", "odom", "input with grid_odometry_from:=topic or temporal_odometry:=topic: nav_msgs/Odometry"),
    ("grid_cost_topic", "grid/cost", "output of grid_node: cost of each cell, nav_msgs/OccupancyGrid"),
    ("grid_classes_topic", "grid/classes", "output of grid_node: class of each cell, nav_msgs/OccupancyGrid"),
    ("grid_confidence_topic", "grid/confidence", "output of grid_node: its probability in percent, OccupancyGrid"),
    ("grid_markers_topic", "grid/markers", "output of grid_node: blocked cells, visualization_msgs/MarkerArray"),
    ("points_topic", "segmentation/points", "output of grid_node: a point for each pixel of the mask, PointCloud2"),
)
