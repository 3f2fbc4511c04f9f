"""Serving: a trained model behind a JSON API over HTTP."""

from vaeworks.serving.app import create_app
from vaeworks.serving.server import run_server
from vaeworks.serving.service import Service
from vaeworks.serving.settings import Settings
from vaeworks.serving.wire import items_of, wire_of

__all__ = ["Service", "Settings", "create_app", "items_of", "run_server", "wire_of"]
