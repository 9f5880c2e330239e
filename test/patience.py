# SPDX-License-Identifier: Apache-2.0
"""How long tests wait for an event that never comes: one limit, as a busy machine makes every short one a lottery."""

WAIT_S = 120.0
