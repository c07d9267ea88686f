"""The backends: numbered HTTP servers that say who they are."""
