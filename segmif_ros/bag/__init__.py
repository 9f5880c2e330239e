# SPDX-License-Identifier: Apache-2.0
"""rosbag2 in and out, without DDS and without a ROS installation: replay, synthetic bags, data sets from bags."""
