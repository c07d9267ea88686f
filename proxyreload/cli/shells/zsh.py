"""Completion for zsh, of which Twisted's ``usage`` makes the part that counts.

https://docs.twisted.org/en/stable/core/howto/options.html#shell-tab-completion
"""

import io

from twisted.python import usage

from proxyreload.cli.commands import COMMANDS
from proxyreload.cli.completers import NAMES, Anything
from proxyreload.cli.declared import options_of

_FUNCTIONS = f"""#compdef proxyreload
# proxyreload completion zsh >"${{fpath[1]}}/_proxyreload"

_proxyreload_mechanisms() {{
    local -a lines
    lines=(${{(f)"$({NAMES} 2>/dev/null)"}})
    compadd -- ${{lines%%$'\\t'*}}
}}
"""
_DISPATCH = """
_proxyreload() {
    local command=$words[2]
    if (( CURRENT > 2 )) && (( $+functions[_proxyreload_command_$command] )); then
        shift words
        (( CURRENT-- ))
        _proxyreload_command_$command
        return
    fi
    if (( CURRENT == 2 )) && [[ $PREFIX != -* ]]; then
        local -a commands
        commands=(
%s
        )
        _describe command commands
    fi
    _proxyreload_run
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _proxyreload "$@"
else
    compdef _proxyreload proxyreload
fi
"""


def zsh_script(program: usage.Options) -> str:
    """Return the script for `program` and its commands."""
    functions = [_function("_proxyreload_run", program)]
    functions += [_function(f"_proxyreload_command_{command.name}", command.declared()) for command in COMMANDS]
    described = "\n".join(f"            '{command.name}:{command.summary}'" for command in COMMANDS)
    return "\n".join([_FUNCTIONS, *functions]) + _DISPATCH % described


def _function(name: str, declared: usage.Options) -> str:
    """Return a function that completes a command's options and arguments."""
    known = {option.long: option.completer for option in options_of(declared) if option.takes_value}
    anything = {long: Anything() for long, completer in known.items() if completer is None}
    options_class = type(
        type(declared).__name__,
        (type(declared),),
        {"compData": usage.Completions(optActions=anything), "subCommands": None},
    )
    code = _code(options_class()).partition("_arguments ")[2]
    # Options may stand behind arguments here.
    code = code.replace('-A "-*" ', "", 1).rstrip()
    return f"{name}() {{\n_arguments {code}\n}}\n"


def _code(declared: usage.Options) -> str:
    """Return what Twisted answers to a shell that asks for completion."""
    written = io.BytesIO()
    declared._shellCompFile = written  # noqa: SLF001
    try:
        usage.Options.parseOptions(declared, ["", "--_shell-completion", "zsh:2"])
    except SystemExit:
        return written.getvalue().decode("utf-8")
    msg = "Twisted knows no completion"
    raise AssertionError(msg)
