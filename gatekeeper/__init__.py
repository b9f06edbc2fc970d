"""Gatekeeper: an async proxy that decides, prices and forwards WhatsApp Cloud API sends."""

__version__ = "0.1.0"
