"""What stands in ``run.json``, ``compare.json``, ``bisect.json`` and ``capacity.json``, as JSON Schema (2020-12)."""
