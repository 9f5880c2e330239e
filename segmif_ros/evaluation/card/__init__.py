# SPDX-License-Identifier: Apache-2.0
"""The model card of weights: each part measures one thing and fills one section."""
