"""Listening: the strict HTTP/1.1 front of uvicorn, and running it. Must not know what is served (`app.py`)."""
