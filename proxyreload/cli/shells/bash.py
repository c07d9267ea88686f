"""Completion for bash: https://www.gnu.org/software/bash/manual/html_node/Programmable-Completion.html."""

from collections.abc import Iterator
from shlex import quote

from twisted.python import usage

from proxyreload.cli.commands import COMMANDS
from proxyreload.cli.completers import NAMES, Anything, Files, Folders, Mechanisms, Words
from proxyreload.cli.declared import arguments_of, options_of

#: Words are taken from the line itself: bash would break one at each colon and equals sign.
_SCRIPT = """# eval "$(proxyreload completion bash)"

_proxyreload() {{
    local command='' option='' word words
    read -ra words <<<"${{COMP_LINE:0:COMP_POINT}}"
    [[ ${{COMP_LINE:0:COMP_POINT}} == *[[:space:]] ]] && words+=('')
    word=${{words[-1]}}
    (( ${{#words[@]}} > 1 )) && option=${{words[-2]}}
    (( ${{#words[@]}} > 2 )) && command=${{words[1]}}
    if [[ $word == --*=* ]]; then
        option=${{word%%=*}}
        word=${{word#*=}}
    fi
    case $command in
        {names}) ;;
        *) command='' ;;
    esac
    COMPREPLY=()
    case "$command $option" in
{values}
    esac
    if [[ $word == -* ]]; then
        case $command in
{options}
        esac
        return
    fi
    case $command in
{arguments}
    esac
    (( ${{#words[@]}} == 2 )) && COMPREPLY+=($(compgen -W '{commands}' -- "$word"))
}}

_proxyreload_mechanisms() {{
    COMPREPLY=($(compgen -W "$({mechanisms} 2>/dev/null | cut -f 1)" -- "$word"))
    # bash replaces what is behind the last colon only.
    [[ $word == *:* && $COMP_WORDBREAKS == *:* ]] && COMPREPLY=("${{COMPREPLY[@]#"${{word%:*}}:"}}")
}}

_proxyreload_files() {{
    local ending=$1
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -d -- "$word"; compgen -f -X "!*$ending" -- "$word")
}}

complete -F _proxyreload proxyreload
"""


def bash_script(program: usage.Options) -> str:
    """Return the script for `program` and its commands."""
    declared = {"": program, **{command.name: command.declared() for command in COMMANDS}}
    names = [command.name for command in COMMANDS]
    return _SCRIPT.format(
        names=" | ".join(names),
        commands=" ".join(names),
        mechanisms=NAMES,
        values="\n".join(line for name, options in declared.items() for line in _values(name, options)),
        options="\n".join(_options(name, options) for name, options in declared.items()),
        arguments="\n".join(line for name, options in declared.items() for line in _arguments(name, options)),
    )


def _values(command: str, declared: usage.Options) -> Iterator[str]:
    """Yield a case for each option that takes a value."""
    for option in options_of(declared):
        if option.takes_value:
            patterns = [f"--{option.long}", *([f"-{option.short}"] if option.short else [])]
            cases = " | ".join(f"'{command} {pattern}'" for pattern in patterns)
            yield f"        {cases}) {_words(option.completer)}; return ;;"


def _options(command: str, declared: usage.Options) -> str:
    names = " ".join(f"--{option.long}" for option in options_of(declared))
    return f"            {quote(command)}) COMPREPLY=($(compgen -W '{names}' -- \"$word\")) ;;"


def _arguments(command: str, declared: usage.Options) -> Iterator[str]:
    completer = arguments_of(declared)
    if completer is not None:
        yield f"        {quote(command)}) {_words(completer)} ;;"


def _words(completer: usage.Completer | None) -> str:
    """Return the command that offers what a completer knows."""
    match completer:
        case Files():
            return f"_proxyreload_files {quote(completer.pattern.removeprefix('*'))}"
        case Folders():
            return 'compopt -o filenames; COMPREPLY=($(compgen -d -- "$word"))'
        case Words():
            return f'COMPREPLY=($(compgen -W {quote(" ".join(completer.words))} -- "$word"))'
        case Mechanisms():
            return "_proxyreload_mechanisms"
        case None | Anything():
            return ":"
    return "_proxyreload_files ''"
