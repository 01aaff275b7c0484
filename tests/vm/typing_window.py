"""A program with a window of one colour that says what is typed into it.

`typing_window.py COLOUR`: ends when its input does.
"""

from __future__ import annotations

import select
import sys

from orbital.orbclient import Rect, TextInput, Window


def main():
    colour = int(sys.argv[1], 0)
    with Window(320, 240, "Python", 700, 200) as window:
        window.picture.fill(Rect(0, 0, 320, 240), colour)
        window.sync()
        print("shown", flush=True)
        while sys.stdin not in select.select([window, sys.stdin], [], [])[0]:
            for event in window.events(0):
                if isinstance(event, TextInput):
                    print("typed", event.character, flush=True)


if __name__ == "__main__":
    main()
