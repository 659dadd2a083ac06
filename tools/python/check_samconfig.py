"""Refuse keys in samconfig.toml that the SAM CLI would silently ignore.

Usage: check_samconfig.py SAMCONFIG

The SAM CLI takes a misspelled command or parameter without a word. A key that is not below is an error: correct it, or
add it here if the SAM CLI knows it.
"""

import sys

import tomlkit

VERSION = 0.1

# Command, as samconfig.toml spells it, to its parameters and their types.
ALLOWED = {
    "global": {"stack_name": str},
    "validate": {"lint": bool},
    "build": {"build_in_source": bool, "parallel": bool},
    "deploy": {
        "capabilities": str,
        "confirm_changeset": bool,
        "fail_on_empty_changeset": bool,
        "resolve_s3": bool,
    },
}

# Without these, sam build copies the whole work tree for each function, and sam validate does not lint.
REQUIRED = {
    ("default", "build", "build_in_source"): True,
    ("default", "validate", "lint"): True,
}


def problems(config):
    """Yield one sentence for each thing that is wrong with config, a parsed samconfig.toml."""
    if config.get("version") != VERSION:
        yield f"version must be {VERSION}"
    for env, commands in config.items():
        if env == "version":
            continue
        if env != "default":
            yield f"[{env}]: the only environment is default"
            continue
        for command, sections in commands.items():
            if command not in ALLOWED:
                yield f"[{env}.{command}]: not an allowed command"
                continue
            for section, parameters in sections.items():
                if section != "parameters":
                    yield f"[{env}.{command}.{section}]: must be parameters"
                    continue
                for key, value in parameters.items():
                    want = ALLOWED[command].get(key)
                    if want is None:
                        yield f"[{env}.{command}.parameters] {key}: not an allowed key"
                    elif type(value) is not want:
                        yield f"[{env}.{command}.parameters] {key}: must be of type {want.__name__}"
    for (env, command, key), want in REQUIRED.items():
        if config.get(env, {}).get(command, {}).get("parameters", {}).get(key) != want:
            yield f"[{env}.{command}.parameters] {key}: must be {str(want).lower()}"


def main():
    path = sys.argv[1]
    with open(path, encoding="utf-8") as f:
        found = list(problems(tomlkit.load(f).unwrap()))
    for problem in found:
        print(f"{path}: {problem}", file=sys.stderr)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
