"""What changes are called. Nothing is imported for it: whoever asks for help is not to wait."""

#: Puts another certificate in place.
ROTATE = "rotate"
#: Edits what has nothing to do with the traffic.
EDIT = "edit"
#: Changes that are about a backend, and those that are not.
OF_BACKENDS, OF_THE_PROXY = ("add", "remove"), ("reload", "upgrade", ROTATE, EDIT)
