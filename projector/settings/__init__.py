"""Settings: the environment, then `.env`, then `projector.toml`, checked once and frozen."""

from __future__ import annotations

from projector.settings.model import (
    PREFIX,
    Settings,
    required_endpoint,
    variable,
)
from projector.settings.sources import load_settings

__all__ = [
    "PREFIX",
    "Settings",
    "load_settings",
    "required_endpoint",
    "variable",
]
