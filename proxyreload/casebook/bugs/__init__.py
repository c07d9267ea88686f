"""The famous bugs that come with the program, as TOML files."""
