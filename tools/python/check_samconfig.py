"""Refuse what the SAM CLI would silently ignore in samconfig.toml, and what cannot be meant.

Usage: check_samconfig.py SAMCONFIG TEMPLATE

The SAM CLI takes a misspelled command or key without a word, and CloudFormation hears of a misspelled parameter or an
impossible value only when it deploys. A key that is not below is an error: correct it, or add it here if the SAM CLI
knows it.
"""

import re
import sys

import tomlkit
from samtranslator.yaml_helper import yaml_parse

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
        "parameter_overrides": list,
        "region": str,
        "resolve_s3": bool,
    },
}

# Without these, sam build copies the whole work tree for each function, sam validate does not lint, and sam deploy stops.
# Environments inherit nothing from default, so every one says them.
REQUIRED = {
    ("build", "build_in_source"): True,
    ("validate", "lint"): True,
    ("deploy", "capabilities"): "CAPABILITY_IAM",
    ("deploy", "resolve_s3"): True,
}

# Environments: default, and then one or more of each kind, told apart by their mchid.
ENVIRONMENT = re.compile(r"(staging|prod)(-[0-9]{8,10})?")
MUST_EXIST = ("default", "staging", "prod")

SECRETS = ("MerchantSecretName", "MerchantKeySecretName", "VendorsSecretNames")


def problems(config, template):
    """Yield one sentence for each thing that is wrong with config, a parsed samconfig.toml, beside a parsed template."""
    if config.get("version") != VERSION:
        yield f"version must be {VERSION}"
    for env in MUST_EXIST:
        if env not in config:
            yield f"[{env}]: there is no such environment"
    for env, commands in config.items():
        if env == "version":
            continue
        if env != "default" and not ENVIRONMENT.fullmatch(env):
            yield f"[{env}]: an environment is default, staging or prod, or one of the latter with a mchid: prod-1900000109"
            continue
        yield from keys(env, commands)
        yield from required(env, commands)
        yield from overrides(env, commands, template)


def keys(env, commands):
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


def setting(commands, command, key):
    return commands.get(command, {}).get("parameters", {}).get(key)


def required(env, commands):
    for (command, key), want in REQUIRED.items():
        if setting(commands, command, key) != want:
            yield f"[{env}.{command}.parameters] {key}: must be {str(want).lower() if want is True else want}"
    stack = "wechat-parking-gateway" if env == "default" else f"wechat-parking-{env}"
    if setting(commands, "global", "stack_name") != stack:
        yield f"[{env}.global.parameters] stack_name: must be {stack}"
    if env.startswith("prod") and setting(commands, "deploy", "confirm_changeset") is not True:
        yield f"[{env}.deploy.parameters] confirm_changeset: must be true"


def overrides(env, commands, template):
    """Yield what is wrong with the template's parameters that an environment sets."""
    where = f"[{env}.deploy.parameters] parameter_overrides"
    given = {}
    pairs = setting(commands, "deploy", "parameter_overrides")
    for pair in pairs if isinstance(pairs, list) else []:
        name, found, value = str(pair).partition("=")
        if not found:
            yield f"{where}: {pair} must be Name=Value"
        elif name not in template["Parameters"]:
            yield f"{where}: {name} is no parameter of the template"
        elif name in given:
            yield f"{where}: {name} is there twice"
        else:
            yield from (f"{where}: {name} {why}" for why in refusals(template["Parameters"][name], value))
        given[name] = value
    if env == "default":
        return
    for name in SECRETS:
        stack = f"wechat-parking-{env}/"
        if not all(secret.startswith(stack) for secret in given.get(name, "").split(",")):
            yield f"{where}: {name} must begin with {stack}, so that no two stacks share a secret"


def refusals(parameter, value):
    """Yield why CloudFormation would refuse a value, by the parameter's own constraints."""
    if "AllowedPattern" in parameter and not re.fullmatch(parameter["AllowedPattern"], value):
        yield parameter.get("ConstraintDescription", "does not match its AllowedPattern")
    if "AllowedValues" in parameter and value not in map(str, parameter["AllowedValues"]):
        yield "is not one of " + ", ".join(map(str, parameter["AllowedValues"]))
    if len(value) > parameter.get("MaxLength", len(value)):
        yield f"is longer than {parameter['MaxLength']} characters"
    if parameter["Type"] == "Number":
        if not re.fullmatch(r"[0-9]+", value):
            yield "must be a number"
        elif not parameter.get("MinValue", 0) <= int(value) <= parameter.get("MaxValue", int(value)):
            yield "is not between its MinValue and MaxValue"


def main():
    path, template_path = sys.argv[1:]
    with open(template_path, encoding="utf-8") as f:
        template = yaml_parse(f)
    with open(path, encoding="utf-8") as f:
        found = list(problems(tomlkit.load(f).unwrap(), template))
    for problem in found:
        print(f"{path}: {problem}", file=sys.stderr)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
