# SPDX-License-Identifier: Apache-2.0
"""The ROS side: parameters, messages, the nodes. The only subpackage that imports rclpy and message packages."""
