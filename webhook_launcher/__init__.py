"""When an image is pushed, run exactly that image, or keep running the old one."""

__version__ = "0.1.0"
