# SPDX-License-Identifier: Apache-2.0
"""Programs that start, watch and judge a running node, and the commands around them."""
