"""`nas measure` and `nas calibrate`: what a network costs on this device."""

from __future__ import annotations
