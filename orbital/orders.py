"""What an operator writes to `orbital.ctl/control`, an order a line.

```
focus ID              in front, and out of where it was minimised to
minimise ID           away
restore ID            back, and in front
close ID              asked to close (QUIT); it may ask its user first
mode DISPLAY WxH      another size of a screen, by its number or its name
place DISPLAY X,Y     elsewhere in the plane
```
"""

from __future__ import annotations

from typing import Final

from orbital.clients import Clients
from orbital.desktop import Desktop
from orbital.output import Output
from orbital.window import Window
from redbear_host.abi import errno as e
from redbear_host.abi.orbital import EventCode
from redbear_host.errors import Refused

_LINES_MOST: Final = 64


class Orders:
    """Carries them out."""

    def __init__(self, desktop: Desktop, clients: Clients) -> None:
        self._desktop: Final = desktop
        self._clients: Final = clients

    def do(self, text: str) -> None:
        """Do what each line says; EINVAL for what is no order, ENOENT for what is not there."""
        lines = text.splitlines()
        if not lines or len(lines) > _LINES_MOST:
            raise Refused(e.EINVAL)
        for line in lines:
            self._one(line.split())

    def _one(self, words: list[str]) -> None:
        desktop = self._desktop
        match words:
            case ["focus" | "restore", number]:
                window = self._window(number)
                desktop.minimise(window, False)
                desktop.focus(window)
            case ["minimise", number]:
                desktop.minimise(self._window(number))
            case ["close", number]:
                self._window(number).post(EventCode.QUIT)
            case ["mode", display, size]:
                self._mode(self._output(display), size)
            case ["place", display, place]:
                desktop.arrange(self._output(display).name, _pair(place, ","))
            case _:
                raise Refused(e.EINVAL)

    def _window(self, number: str) -> Window:
        client = self._clients.get(int(number[:18])) if number.isdecimal() else None
        if client is None:
            raise Refused(e.ENOENT)
        return client.window

    def _output(self, display: str) -> Output:
        for number, screen in enumerate(self._desktop.layout):
            if display in (str(number), screen.name):
                return screen.output
        raise Refused(e.ENOENT)

    @staticmethod
    def _mode(output: Output, size: str) -> None:
        try:
            output.set_mode(*_pair(size, "x"))
        except ValueError as error:
            raise Refused(e.EINVAL, str(error)) from None


def _pair(text: str, between: str) -> tuple[int, int]:
    first, _, second = text.partition(between)
    try:
        return int(first[:9]), int(second[:9])
    except ValueError:
        raise Refused(e.EINVAL) from None
