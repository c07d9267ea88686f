"""The option that asks for a trace. Nothing is imported for it: whoever asks for help is not to wait."""

#: And what it takes in place of a URL.
OPTION, ENVIRONMENT = "--otel", "environment"
