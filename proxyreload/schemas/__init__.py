"""What stands in ``run.json``, ``compare.json`` and ``bisect.json``, as JSON Schema (2020-12)."""
