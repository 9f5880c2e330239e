# SPDX-License-Identifier: Apache-2.0
"""A node without ROS, for what subscribes."""


class FakeNode:
    """Keeps what subscribes; messages are handed to the callbacks by hand."""

    def __init__(self) -> None:
        self.topics = {}

    def create_subscription(self, _kind, name, callback, *_args, **_options):
        self.topics[name] = callback
        return name

    def destroy_subscription(self, name) -> None:
        del self.topics[name]

    def resolve_topic_name(self, name) -> str:
        return f"/{name}"
