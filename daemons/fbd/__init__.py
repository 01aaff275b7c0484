"""fbd: a frame buffer that Linux has already (efifb, vesafb, simpledrm), as a display."""
