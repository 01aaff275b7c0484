"""Calls that block, made in the background."""

from __future__ import annotations

import threading


def in_thread(action):
    """Run `action` in the background; return a function that waits for its result, or its error."""
    result = []

    def run():
        try:
            result.append(action())
        except OSError as err:
            result.append(err)

    thread = threading.Thread(target=run)
    thread.start()

    def outcome():
        thread.join(60)
        assert result, "the call never came back"
        return result[0]

    return outcome
