# SPDX-License-Identifier: Apache-2.0
"""`segmif demo`: simulated rig and node as separate processes over DDS, watched by a recorder, with a report."""
