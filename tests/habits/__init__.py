"""The habits of the house, held by machine: sizes, docstrings, words, imports, documents."""
