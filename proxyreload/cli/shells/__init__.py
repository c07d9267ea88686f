"""Scripts that let a shell complete the command line, one a shell."""
