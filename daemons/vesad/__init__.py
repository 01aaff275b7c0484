"""vesad: graphics cards with Bochs display registers (QEMU's VGA and bochs-display); a display."""
