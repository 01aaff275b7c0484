"""A display without a card: what is drawn on it is seen by VNC viewers and in browsers."""
