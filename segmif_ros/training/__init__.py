# SPDX-License-Identifier: Apache-2.0
"""Training: losses, task weighting, schedule, the joint trainer and its recipes."""
