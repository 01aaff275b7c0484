"""orbclient: windows of Orbital for programs in Python, after Redox's library of that name.

```python
with Window(320, 200, "Hello") as window:
    window.picture.fill(Rect(0, 0, 320, 200), 0xFF204060)
    window.sync()
    while not any(isinstance(event, Quit) for event in window.events()):
        pass
```
"""

from __future__ import annotations

from orbital.orbclient.events import (
    Button,
    Clipboard,
    ClipboardUpdate,
    Event,
    Focus,
    Hover,
    Key,
    Mouse,
    MouseRelative,
    Move,
    Quit,
    Resize,
    Scale,
    Screen,
    Scroll,
    TextInput,
    Unknown,
)
from orbital.orbclient.window import Window, display_size
from orbital.rect import Rect
from redbear_host.abi.orbital import WindowFlag

__all__ = [
    "Button",
    "Clipboard",
    "ClipboardUpdate",
    "Event",
    "Focus",
    "Hover",
    "Key",
    "Mouse",
    "MouseRelative",
    "Move",
    "Quit",
    "Rect",
    "Resize",
    "Scale",
    "Screen",
    "Scroll",
    "TextInput",
    "Unknown",
    "Window",
    "WindowFlag",
    "display_size",
]
