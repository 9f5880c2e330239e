# SPDX-License-Identifier: Apache-2.0
"""The simulated rig: a node that publishes what two cameras would see."""
