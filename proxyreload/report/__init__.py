"""The report: what a run wrote, as one HTML page that opens anywhere."""
