"""What the rest of inputd wants of Linux's input devices."""

from __future__ import annotations

from collections.abc import Sequence


class Devices:
    """None at all: nobody has named one."""

    released = False  # the user has them back, until he says otherwise

    def describe(self) -> Sequence[str]:
        """Return a line for each, for `status`."""
        return ()

    def let_go(self) -> None:
        """Give the user his devices back."""
        self.released = True

    def take_again(self) -> None:
        """Take them again."""
        self.released = False

    def rest(self) -> None:
        """Give them back while somebody else has the screen."""

    def resume(self) -> None:
        """Take them again, since the screen is ours."""

    def close(self) -> None:
        """Close all."""
