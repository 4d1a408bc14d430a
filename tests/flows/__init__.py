"""The life of one call (`core/mediate.py`): readable flows, and properties over random scripts of replies."""
