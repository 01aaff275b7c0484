"""ps2d: the PS/2 keyboard and mouse behind `serio`, as events for inputd; serves nothing itself."""
