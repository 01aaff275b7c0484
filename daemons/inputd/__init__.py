"""inputd: what is typed and pointed at, for whoever has the screen; serves `input`."""
