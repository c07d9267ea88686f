"""The live page: pictures of a run while it goes on, buttons, past runs, figures for Prometheus."""
