"""Pages over HTTP: the reports of searches, beside MLflow's own server."""

from nas.service.ui import free_port, serve_pages

__all__ = ["free_port", "serve_pages"]
