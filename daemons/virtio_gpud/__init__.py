"""virtio_gpud: virtio graphics cards without 3D; their outputs are displays."""
